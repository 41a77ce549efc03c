// Programs whose host code would fool a tracer: branches, counters, numbers, random masks, reads, loops on data.
#include <cmath>
#include <memory>
#include <random>
#include <sstream>

#include "tests/run/match_harness.h"

using namespace calque;

TEST_CASE("a branch on a host flag is recorded once for each way") {
  const auto make = [] {
    return [calls = 0](const Tensors& in) mutable -> Tensors {
      const Tensor y = in[0] * in[1];
      if (calls++ % 3 == 1) return {tanh(y) + in[0]};
      return {sigmoid(y) - 2.0};
    };
  };
  const CompileStats stats = same_as_plain(make, two_matrices, 9);
  CHECK(stats.recorded_calls == 2);
  CHECK_COMPILED(stats.plan_runs == 7);
  CHECK_COMPILED(stats.compilations + stats.cache_hits == 2);
}

TEST_CASE("an early return") {
  const auto make = [] {
    return [calls = 0](const Tensors& in) mutable -> Tensors {
      const Tensor y = exp(in[0]);
      if (++calls % 2 == 0) return {y};
      const Tensor z = y + in[1];
      return {z, y};
    };
  };
  const CompileStats stats = same_as_plain(make, two_matrices, 8);
  CHECK(stats.recorded_calls == 2);
  CHECK_COMPILED(stats.plan_runs == 6);
}

TEST_CASE("a counter in a static") {
  const auto make = [] {
    return [](const Tensors& in) -> Tensors {
      static int calls = 0;  // shared by both ways: plain calls see even counts, compiled calls odd ones
      const int count = calls++ / 2;
      Tensor y = in[0];
      for (int i = 0; i < count % 3; ++i) y = tanh(y + in[1]);
      return {y * 2.0};
    };
  };
  const CompileStats stats = same_as_plain(make, two_matrices, 9);
  CHECK(stats.recorded_calls == 3);
  CHECK_COMPILED(stats.plan_runs == 6);
}

TEST_CASE("a changing number becomes an input of the plan, compiled once") {
  const auto make = [] {
    return [rate = 0.1](const Tensors& in) mutable -> Tensors {
      rate *= 0.9;
      return {in[0] - rate * tanh(in[1])};
    };
  };
  const CompileStats stats = same_as_plain(make, two_matrices, 10);
  CHECK(stats.recorded_calls == 2);
  CHECK_COMPILED(stats.compilations + stats.cache_hits <= 2);
  CHECK_COMPILED(stats.plan_runs >= 7);
}

TEST_CASE("a changing number in a filled tensor is an input too") {
  const auto make = [] {
    return [rate = 0.1](const Tensors& in) mutable -> Tensors {
      rate *= 0.9;
      return {in[0] - full({9}, rate) * in[1]};
    };
  };
  const CompileStats stats = same_as_plain(make, two_matrices, 10);
  CHECK(stats.recorded_calls == 2);
}

TEST_CASE("two numbers that change independently") {
  const auto make = [] {
    return [calls = 0](const Tensors& in) mutable -> Tensors {
      const double a = calls / 2, b = calls % 3;
      ++calls;
      return {in[0] * a + b * in[1]};
    };
  };
  const CompileStats stats = same_as_plain(make, two_matrices, 16);
  CHECK(stats.recorded_calls <= 5);
  CHECK_COMPILED(stats.plan_runs >= 10);
}

TEST_CASE("a number that chooses a branch and is used in it") {
  const auto make = [] {
    return [calls = 0](const Tensors& in) mutable -> Tensors {
      const double a = calls++ * 0.25;
      const Tensor y = in[0] * a;
      return {a > 1.0 ? exp(y) : sigmoid(y)};
    };
  };
  same_as_plain(make, two_matrices, 9);
}

TEST_CASE("a random mask made from host memory inside the function") {
  const auto make = [] {
    return [random = std::mt19937(7)](const Tensors& in) mutable -> Tensors {
      std::vector<float> mask(36);
      for (float& m : mask) m = random() % 4 ? 1.0f : 0.0f;
      return {in[0] * from_vector(mask, {4, 9}) + in[1]};
    };
  };
  const CompileStats stats = same_as_plain(make, two_matrices, 6);
  CHECK(stats.recorded_calls == 1);
  CHECK_COMPILED(stats.plan_runs == 5);
}

TEST_CASE("a branch on data through item()") {
  const auto make = [] {
    return [](const Tensors& in) -> Tensors {
      const Tensor y = in[0] * in[1];
      if (sum(y).item() > 3.0) return {exp(y * 0.1)};
      return {y - 1.0};
    };
  };
  const auto inputs = [](int call) -> Tensors { return {numbers({4, 9}, call % 2 ? -2 : 2), numbers({4, 9}, 0.5, 0.01)}; };
  const CompileStats stats = same_as_plain(make, inputs, 9);
  CHECK(stats.recorded_calls == 2);
  CHECK_COMPILED(stats.plan_runs == 2 * 7 + 1);  // the first segment runs in the call that records the second branch, too
}

TEST_CASE("a loop whose trip count depends on data") {
  const auto make = [] {
    return [](const Tensors& in) -> Tensors {
      Tensor y = in[0];
      int steps = 0;
      while (sum(y * y).item() > 1.0 && steps < 20) {
        y = y * 0.5;
        ++steps;
      }
      return {y, from_value(static_cast<int64_t>(steps))};
    };
  };
  const auto inputs = [](int call) -> Tensors { return {numbers({4, 9}, std::pow(4.0, call % 4))}; };  // 4 trip counts
  const CompileStats stats = same_as_plain(make, inputs, 12);
  CHECK(stats.recorded_calls < 4);
  CHECK_COMPILED(stats.plan_runs > 20);
}

TEST_CASE("values read in mid-call: to_vector, data, size, comparison of elements") {
  const auto make = [] {
    return [](const Tensors& in) -> Tensors {
      const Tensor y = in[0] + in[1];
      const std::vector<float> copy = y.to_vector<float>();
      const Tensor z = tanh(y) * from_vector(copy, {4, 9});
      const float first = *z.data<float>();
      return {z + static_cast<double>(first), y, slice(z, 0, 1, 3)};
    };
  };
  const CompileStats stats = same_as_plain(make, two_matrices, 6);
  CHECK_COMPILED(stats.plan_runs >= 8);
  CHECK(stats.recorded_calls <= 2);
}

TEST_CASE("reading a view of a pending value, then going on with the base") {
  const auto make = [] {
    return [](const Tensors& in) -> Tensors {
      const Tensor y = in[0] * in[1];
      const Tensor corner = select(transpose(y), 0, 2);
      const std::vector<float> read = corner.to_vector<float>();
      return {y * static_cast<double>(read[1]), corner + 1.0};
    };
  };
  CHECK_COMPILED(same_as_plain(make, two_matrices, 6).plan_runs >= 8);
}

TEST_CASE("printing in the function") {
  const auto make = [] {
    return [text = std::string()](const Tensors& in) mutable -> Tensors {
      const Tensor y = in[0] - in[1];
      std::ostringstream stream;
      stream << y << in[0] << transpose(y);
      text = stream.str();
      uint32_t hash = 0;
      for (char c : text) hash = hash * 31 + static_cast<unsigned char>(c);
      return {y * y, from_value<int64_t>(hash)};
    };
  };
  const CompileStats stats = same_as_plain(make, two_matrices, 6);
  CHECK(stats.recorded_calls == 1);
  CHECK_COMPILED(stats.plan_runs >= 5);
}

TEST_CASE("a loop with a varying trip count") {
  const auto make = [] {
    return [calls = 0](const Tensors& in) mutable -> Tensors {
      Tensor h = in[0];
      for (int i = 0; i < 1 + calls % 4; ++i) h = tanh(h * 0.9 + in[1]);
      ++calls;
      return {h};
    };
  };
  const CompileStats stats = same_as_plain(make, two_matrices, 12);
  CHECK(stats.recorded_calls == 4);
  CHECK_COMPILED(stats.plan_runs == 8);
}

TEST_CASE("ops whose results nobody uses") {
  const auto make = [] {
    return [](const Tensors& in) -> Tensors {
      exp(in[0]);
      const Tensor unused = in[0] * in[1];
      return {in[0] + 1.0};
    };
  };
  CHECK_COMPILED(same_as_plain(make, two_matrices).plan_runs == 4);
}

TEST_CASE("a function that returns nothing, or no tensor, or does no op") {
  const auto nothing = [] { return [](const Tensors&) -> Tensors { return {}; }; };
  CHECK(same_as_plain(nothing, two_matrices).recorded_calls == 0);
  const auto discards = [] { return [](const Tensors& in) -> Tensors { exp(in[0]); return {}; }; };
  same_as_plain(discards, two_matrices);
  const auto same = [] { return [](const Tensors& in) -> Tensors { return {in[1], in[0], in[1]}; }; };
  same_as_plain(same, two_matrices);
  auto number = compile([](const Tensor& x) { return sum(x).item(); });
  for (int call = 0; call < 4; ++call) CHECK(number(numbers({3}, call)) == sum(numbers({3}, call)).item());
  auto action = compile([](const Tensor& x) { tanh(x); });
  for (int call = 0; call < 4; ++call) action(numbers({3}));
}

TEST_CASE("more ways than the bound: results stay right") {
  const auto make = [] {
    return [calls = 0](const Tensors& in) mutable -> Tensors {
      Tensor y = in[0];
      for (int i = 0; i < 10; ++i) y = (calls * 7 >> i) & 1 ? tanh(y) : y + in[1];
      ++calls;
      return {y};
    };
  };
  CompileOptions options;
  options.name = "many_ways";
  options.most_branches = 5;
  const CompileStats stats = same_as_plain(make, two_matrices, 30, options);
  CHECK(stats.recorded_calls <= 7);
  CHECK(stats.calls == 30);
}

TEST_CASE("compiled at once, the second call runs a plan that is there") {
  CompileOptions options;
  options.compile_at_once = true;
  const auto make = [] { return [](const Tensors& in) -> Tensors { return {tanh(in[0]) * in[1], in[0] + 2.0}; }; };
  const CompileStats stats = same_as_plain(make, two_matrices, 3, options);
  CHECK_COMPILED(stats.compilations + stats.cache_hits == 1);
  CHECK_COMPILED(stats.plan_runs == 2);
  const auto discards = [] { return [](const Tensors& in) -> Tensors { exp(in[0]); return {}; }; };
  same_as_plain(discards, two_matrices, 3, options);
  const auto only_numbers = [] { return [n = 0.0](const Tensors&) mutable -> Tensors { n += 1; return {full({}, n)}; }; };
  same_as_plain(only_numbers, two_matrices, 4, options);
}

TEST_CASE("integers, bools and doubles") {
  const auto make = [] {
    return [](const Tensors& in) -> Tensors {
      const Tensor n = cast(in[0] * 10.0, DType::i64), m = cast(in[1] * 5.0, DType::i32);
      const Tensor big = in[0] > in[1];
      return {n * n, m + 3.0, big, where(big, n, zeros({4, 9}, DType::i64)), argmax(in[0], 1), cast(big, DType::f64) / 3.0};
    };
  };
  CHECK_COMPILED(same_as_plain(make, two_matrices).plan_runs == 4);
}

TEST_CASE("a sum of products of which one is broadcast") {
  const auto make = [] {
    return [](const Tensors& in) -> Tensors {
      const Tensor square = matmul(in[0], transpose(in[1])), column = matmul(in[0], numbers({9, 1}));
      return {square + column, column + matmul(in[1], numbers({9, 4})), square + matmul(in[1], transpose(in[0]))};
    };
  };
  CHECK_COMPILED(same_as_plain(make, two_matrices).plan_runs == 4);
}

TEST_CASE("an index from outside that is out of range throws where it is used") {
  const auto make = [] {
    return [](const Tensors& in) -> Tensors {
      const Tensor y = in[0] * 2.0;
      try {
        return {take(y, in[1])};
      } catch (const UserError&) {
        return {y - 1.0};
      }
    };
  };
  const auto inputs = [](int call) -> Tensors {
    return {numbers({4, 9}), from_vector<int64_t>({0, call % 3 == 2 ? 11 : 3}, {2})};
  };
  const CompileStats stats = same_as_plain(make, inputs, 9);
  CHECK_COMPILED(stats.plan_runs >= 5);
}
