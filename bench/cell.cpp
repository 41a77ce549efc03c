// One recurrent cell, eager and compiled, inference and forward with backward, beside the machine's peak of
// FMAs.
//
// The limit of a row is the time that the cell's matrix products take at that peak (forward: x wx and h wh;
// backward: gradients of x, h, wx and wh, twice the work of forward), as a loop of independent FMAs in
// registers reaches it here.
#include <immintrin.h>

#include "bench/measure.h"
#include "bench/report.h"
#include "calque/calque.h"
#include "cli/cells.h"

using namespace calque;
using namespace calque::bench;

namespace {

constexpr int kAccumulators = 16;  // enough to hide the latency of two FMA units

/// Runs `count` times 16 FMAs of one vector each; returns something that depends on all of them.
[[gnu::target("avx512f")]] float fma_loop_avx512(int64_t count) {
  __m512 sums[kAccumulators];
  for (__m512& sum : sums) sum = _mm512_set1_ps(1.0f);
  const __m512 factor = _mm512_set1_ps(0.999f), term = _mm512_set1_ps(0.001f);
  for (int64_t i = 0; i < count; ++i)
#pragma GCC unroll 16
    for (__m512& sum : sums) sum = _mm512_fmadd_ps(sum, factor, term);
  float result = 0;
  for (const __m512& sum : sums) result += _mm512_cvtss_f32(sum);
  return result;
}

[[gnu::target("avx2,fma")]] float fma_loop_avx2(int64_t count) {
  constexpr int kRegisters = 12;  // of the 16 there are
  __m256 sums[kRegisters];
  for (__m256& sum : sums) sum = _mm256_set1_ps(1.0f);
  const __m256 factor = _mm256_set1_ps(0.999f), term = _mm256_set1_ps(0.001f);
  for (int64_t i = 0; i < count; ++i)
#pragma GCC unroll 12
    for (__m256& sum : sums) sum = _mm256_fmadd_ps(sum, factor, term);
  float result = 0;
  for (const __m256& sum : sums) result += _mm256_cvtss_f32(sum);
  return result;
}

/// Floating-point operations per microsecond of the pool's threads together; 0 on a machine without FMA.
double peak_flops_per_us(bool quick) {
  const bool is_wide = kernels::is_supported(kernels::IsaLevel::avx512);
  if (!kernels::is_supported(kernels::IsaLevel::avx2)) return 0;
  const int64_t count = 50'000;  // a fraction of a millisecond: some of many such pieces are not interrupted
  const double flops = 2.0 * static_cast<double>(count) * (is_wide ? 16 * 16 : 12 * 8);
  const int threads = ThreadPool::instance().num_threads();
  double best = 0;
  for (int repetition = 0; repetition < (quick ? 3 : 500); ++repetition) {
    const double start = now_us();
    ThreadPool::instance().run(threads, [&](Team&) {
      volatile float kept = is_wide ? fma_loop_avx512(count) : fma_loop_avx2(count);
      (void)kept;
    });
    best = std::max(best, threads * flops / (now_us() - start));
  }
  return best;
}

struct Kind {
  const char* name;
  cli::Cell cell;
  int64_t gates;
  bool has_layer_norm, has_c;
};

constexpr Kind kKinds[] = {{"layernorm_lstm", &cli::layernorm_lstm, 4, true, true},
                           {"lstm", &cli::lstm, 4, false, true},
                           {"gru", &cli::gru, 3, false, false}};

struct Size {
  int64_t batch, inputs, hidden;
};

/// Gradients of the state with respect to all that goes into the cell.
template <class AnyCell>
void forward_backward(AnyCell& cell, const Kind& kind, const std::vector<Tensor>& state,
                      const cli::CellWeights& weights, const std::vector<Tensor>& inputs,
                      const Tensor& seed) {
  const cli::CellState next = cell(state[0], state[1], state[2], weights);
  const Tensor outputs[] = {next.h, next.c}, seeds[] = {seed, seed};
  const size_t count = kind.has_c ? 2 : 1;
  grad(std::span(outputs, count), inputs, {.output_gradients = {seeds, count}});
}

void cell_rows(Report& report, const Kind& kind, const Size& size, double peak, bool quick) {
  const auto [batch, inputs, hidden] = size;
  const cli::CellWeights weights(inputs, hidden, kind.gates, kind.has_layer_norm);
  std::vector<Tensor> state = {nn::normal({batch, inputs}), nn::normal({batch, hidden}),
                               nn::normal({batch, hidden})};
  std::vector<Tensor> leaves = state;
  if (!kind.has_c) leaves.pop_back();
  for (Tensor& leaf : leaves) leaf.set_requires_grad();
  for (const Tensor& parameter : weights.parameters()) leaves.push_back(parameter);
  const Tensor seed = nn::normal({batch, hidden});
  auto eager = kind.cell;
  auto inference = compile(kind.cell, {.name = kind.name}),
       training = compile(kind.cell, {.name = kind.name});
  const auto infer = [&](auto& cell) {
    const NoGradGuard guard;
    cell(state[0], state[1], state[2], weights);
  };
  const auto train = [&](auto& cell) { forward_backward(cell, kind, state, weights, leaves, seed); };

  const double flops = 2.0 * static_cast<double>(batch * (inputs + hidden) * kind.gates * hidden);
  const double guess_us = flops / 40e3 + 10;  // of one call, to choose how many to take
  const int blocks = quick ? 2 : std::clamp(static_cast<int>(20e3 / guess_us), 5, 200);
  const std::string shape = fmt::format("{},{},{}", batch, inputs, hidden);
  const auto add_rows = [&](std::vector<Contender> contenders, double work) {
    measure(contenders, {quick ? 1 : 10, blocks, 1});
    for (const Contender& contender : contenders) {
      const Samples& samples = contender.samples;
      Row row{kind.name, shape, contender.mode, samples.median(), samples.minimum()};
      if (peak > 0) row.limit_us = work / peak;
      if (peak > 0) row.more = {{"% of peak", 100 * work / peak / samples.median()}};
      report.add(row);
    }
  };
  add_rows({{"inference eager", [&] { infer(eager); }}, {"inference compiled", [&] { infer(inference); }}},
           flops);
  add_rows({{"training eager", [&] { train(eager); }}, {"training compiled", [&] { train(training); }}},
           3 * flops);
  report.require(ran_compiled(inference.stats()) && ran_compiled(training.stats()),
                 fmt::format("{} {} did not run compiled", kind.name, shape));
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  Report report("cell", options);
  const double peak = peak_flops_per_us(options.quick);
  if (peak > 0) fmt::print("peak of FMAs: {:.0f} GFLOP/s\n", peak / 1e3);
  for (const Size size : {Size{1, 64, 64}, Size{16, 256, 256}, Size{64, 512, 512}})
    for (const Kind& kind : kKinds) cell_rows(report, kind, size, peak, options.quick);
  return report.finish();
}
