// Compiling and running a segment.
#include "compiler/segment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "compiler/log.h"
#include "compiler/region_run.h"
#include "compiler/replay.h"
#include "ir/op/error.h"

namespace calque {

bool Segment::covers(std::span<TensorImpl* const> live, uint32_t first_value) const {
  if (!compiled_) return false;
  return std::all_of(live.begin(), live.end(), [&](const TensorImpl* impl) {
    return std::binary_search(held_.begin(), held_.end(), impl->value_id - first_value);
  });
}

bool Segment::compile(const TraceTree& tree, TraceId begin, TraceId end, std::span<TensorImpl* const> live,
                      uint32_t first_value, const std::string& name, CompileStats& stats) {
  if (!failure_.empty()) return false;
  first_value_ = first_value;
  std::vector<uint32_t> held = held_;
  for (const TensorImpl* impl : live) held.push_back(impl->value_id - first_value);
  std::sort(held.begin(), held.end());
  held.erase(std::unique(held.begin(), held.end()), held.end());
  try {
    compiled_ = compile_segment(make_segment_graph(tree, begin, end, held, name), name);
    held_.clear();
    for (const HeldValue& value : compiled_->traced.held) held_.push_back(value.value);
  } catch (const std::exception& error) {
    failure_ = error.what();
    warn_once("compile " + name + failure_,
              fmt::format("{} runs eagerly: it could not be compiled: {}", name, failure_));
    return false;
  }
  ++(compiled_->from_cache ? stats.cache_hits : stats.compilations);
  return true;
}

void Segment::run(std::span<const Tensor> slots, std::span<TensorImpl* const> live, CompileStats& stats) {
  RegionRun region(compiled_, slots);
  ++stats.plan_runs;
  stats.kernel_launches += compiled_->forward->kernel_count();
  // In the order in which they were asked for, so that views are views of what the user holds.
  for (TensorImpl* impl : live) {
    const uint32_t value = impl->value_id - first_value_;
    const size_t index = std::lower_bound(held_.begin(), held_.end(), value) - held_.begin();
    const Tensor made = region.held(index);
    if (impl->is_pending()) {
      fill_placeholder(*impl, *made.impl());
      region.adopt(index, *impl);
    }
    if (!expected_.empty()) check_expected(*made.impl(), value);
  }
  expected_.clear();
}

void Segment::add_to(CompileStats& stats) const {
  if (!compiled_) return;
  stats.code_generations += compiled_->code_generations.load(std::memory_order_relaxed);
  if (compiled_->backward) stats.backward_plan_runs += compiled_->backward->runs.load(std::memory_order_relaxed);
}

void Segment::check_expected(const TensorImpl& made, uint32_t value) const {
  const auto compare = [&]<class T>(T) {
    TensorImpl dense;
    dense.shape = made.shape;
    dense.set_contiguous_strides();
    std::vector<T> a(made.shape.element_count()), b(a.size());
    kernels::copy(expected_[value].impl()->view(), {a.data(), made.dtype, dense.shape, dense.strides});
    kernels::copy(made.view(), {b.data(), made.dtype, dense.shape, dense.strides});
    for (size_t i = 0; i < a.size(); ++i)
      if (std::memcmp(&a[i], &b[i], sizeof(T)) != 0 && !(a[i] != a[i] && b[i] != b[i]))
        throw InternalError(fmt::format("verify: value {} of the segment differs at element {}: eager {}, compiled {}",
                                        value, i, a[i], b[i]));
  };
  switch (made.dtype) {
    case DType::f32: return compare(float{});
    case DType::f64: return compare(double{});
    case DType::i64: return compare(int64_t{});
    case DType::i32: return compare(int32_t{});
    case DType::boolean: return compare(uint8_t{});
  }
}

}  // namespace calque
