// Cells that nobody named: gates in another order, ops in another order, states of other shapes and types or read by nobody,
// bodies of many ops. What rolls is decided by what repeats, so they roll as the famous ones do.
#include "tests/run/loop_programs.h"

using namespace calque;
using namespace calque::loop_programs;

namespace {

struct UnnamedCell {
  const char* name;
  std::function<Tensors(const Tensor& x, const Tensors& state, const Tensors& w)> step;  // the next state; its first is the output
  std::function<Tensors()> state;
};

Tensors two_states() { return {state(0.3), state(-0.2)}; }
Tensors three_states() { return {state(0.3), state(-0.2), state(0.1)}; }

Tensor gate_of(const Tensor& tensor, int64_t which) { return slice(tensor, -1, which * kHidden, (which + 1) * kHidden); }

/// Output gate first, the candidate last but one; biases before products, products the other way round.
Tensors gates_permuted(const Tensor& x, const Tensors& s, const Tensors& w) {
  const Tensor gates = (w[2] + matmul(s[0], w[1])) + matmul(x, w[0]);
  const Tensor candidate = tanh(gate_of(gates, 2));
  const Tensor next = candidate * sigmoid(gate_of(gates, 3)) + s[1] * sigmoid(gate_of(gates, 1));
  return {tanh(next) * sigmoid(gate_of(gates, 0)), next};
}

/// A product for each gate, by a part of the weights, each where it is needed.
Tensors product_for_each_gate(const Tensor& x, const Tensors& s, const Tensors& w) {
  const auto gate = [&](int64_t which) {
    return matmul(x, gate_of(w[0], which)) + matmul(s[0], gate_of(w[1], which)) + gate_of(w[2], which);
  };
  const Tensor keep = sigmoid(gate(1)) * s[1];
  const Tensor next = keep + sigmoid(gate(0)) * tanh(gate(2));
  return {sigmoid(gate(3)) * tanh(next), next};
}

/// Gates that share one, a sum of the past that is only read after the loop, and a state that nobody reads at all.
Tensors unread_states(const Tensor& x, const Tensors& s, const Tensors& w) {
  const Tensor share = softmax(matmul(s[0], w[3]) + x, -1);
  const Tensor next = share * tanh(x) + (1.0 - share) * s[0];
  return {next, s[1] + abs(next), s[2] * 0.5 + x};
}

/// States are handed on in a ring, one of them as it is.
Tensors states_in_a_ring(const Tensor& x, const Tensors& s, const Tensors& w) {
  return {tanh(matmul(s[2], w[3]) + x), s[0] * 0.9, s[1]};
}

/// A matrix that rows are added to, a column of greatest values, and a counter of integers.
Tensors other_shapes(const Tensor& x, const Tensors& s, const Tensors& w) {
  const Tensor query = tanh(matmul(x, w[3]));
  const Tensor memory = s[1] * 0.9 + matmul(unsqueeze(query, 2), unsqueeze(x, 1)) * 0.1;
  const Tensor found = squeeze(matmul(unsqueeze(query, 1), memory), {1});
  const Tensor most = maximum(s[2], max(found, {-1}, true));
  return {found + s[0] * 0.5, memory, most, s[3] + 1, where(s[3] > 3, s[4] + found, s[4])};
}
Tensors states_of_other_shapes() {
  return {state(0.3), doubles({kBatch, kHidden, kHidden}, 0.1) * 0.1, doubles({kBatch, 1}, -3.0),
          full({kBatch, 1}, 0.0, DType::i64), state(0.0)};
}

/// Forty ops and more, of which each reads two before it.
Tensors forty_ops(const Tensor& x, const Tensors& s, const Tensors& w) {
  Tensors made{x, s[0], s[1], matmul(s[0], w[3])};
  for (size_t i = 0; i < 40; ++i) {
    const Tensor &a = made[made.size() - 1], &b = made[(i * 7 + 2) % made.size()];
    switch (i * 5 % 7) {
      case 0: made.push_back(tanh(a)); break;
      case 1: made.push_back(a + b); break;
      case 2: made.push_back(a * sigmoid(b)); break;
      case 3: made.push_back(maximum(a, b) - 0.1); break;
      case 4: made.push_back(where(a > b, a * 0.5, b)); break;
      case 5: made.push_back(a - mean(b, {-1}, true)); break;
      default: made.push_back(clamp(a, -2.0, 2.0)); break;
    }
  }
  return {tanh(made.back()), clamp(made[made.size() - 3] * 0.5, -2.0, 2.0)};
}

/// Two products, one of them of what the other gave, and a residual.
Tensors deep_transition(const Tensor& x, const Tensors& s, const Tensors& w) {
  Tensor h = tanh(matmul(s[0], w[3]) + x);
  for (int layer = 0; layer < 2; ++layer) h = h + relu(matmul(layer_norm(h), gate_of(w[1], layer)));
  return {h * 0.5, s[1] - h * s[1] * 0.1};
}

const UnnamedCell kUnnamed[] = {
    {"gates permuted", gates_permuted, two_states},
    {"a product for each gate", product_for_each_gate, two_states},
    {"unread states", unread_states, three_states},
    {"states in a ring", states_in_a_ring, three_states},
    {"other shapes", other_shapes, states_of_other_shapes},
    {"forty ops", forty_ops, two_states},
    {"deep transition", deep_transition, two_states},
};

/// The stacked outputs and the last state of a loop.
auto loop_of_unnamed(const UnnamedCell& cell) {
  return [&cell](const Tensor& xs, Tensors state, const Tensors& w) {
    Tensors outputs;
    for (int64_t t = 0; t < xs.size(0); ++t) {
      state = cell.step(xs[t], state, w);
      outputs.push_back(state[0]);
    }
    if (!outputs.empty()) state.push_back(stack(outputs));
    return state;
  };
}

}  // namespace

TEST_CASE("unnamed cells: they roll, and give eager execution's bits at any length") {
  const Tensors w = weights();
  const NoGradGuard no_grad;
  for (const UnnamedCell& cell : kUnnamed) {
    const auto plain = loop_of_unnamed(cell);
    auto compiled = compile(plain);
    for (int64_t steps : {7, 7, 9, 2, 1, 0, 30, 9}) {
      INFO(cell.name << ", " << steps << " steps");
      const Tensor xs = sequence(steps);
      check_same(compiled(xs, cell.state(), w), plain(xs, cell.state(), w), "results");
    }
    INFO(cell.name);
    CHECK_COMPILED(compiled.stats().loop_runs == 3);  // two calls show what is a size; those of 0 to 2 steps have no loop
    CHECK_COMPILED(compiled.stats().rolled_plans >= 1);
  }
}

TEST_CASE("unnamed cells: gradients of weights and sequence within rounding") {
  for (const UnnamedCell& cell : kUnnamed) {
    const auto plain = loop_of_unnamed(cell);
    const auto all_of = [&](auto& function, int64_t steps) {
      const Tensors w = weights();
      const Tensor xs = sequence(steps).set_requires_grad();
      Tensors all = function(xs, cell.state(), w);
      Tensor loss = full({}, 0.0, DType::f64);
      for (const Tensor& result : all)
        if (result.requires_grad()) loss = loss + sum(result * result);
      for (const Tensor& gradient : grad({loss}, {xs, w[0], w[1], w[2], w[3]})) all.push_back(gradient);
      return all;
    };
    auto compiled = compile(plain);
    for (int64_t steps : {7, 7, 9, 2, 1, 30}) {
      INFO(cell.name << ", " << steps << " steps");
      const Tensors ours = all_of(compiled, steps), expected = all_of(plain, steps);
      const NoGradGuard no_grad;
      REQUIRE(ours.size() == expected.size());
      for (size_t i = 0; i < ours.size(); ++i) {
        INFO("tensor " << i);
        CHECK(ours[i].requires_grad() == expected[i].requires_grad());
        CHECK(max(abs(ours[i] - expected[i])).item() <= 1e-11 * (1 + max(abs(expected[i])).item()));
      }
    }
    CHECK_COMPILED(compiled.stats().loop_runs >= 2);
    CHECK_COMPILED(compiled.stats().backward_plan_runs >= 2);
  }
}
