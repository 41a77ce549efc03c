// The gallery of cells (examples/cells): compiled as eager, and the standard ones as the textbooks have them.
#include <catch2/catch.hpp>

#include <cmath>

#include "examples/cells/cell.h"
#include "tests/run/match_harness.h"

namespace calque::cells {
namespace {

constexpr int64_t kInputs = 5, kHidden = 8;
constexpr int kCalls = 4;  // records, compiles, runs, runs again

/// One cell's weights, and a sequence xs [T,B,I] with its first state, all asking for gradients.
struct Workload {
  Workload(const Cell& cell, int64_t steps, int64_t batch) {
    manual_seed(7);
    weights = cell.make_weights(kInputs, kHidden);
    state = cell.make_state(weights, batch);
    xs = nn::normal({steps, batch, kInputs});
    for (Tensor& tensor : weights) tensor.set_requires_grad();
    for (Tensor& tensor : state) tensor.set_requires_grad();
    xs.set_requires_grad();
  }
  Tensors leaves() const {
    Tensors all = weights;
    all.insert(all.end(), state.begin(), state.end());
    all.push_back(xs);
    return all;
  }
  Tensors weights, state;
  Tensor xs;
};

Tensors flat(const Tensor& first, const Tensors& rest) {
  Tensors all = {first};
  all.insert(all.end(), rest.begin(), rest.end());
  return all;
}

/// Gradients of a weighted sum of `results` (a weight for each element, so that no two count alike).
Tensors gradients_of(const Tensors& results, const Tensors& leaves) {
  Tensors outputs, seeds;
  for (const Tensor& result : results) {
    if (!result.requires_grad()) continue;
    outputs.push_back(result);
    seeds.push_back(numbers(result.shape(), 0.2, 0.13));
  }
  return grad(std::span<const Tensor>(outputs), std::span<const Tensor>(leaves), {.output_gradients = seeds});
}

/// Largest difference relative to the largest element.
double distance(const Tensor& ours, const Tensor& expected) {
  const std::vector<float> a = ours.to_vector<float>(), b = expected.to_vector<float>();
  double largest = 1e-6, difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(double{b[i]}));
    difference = std::max(difference, std::abs(double{a[i]} - double{b[i]}));
  }
  return difference / largest;
}

void check_close(const Tensors& ours, const Tensors& expected, double bound) {
  REQUIRE(ours.size() == expected.size());
  for (size_t i = 0; i < ours.size(); ++i) {
    INFO("tensor " << i);
    REQUIRE(ours[i].shape() == expected[i].shape());
    CHECK(distance(ours[i], expected[i]) <= bound);
  }
}

void check_bits(const Tensors& ours, const Tensors& expected) {
  REQUIRE(ours.size() == expected.size());
  for (size_t i = 0; i < ours.size(); ++i) {
    INFO("tensor " << i);
    CHECK(same_bits(ours[i], expected[i]));
  }
}

/// Runs `ours` and `expected` a few times, each drawing the same random numbers, and hands both results to
/// `check`.
template <class Ours, class Expected, class Check>
void compare(Ours&& ours, Expected&& expected, Check&& check) {
  for (int call = 0; call < kCalls; ++call) {
    INFO("call " << call);
    manual_seed(11 + call);
    const auto wanted = expected();
    manual_seed(11 + call);
    check(ours(), wanted);
  }
}

}  // namespace

TEST_CASE("one step of each cell: compiled as eager in every bit, forward and gradients") {
  for (const Cell& cell : gallery())
    for (const int64_t batch : {1, 3, 16}) {
      INFO(cell.name << ", batch " << batch);
      const Workload work(cell, 1, batch);
      auto compiled = compile(cell.step, {.name = cell.name});
      const auto run = [&](auto& step) {
        const Step<Tensors> next = step(work.xs[0], work.state, work.weights);
        return flat(next.output, next.state);
      };
      compare([&] { return run(compiled); }, [&] { return run(cell.step); },
              [&](const Tensors& ours, const Tensors& expected) {
                check_bits(ours, expected);
                check_bits(gradients_of(ours, work.leaves()), gradients_of(expected, work.leaves()));
              });
      CHECK_COMPILED(compiled.stats().plan_runs >= 2);
      CHECK_COMPILED(compiled.stats().backward_plan_runs >= 2);
    }
}

TEST_CASE("each cell over a sequence: cell compiled and loop compiled as eager") {
  for (const Cell& cell : gallery())
    for (const auto& [steps, batch] : {std::pair<int64_t, int64_t>{1, 3}, {2, 1}, {7, 3}}) {
      INFO(cell.name << ", " << steps << " steps, batch " << batch);
      const Workload work(cell, steps, batch);
      auto compiled_cell = compile(cell.step, {.name = cell.name});
      const auto loop = [&](auto& step, const Tensor& xs, const Tensors& state, const Tensors& weights) {
        const Sequence result = over_sequence(step, xs, state, weights);
        return flat(result.outputs, result.state);
      };
      auto compiled_loop =
          compile([&](const Tensor& xs, const Tensors& state,
                      const Tensors& weights) { return loop(cell.step, xs, state, weights); },
                  {.name = cell.name + "_loop"});
      const auto check = [&](const Tensors& ours, const Tensors& expected) {
        check_bits(ours, expected);
        // A region adds what its own ops give for a tensor before it meets the rest: the order of adding is
        // another than the tape's.
        check_close(gradients_of(ours, work.leaves()), gradients_of(expected, work.leaves()), 2e-5);
      };
      const auto expected = [&] { return loop(cell.step, work.xs, work.state, work.weights); };
      compare([&] { return loop(compiled_cell, work.xs, work.state, work.weights); }, expected, check);
      compare([&] { return compiled_loop(work.xs, work.state, work.weights); }, expected, check);
      CHECK_COMPILED(compiled_loop.stats().plan_runs >= 2);
    }
}

namespace {

/// The loop of a cell over a sequence, as one function.
auto loop_of(const Cell& cell) {
  return [step = cell.step](const Tensor& xs, const Tensors& state, const Tensors& weights) mutable {
    const Sequence result = over_sequence(step, xs, state, weights);
    return flat(result.outputs, result.state);
  };
}

}  // namespace

TEST_CASE("each cell's loop: one compiled function for every length and batch, forward and gradients") {
  for (const Cell& cell : gallery()) {
    const bool is_standard = cell.name == "lstm" || cell.name == "layernorm_lstm" || cell.name == "gru";
    auto plain = loop_of(cell);
    auto compiled = compile(loop_of(cell), {.name = cell.name});
    std::vector<int64_t> lengths = {7, 7, 5, 2, 1, 0, 7, 2, 11};
    if (is_standard) lengths.push_back(100);
    for (const int64_t batch : {1, 3, 16})
      for (const int64_t steps : lengths) {
        INFO(cell.name << ", " << steps << " steps, batch " << batch);
        const Workload work(cell, steps, batch);
        manual_seed(5);
        const Tensors expected = plain(work.xs, work.state, work.weights);
        manual_seed(5);
        const Tensors ours = compiled(work.xs, work.state, work.weights);
        check_bits(ours, expected);
        if (steps > 0 && steps < 100) check_close(gradients_of(ours, work.leaves()), gradients_of(expected, work.leaves()), 4e-5);
      }
    const bool reads_each_step = cell.name == "adaptive_rnn";
    if (!reads_each_step) CHECK_COMPILED(compiled.stats().loop_runs >= 5);
  }
}

TEST_CASE("second gradients through loops of cells") {
  for (const char* name : {"lstm", "layernorm_lstm", "gru"}) {
    INFO(name);
    const Cell& cell = find_cell(name);
    const Workload work(cell, 5, 3);
    const auto second = [&](auto& loop) {
      const Tensors results = loop(work.xs, work.state, work.weights);
      const Tensor loss = sum(results[0] * results[0]);
      const Tensors first = grad(loss, work.weights, {.create_graph = true});
      Tensor penalty = sum(first[0] * first[0]);
      for (size_t i = 1; i < first.size(); ++i) penalty = penalty + sum(first[i] * first[i]);
      return grad(penalty, work.weights);
    };
    auto plain = loop_of(cell);
    auto compiled = compile(loop_of(cell), {.name = cell.name});
    const Tensors expected = second(plain);
    for (int call = 0; call < 3; ++call) check_close(second(compiled), expected, 2e-4);
  }
}

namespace {

using Row = std::vector<double>;

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

/// bias + x matrix in double precision: x [K], matrix [K,N], bias [N].
Row affine(const Row& x, const Tensor& matrix, const Tensor& bias) {
  const std::vector<float> w = matrix.to_vector<float>(), b = bias.to_vector<float>();
  Row result(b.begin(), b.end());
  for (size_t k = 0; k < x.size(); ++k)
    for (size_t n = 0; n < result.size(); ++n) result[n] += x[k] * double{w[k * result.size() + n]};
  return result;
}

/// What a textbook makes of one sequence of rows [T][I]: outputs [T][H].
using Textbook = std::vector<Row> (*)(const std::vector<Row>& xs, const Tensors& w);

std::vector<Row> textbook_lstm(const std::vector<Row>& xs, const Tensors& w) {
  Row h(kHidden), c(kHidden);
  std::vector<Row> outputs;
  for (const Row& x : xs) {
    const Row from_x = affine(x, w[0], w[2]), from_h = affine(h, w[1], zeros({4 * kHidden}));
    for (int64_t n = 0; n < kHidden; ++n) {
      const auto gate = [&](int64_t k) { return from_x[k * kHidden + n] + from_h[k * kHidden + n]; };
      c[n] = logistic(gate(1)) * c[n] + logistic(gate(0)) * std::tanh(gate(2));
      h[n] = logistic(gate(3)) * std::tanh(c[n]);
    }
    outputs.push_back(h);
  }
  return outputs;
}

std::vector<Row> textbook_gru(const std::vector<Row>& xs, const Tensors& w) {
  Row h(kHidden);
  std::vector<Row> outputs;
  for (const Row& x : xs) {
    const Row from_x = affine(x, w[0], w[2]), from_h = affine(h, w[1], w[3]);
    for (int64_t n = 0; n < kHidden; ++n) {
      const double r = logistic(from_x[n] + from_h[n]);
      const double z = logistic(from_x[kHidden + n] + from_h[kHidden + n]);
      h[n] = (1 - z) * std::tanh(from_x[2 * kHidden + n] + r * from_h[2 * kHidden + n]) + z * h[n];
    }
    outputs.push_back(h);
  }
  return outputs;
}

std::vector<Row> textbook_rnn(const std::vector<Row>& xs, const Tensors& w) {
  Row h(kHidden);
  std::vector<Row> outputs;
  for (const Row& x : xs) {
    const Row from_x = affine(x, w[0], w[2]), from_h = affine(h, w[1], zeros({kHidden}));
    for (int64_t n = 0; n < kHidden; ++n) h[n] = std::tanh(from_x[n] + from_h[n]);
    outputs.push_back(h);
  }
  return outputs;
}

/// One sequence xs [T,1,I] as rows.
std::vector<Row> rows_of(const Tensor& xs) {
  const std::vector<float> values = xs.to_vector<float>();
  std::vector<Row> rows;
  for (int64_t t = 0; t < xs.size(0); ++t)
    rows.emplace_back(values.begin() + t * kInputs, values.begin() + (t + 1) * kInputs);
  return rows;
}

/// Weighted sum of a textbook's outputs, with the weights that gradients_of() takes.
double objective(Textbook textbook, const std::vector<Row>& xs, const Tensors& weights) {
  double result = 0;
  int64_t place = 0;
  for (const Row& row : textbook(xs, weights))
    for (const double value : row)
      result += double{static_cast<float>(0.2 + 0.13 * static_cast<double>(place++ % 17))} * value;
  return result;
}

/// d objective / d weights[which][at] by a central difference.
double slope(Textbook textbook, const std::vector<Row>& xs, const Tensors& weights, size_t which, size_t at) {
  constexpr float kStep = 1e-3f;
  std::vector<float> values = weights[which].to_vector<float>();
  const float middle = values[at];
  const auto at_value = [&](float value) {
    Tensors moved = weights;
    values[at] = value;
    moved[which] = from_vector(values, weights[which].shape());
    return objective(textbook, xs, moved);
  };
  const float low = middle - kStep, high = middle + kStep;
  return (at_value(high) - at_value(low)) / (double{high} - double{low});
}

}  // namespace

TEST_CASE("the standard cells are those of the textbooks, in double precision") {
  const std::pair<const char*, Textbook> cases[] = {
      {"lstm", &textbook_lstm}, {"gru", &textbook_gru}, {"rnn", &textbook_rnn}};
  for (const auto& [name, textbook] : cases) {
    INFO(name);
    const Cell& cell = find_cell(name);
    const Workload work(cell, 7, 1);
    auto compiled = compile([&](const Tensor& xs, const Tensors& state, const Tensors& weights) {
      return over_sequence(cell.step, xs, state, weights).outputs;
    });
    Tensor outputs;
    for (int call = 0; call < 3; ++call) outputs = compiled(work.xs, work.state, work.weights);
    const std::vector<Row> xs = rows_of(work.xs), expected = textbook(xs, work.weights);
    const std::vector<float> values = outputs.to_vector<float>();
    for (size_t t = 0; t < expected.size(); ++t)
      for (size_t n = 0; n < expected[t].size(); ++n)
        CHECK(double{values[t * kHidden + n]} == Approx(expected[t][n]).margin(2e-6));
    const Tensors gradients = gradients_of({outputs}, work.weights);
    for (size_t which = 0; which < gradients.size(); ++which) {
      const std::vector<float> gradient = gradients[which].to_vector<float>();
      for (size_t at = 0; at < gradient.size(); at += 7)
        CHECK(double{gradient[at]} == Approx(slope(textbook, xs, work.weights, which, at)).margin(2e-4));
    }
  }
}

TEST_CASE("a cell that is not in the gallery is said to be missing") {
  CHECK_THROWS_AS(find_cell("no such cell"), UserError);
  CHECK_THROWS_AS(add_to_gallery(find_cell("lstm")), std::logic_error);
}

}  // namespace calque::cells
