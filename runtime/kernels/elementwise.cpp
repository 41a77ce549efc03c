// Runs elementwise inner loops over tensors of any strides: broadcasts, collapses axes, gathers, shares work.
#include "runtime/kernels/elementwise.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "runtime/kernels/eager.h"
#include "runtime/kernels/scratch.h"
#include "runtime/thread_pool.h"

namespace calque::kernels {

namespace {

constexpr int kMaxOperands = 3;
constexpr int64_t kGatherBlock = 256;
constexpr int64_t kMaxElementSize = 8;

int64_t grain_of(int cost) { return std::max<int64_t>(kWorthAThread / cost, 4096) / 64 * 64; }

/// The operands and the result by collapsed axes, the innermost last; strides in elements.
struct Walk {
  int operands = 0;
  int rank = 0;
  int64_t dims[kMaxRank];
  int64_t strides[kMaxOperands][kMaxRank];
  int64_t steps[kMaxOperands];  // of the inner loop: 0 or 1
  bool gathers = false;         // whether an operand has another stride along the innermost axis
  const char* data[kMaxOperands] = {};
  int64_t sizes[kMaxOperands];  // bytes of an element
  char* result;
  int64_t result_size;
  InnerLoop loop;
};

/// Stride of an operand along an axis of the result: 0 where it is repeated.
int64_t stride_along(const View& input, int axis, int result_rank) {
  const int own = axis - (result_rank - input.shape.rank());
  return own < 0 || input.shape[own] == 1 ? 0 : input.strides[own];
}

/// Adds an axis inside of the others, as a part of the last one where all operands allow.
void add_axis(Walk& walk, int64_t size, const int64_t* strides) {
  bool joins = walk.rank > 0;
  for (int i = 0; joins && i < walk.operands; ++i)
    joins = walk.strides[i][walk.rank - 1] == strides[i] * size;
  const int axis = joins ? walk.rank - 1 : walk.rank++;
  walk.dims[axis] = joins ? walk.dims[axis] * size : size;
  for (int i = 0; i < walk.operands; ++i) walk.strides[i][axis] = strides[i];
}

Walk make_walk(InnerLoop loop, std::span<const View> inputs, const View& result) {
  Walk walk;
  walk.loop = loop;
  walk.operands = static_cast<int>(inputs.size());
  walk.result = result.as<char>();
  walk.result_size = static_cast<int64_t>(size_of(result.dtype));
  for (int i = 0; i < walk.operands; ++i) {
    walk.data[i] = inputs[i].as<char>();
    walk.sizes[i] = static_cast<int64_t>(size_of(inputs[i].dtype));
  }
  const int rank = result.shape.rank();
  for (int axis = 0; axis < rank; ++axis) {
    if (result.shape[axis] == 1) continue;
    int64_t strides[kMaxOperands];
    for (int i = 0; i < walk.operands; ++i) strides[i] = stride_along(inputs[i], axis, rank);
    add_axis(walk, result.shape[axis], strides);
  }
  if (walk.rank == 0) {
    const int64_t none[kMaxOperands] = {};
    add_axis(walk, 1, none);
  }
  for (int i = 0; i < walk.operands; ++i) {
    const int64_t stride = walk.strides[i][walk.rank - 1];
    walk.steps[i] = stride == 0 ? 0 : 1;
    walk.gathers |= stride != walk.steps[i];
  }
  return walk;
}

template <class Word>
void gather_words(const char* from, int64_t stride, int64_t n, char* to) {
  for (int64_t i = 0; i < n; ++i)
    std::memcpy(to + i * sizeof(Word), from + i * stride * sizeof(Word), sizeof(Word));
}
void gather(const char* from, int64_t size, int64_t stride, int64_t n, char* to) {
  if (size == 4)
    gather_words<uint32_t>(from, stride, n, to);
  else if (size == 8)
    gather_words<uint64_t>(from, stride, n, to);
  else
    gather_words<uint8_t>(from, stride, n, to);
}

/// One run along the innermost axis in blocks; strides other than 0 and 1 go through buffers.
void run_gathered(const Walk& walk, const char* const* data, char* out, int64_t n) {
  const int inner = walk.rank - 1;
  const void* in[kMaxOperands];
  alignas(64) char buffers[kMaxOperands][kGatherBlock * kMaxElementSize];
  for (int64_t start = 0; start < n; start += kGatherBlock) {
    const int64_t count = std::min(kGatherBlock, n - start);
    for (int i = 0; i < walk.operands; ++i) {
      const int64_t stride = walk.strides[i][inner];
      const char* from = data[i] + start * stride * walk.sizes[i];
      in[i] = stride == walk.steps[i] ? from : buffers[i];
      if (stride != walk.steps[i]) gather(from, walk.sizes[i], stride, count, buffers[i]);
    }
    walk.loop(count, out + start * walk.result_size, in, walk.steps);
  }
}

void run_row(const Walk& walk, const char* const* data, char* out, int64_t n) {
  if (walk.gathers) return run_gathered(walk, data, out, n);
  const void* in[kMaxOperands] = {data[0], data[1], data[2]};
  walk.loop(n, out, in, walk.steps);
}

/// The rows [begin, end) of all that lie outside the innermost axis, in row-major order.
void run_rows(const Walk& walk, int64_t begin, int64_t end) {
  const int inner = walk.rank - 1;
  int64_t place[kMaxRank] = {};
  const char* data[kMaxOperands] = {walk.data[0], walk.data[1], walk.data[2]};
  for (int64_t axis = inner - 1, rest = begin; axis >= 0; --axis) {
    place[axis] = rest % walk.dims[axis];
    rest /= walk.dims[axis];
    for (int i = 0; i < walk.operands; ++i) data[i] += place[axis] * walk.strides[i][axis] * walk.sizes[i];
  }
  char* out = walk.result + begin * walk.dims[inner] * walk.result_size;
  for (int64_t row = begin; row < end; ++row, out += walk.dims[inner] * walk.result_size) {
    run_row(walk, data, out, walk.dims[inner]);
    for (int axis = inner - 1; axis >= 0; --axis) {
      const int64_t back = ++place[axis] == walk.dims[axis] ? walk.dims[axis] : 0;
      for (int i = 0; i < walk.operands; ++i) data[i] += (1 - back) * walk.strides[i][axis] * walk.sizes[i];
      if (back == 0) break;
      place[axis] = 0;
    }
  }
}

/// A part of the only row.
void run_part(const Walk& walk, int64_t begin, int64_t end) {
  const char* data[kMaxOperands] = {};
  for (int i = 0; i < walk.operands; ++i) data[i] = walk.data[i] + begin * walk.strides[i][0] * walk.sizes[i];
  run_row(walk, data, walk.result + begin * walk.result_size, end - begin);
}

/// Whether reading x element by element along the last axis would touch a cache line for each, many times
/// over.
bool is_far_apart(const View& x, const View& result) {
  constexpr int64_t kWorthACopy = 1024;
  const int last = x.shape.rank() - 1;
  return last >= 1 && x.shape[last] > 1 && x.strides[last] > 1 && x.shape == result.shape &&
         x.shape.element_count() >= kWorthACopy && !is_contiguous(x);
}

void run_walk(const Walk& walk, int cost) {
  int64_t rows = 1;
  for (int axis = 0; axis + 1 < walk.rank; ++axis) rows *= walk.dims[axis];
  const int64_t columns = walk.dims[walk.rank - 1], grain = grain_of(cost);
  if (rows == 1) {
    if (columns <= grain) return run_part(walk, 0, columns);
    return parallel_for(columns, grain, [&](int64_t begin, int64_t end) { run_part(walk, begin, end); });
  }
  if (rows * columns <= grain) return run_rows(walk, 0, rows);
  parallel_for(rows, std::max<int64_t>(grain / columns, 1),
               [&](int64_t begin, int64_t end) { run_rows(walk, begin, end); });
}

void run_copied(InnerLoop loop, std::span<const View> inputs, const View& result, int cost) {
  View operands[kMaxOperands];
  Scratch scratch[kMaxOperands];
  for (size_t i = 0; i < inputs.size(); ++i)
    operands[i] = is_far_apart(inputs[i], result) ? contiguous(inputs[i], scratch[i]) : inputs[i];
  run_walk(make_walk(loop, std::span(operands, inputs.size()), result), cost);
}

}  // namespace

const ElementwiseKernels& elementwise_kernels(IsaLevel level) {
  switch (level) {
    case IsaLevel::avx512:
      return avx512::kElementwiseKernels;
    case IsaLevel::avx2:
      return avx2::kElementwiseKernels;
    case IsaLevel::baseline:
      break;
  }
  return baseline::kElementwiseKernels;
}

const ElementwiseKernels& elementwise_kernels() {
  static const ElementwiseKernels& kernels = elementwise_kernels(isa_level());
  return kernels;
}

void run_elementwise(InnerLoop loop, std::span<const View> inputs, const View& result, int cost) {
  const int64_t n = result.shape.element_count();
  if (n == 0) return;
  const void* in[kMaxOperands];
  int64_t steps[kMaxOperands];
  bool simple = n <= grain_of(cost);
  for (size_t i = 0; simple && i < inputs.size(); ++i) {
    const bool same = inputs[i].shape == result.shape;
    in[i] = inputs[i].data;
    steps[i] = same ? 1 : 0;
    simple = same ? is_contiguous(inputs[i]) : inputs[i].shape.element_count() == 1;
  }
  if (simple) return loop(n, result.data, in, steps);
  const auto far = [&](const View& x) { return is_far_apart(x, result); };
  if (std::any_of(inputs.begin(), inputs.end(), far)) return run_copied(loop, inputs, result, cost);
  run_walk(make_walk(loop, inputs, result), cost);
}

}  // namespace calque::kernels
