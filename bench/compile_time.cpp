// What compiling costs: by the steps of a loop, the ops of a function, and the tensors that it captures.
//
// Each row is of fresh processes, which record a function in their first call and compile it in the second: with an empty cache
// folder ("cold"), with what an earlier process left ("warm"), and, of loops, for a third length ("one step more": recorded
// already, and no code is new). The figure is what making or loading the plan took, as stats() counts it; beside it stands how much
// longer that call took than the next one, which runs the plan: with the first touch of memory, and the noise of two calls.
#include <sys/wait.h>

#include <functional>

#include "bench/child.h"
#include "bench/measure.h"
#include "bench/report.h"
#include "calque/calque.h"
#include "examples/cells/cell.h"

using namespace calque;
using namespace calque::bench;

namespace {

using Tensors = std::vector<Tensor>;

// --- the child

double time_of(const std::function<void()>& call) {
  const double begin = now_us();
  call();
  return now_us() - begin;
}

/// Calls twice, of which the second compiles, and prints how long that took and how much longer the call was than the next.
void print_compile_time(const std::function<void()>& call, const std::function<CompileStats()>& stats) {
  const uint64_t before = stats().compile_us;
  const double compiling = time_of(call);
  const double extra = compiling - time_of(call);
  fmt::print("{} {} ", stats().compile_us - before, std::max(extra, 0.0));
}

/// A standard LSTM (1,64,64).
struct Lstm {
  cells::Cell cell = cells::find_cell("lstm");
  Tensors weights = cell.make_weights(64, 64);
  Tensors state = cell.make_state(weights, 1);

  explicit Lstm(bool has_gradients) {
    if (has_gradients)
      for (Tensor& weight : weights) weight.set_requires_grad();
  }
};

/// Over so many steps; then one step more.
void compile_loop(int64_t steps, bool has_gradients) {
  const auto [cell, weights, state] = Lstm(has_gradients);
  auto loop = compile([step = cell.step](const Tensor& xs, const Tensors& state, const Tensors& weights) mutable {
    return cells::over_sequence(step, xs, state, weights).outputs;
  });
  const auto call = [&](const Tensor& xs) {
    const Tensor outputs = loop(xs, state, weights);
    if (has_gradients) grad({sum(outputs)}, {weights[0], weights[1], weights[2]})[0].data<float>();
    outputs.detach().data<float>();
  };
  const Tensor xs = zeros({steps, 1, 64});
  const auto stats = [&] { return loop.stats(); };
  call(xs);
  print_compile_time([&] { call(xs); }, stats);
  // The second length is recorded; from the third on none is new.
  call(zeros({steps + 1, 1, 64}));
  print_compile_time([&, third = zeros({steps + 2, 1, 64})] { call(third); }, stats);
}

/// The same over a vector of steps, each a tensor of its own; outputs are a vector, too.
void compile_vector(int64_t steps, bool has_gradients) {
  const auto [cell, weights, state] = Lstm(has_gradients);
  auto loop = compile([step = cell.step](const Tensors& xs, Tensors state, const Tensors& weights) {
    Tensors outputs;
    for (const Tensor& x : xs) {
      auto [output, next] = step(x, state, weights);
      outputs.push_back(output);
      state = next;
    }
    return outputs;
  });
  const auto call = [&](const Tensors& xs) {
    const Tensors outputs = loop(xs, state, weights);
    if (has_gradients) grad({sum(stack(outputs))}, {weights[0], weights[1], weights[2]})[0].data<float>();
    outputs.back().detach().data<float>();
  };
  const auto steps_of = [](int64_t count) {
    Tensors xs;
    for (int64_t t = 0; t < count; ++t) xs.push_back(zeros({1, 64}));
    return xs;
  };
  const Tensors xs = steps_of(steps);
  const auto stats = [&] { return loop.stats(); };
  call(xs);
  print_compile_time([&] { call(xs); }, stats);
  call(steps_of(steps + 1));
  print_compile_time([&, third = steps_of(steps + 2)] { call(third); }, stats);
}

/// A chain of so many elementwise ops.
void compile_ops(int64_t ops) {
  auto chain = compile([ops](const Tensor& x) {
    Tensor y = x;
    for (int64_t i = 0; i < ops; ++i) {
      // No two neighbours alike, so that the chain is no loop.
      const int64_t kind = (i * i + i / 7) % 5;
      y = kind == 0 ? tanh(y) : kind == 1 ? y * x : kind == 2 ? y + x : kind == 3 ? sigmoid(y) : y - 0.5;
    }
    return y;
  });
  const Tensor x = ones({64});
  chain(x);
  print_compile_time([&] { chain(x).data<float>(); }, [&] { return chain.stats(); });
  fmt::print("0 0\n");
}

/// A sum over so many captured tensors of different sizes.
void compile_captures(int64_t count) {
  Tensors captured;
  for (int64_t i = 0; i < count; ++i) captured.push_back(ones({8 + i % 13, 16}));
  auto function = compile([&](const Tensor& x) {
    Tensor total = x;
    for (const Tensor& tensor : captured) total = total + sum(tensor * 0.5);
    return total;
  });
  const Tensor x = ones({1});
  function(x);
  print_compile_time([&] { function(x).data<float>(); }, [&] { return function.stats(); });
  fmt::print("0 0\n");
}

int run_child(const std::string& what, int64_t size) {
  if (what == "ops") compile_ops(size);
  else if (what == "captures") compile_captures(size);
  else if (what == "vector" || what == "vector-training") compile_vector(size, what == "vector-training");
  else compile_loop(size, what == "training");
  return 0;
}

// --- the parent

struct Answer {
  double us = 0, extra_us = 0, one_more_us = 0, one_more_extra_us = 0;
};

Answer start(const std::string& what, int64_t size) {
  pid_t child = 0;
  Answer answer;
  FILE* const lines = fdopen(spawn_child({"--child", what, std::to_string(size)}, child), "r");
  const int read = std::fscanf(lines, "%lf %lf %lf %lf", &answer.us, &answer.extra_us, &answer.one_more_us,
                               &answer.one_more_extra_us);
  std::fclose(lines);
  int status = 0;
  waitpid(child, &status, 0);
  if (read != 4 || status != 0) throw std::runtime_error(fmt::format("the child for {} {} failed", what, size));
  return answer;
}

struct Measured {
  Samples compile, extra;

  void add(double us, double extra_us) {
    compile.us.push_back(us);
    extra.us.push_back(extra_us);
  }
  void report_to(Report& report, const char* workload, int64_t size, const char* mode, double goal) const {
    Row row{workload, std::to_string(size), mode, compile.median(), compile.minimum(), goal};
    row.more = {{"call beyond the next", extra.median()}};
    report.add(row);
  }
};

void add_rows(Report& report, const char* workload, const char* what, int64_t size, int repeats, double cold_goal) {
  Measured cold, warm, one_more;
  for (int i = 0; i < repeats; ++i) {
    const CacheFolder folder;
    const Answer first = start(what, size), second = start(what, size);
    cold.add(first.us, first.extra_us);
    one_more.add(first.one_more_us, first.one_more_extra_us);
    warm.add(second.us, second.extra_us);
  }
  cold.report_to(report, workload, size, "cold", cold_goal);
  warm.report_to(report, workload, size, "warm", 5e3);
  if (one_more.compile.median() > 0) one_more.report_to(report, workload, size, "one step more", 0);
}

int run_parent(const Options& options) {
  Report report("compile_time", options);
  const int repeats = options.quick ? 1 : 7;
  const int64_t longest = options.quick ? 10 : 10000;
  for (int64_t steps = 10; steps <= longest; steps *= 10) add_rows(report, "loop, steps", "inference", steps, repeats, 60e3);
  for (int64_t steps = 10; steps <= longest; steps *= 10)
    add_rows(report, "loop with backward, steps", "training", steps, repeats, 150e3);
  for (int64_t steps = 10; steps <= longest; steps *= 10) {
    add_rows(report, "loop over a vector of steps", "vector", steps, repeats, 60e3);
    add_rows(report, "the same with backward", "vector-training", steps, repeats, 150e3);
  }
  for (int64_t ops : {10, 100, 1000})
    if (!options.quick || ops == 10) add_rows(report, "function, ops", "ops", ops, repeats, 0);
  for (int64_t captures : {10, 300, 2000})
    if (!options.quick || captures == 10) add_rows(report, "function, captures", "captures", captures, repeats, captures == 300 ? 100e3 : 0);
  return report.finish();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == "--child") return run_child(argv[2], std::atoll(argv[3]));
  try {
    return run_parent(read_options(argc, argv));
  } catch (const std::runtime_error& error) {
    fmt::print(stderr, "compile_time: {}\n", error.what());
    return 1;
  }
}
