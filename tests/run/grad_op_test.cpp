// grad() inside of a compiled function: an op of the segment, whose gradients are those of the tape.
#include <optional>
#include <utility>

#include "tests/run/loop_programs.h"

using namespace calque;
using namespace calque::loop_programs;

namespace {

Tensor filled_leaf(const Shape& shape, double start) { return doubles(shape, start).set_requires_grad(); }

/// Calls `function` plainly and compiled on what `inputs(call)` gives, and compares within rounding. Every call but the first is
/// one segment that runs as a plan, if `is_one_segment`.
template <class Function, class Inputs>
CompileStats close_to_plain(Function function, Inputs inputs, int calls = 4, bool is_one_segment = true) {
  auto compiled = compile(function);
  for (int call = 0; call < calls; ++call) {
    INFO("call " << call);
    check_close(compiled(inputs(call)), function(inputs(call)));
  }
  const CompileStats stats = compiled.stats();
  if (is_one_segment) {
    CHECK(stats.recorded_calls == 1);
    CHECK_COMPILED(stats.replayed_ops == 0);
    CHECK_COMPILED(stats.plan_runs == static_cast<uint64_t>(calls) - 1);
  }
  return stats;
}

/// w - 0.1 g for each parameter, beside the loss.
Tensors descended(const Tensor& loss, std::span<const Tensor> parameters) {
  const Tensors gradients = grad(loss, parameters);
  Tensors results{loss};
  for (size_t i = 0; i < parameters.size(); ++i) results.push_back(no_grad([&] { return parameters[i] - 0.1 * gradients[i]; }));
  return results;
}

Tensors perceptron_step(const Tensors& in) {
  const Tensor hidden = relu(matmul(in[0], in[1]) + in[2]);
  const Tensor loss = mean(square(matmul(hidden, in[3]) - 0.5));
  return descended(loss, std::span(in).subspan(1));
}
Tensors perceptron_inputs(int call) {
  return {doubles({5, 7}, 0.1 * call), filled_leaf({7, 6}, 0.2), filled_leaf({6}, -0.1), filled_leaf({6, 3}, 0.4)};
}

Tensors lstm_training_step(const Tensors& in) {
  const Tensors w(in.begin() + 1, in.end());
  const Tensors states = lstm(in[0], doubles({kBatch, kHidden}, 0.3), doubles({kBatch, kHidden}, -0.2), w);
  return descended(mean(square(states[0])) + sum(states.back()) + sum(square(w[2])), w);
}
Tensors lstm_inputs(int64_t steps, int call) {
  Tensors in = weights();
  in.insert(in.begin(), doubles({steps, kBatch, kHidden}, 0.05 * call));
  return in;
}

}  // namespace

TEST_CASE("grad op: a training step of a perceptron is one plan") {
  close_to_plain(perceptron_step, perceptron_inputs);
}

TEST_CASE("grad op: a pure training step is entered") {
  auto compiled = compile(pure, perceptron_step);
  for (int call = 0; call < 12; ++call) check_close(compiled(perceptron_inputs(call)), perceptron_step(perceptron_inputs(call)));
  CHECK_COMPILED(compiled.stats().entered_calls >= 6);
}

TEST_CASE("grad op: a training step of a recurrent loop, of any length") {
  for (int64_t steps : {0, 1, 2, 3, 7, 30, 100}) {
    INFO(steps << " steps");
    const auto inputs = [steps](int call) { return lstm_inputs(steps, call); };
    const CompileStats stats = close_to_plain(lstm_training_step, inputs, 3);
    if (steps >= 7) CHECK_COMPILED(stats.loop_runs == 2 * 2);  // there and back
    if (steps >= 30) CHECK_COMPILED(stats.rolled_plans == 1);
  }
}

TEST_CASE("grad op: one way for all lengths, without new code") {
  // A loss over all steps is one row that is longer in each call, and its length is part of the code.
  const auto step = [](const Tensors& in) {
    const Tensors w(in.begin() + 1, in.end());
    const Tensors states = lstm(in[0], doubles({kBatch, kHidden}, 0.3), doubles({kBatch, kHidden}, -0.2), w);
    return descended(mean(square(states[1])) + sum(states[2]), w);
  };
  auto compiled = compile(step);
  uint64_t generations = 0, recorded = 0;
  for (int64_t steps : {7, 7, 9, 9, 30, 100, 12, 64}) {
    INFO(steps << " steps");
    check_close(compiled(lstm_inputs(steps, 1)), step(lstm_inputs(steps, 1)));
    if (steps == 30) generations = compiled.stats().code_generations, recorded = compiled.stats().recorded_calls;
  }
  CHECK(compiled.stats().code_generations == generations);
  CHECK(compiled.stats().recorded_calls == recorded);
}

TEST_CASE("grad op: a gradient penalty, and its gradient inside") {
  const auto penalty = [](const Tensors& in) -> Tensors {
    const Tensor out = sum(tanh(matmul(in[0], in[1])) * in[2]);
    const Tensor slope = grad({out}, {in[0]}, {.create_graph = true})[0];
    const Tensor loss = out + sum(square(slope));
    const Tensors g = grad({loss}, {in[1], in[2]});
    return {loss, slope, g[0], g[1]};
  };
  const auto inputs = [](int call) { return Tensors{filled_leaf({4, 3}, 0.1 * call), filled_leaf({3, 5}, 0.2), filled_leaf({5}, -0.3)}; };
  close_to_plain(penalty, inputs);
}

TEST_CASE("grad op: by rows of a small table, whose products are made once for each row of the table") {
  const auto slope = [](const Tensors& in) -> Tensors {
    const Tensor rows = embedding(in[0], from_vector(std::vector<int64_t>{0, 1, 1, 0, 1, 0, 1, 1}));
    const Tensor out = sum(square(tanh(matmul(rows, in[1]))));
    return grad({out}, {rows, in[0], in[1]});
  };
  close_to_plain(slope, [](int call) { return Tensors{filled_leaf({2, 4}, 0.1 * call), filled_leaf({4, 3}, 0.2)}; }, 4, false);
}

TEST_CASE("grad op: the backward pass of what contains a gradient") {
  const auto slope = [](const Tensors& in) -> Tensors {
    const Tensor out = sum(exp(matmul(in[0], in[1])) * 0.01);
    return grad({out}, {in[0], in[1]}, {.create_graph = true});
  };
  const auto inputs = [](int call) { return Tensors{filled_leaf({4, 3}, 0.1 * call), filled_leaf({3, 5}, 0.2)}; };
  auto compiled = compile(slope);
  for (int call = 0; call < 4; ++call) {
    const auto run = [&](auto& function) {
      Tensors in = inputs(call), out = function(in);
      (sum(square(out[0])) + sum(out[1])).backward();
      Tensors again = inputs(call), third = function(again);
      const Tensors more = grad({sum(square(third[0]))}, {again[0], again[1]}, {.create_graph = true});
      return Tensors{out[0], out[1], in[0].grad(), in[1].grad(), more[0].detach(), more[1].detach(), grad({sum(more[0])}, {again[1]})[0]};
    };
    check_close(run(compiled), run(slope));
  }
  CHECK_COMPILED(compiled.stats().backward_plan_runs >= 3);
}

TEST_CASE("grad op: gradients from outside by what a function with gradients made, and ways that part behind one") {
  const auto make = [] {
    return [calls = 0](const Tensors& in) mutable -> Tensors {
      const Tensor y = tanh(in[0] * in[1]);
      const Tensor slope = grad({sum(y * y * in[0])}, {in[0]}, {.create_graph = true})[0];
      return {y, calls++ % 3 == 1 ? exp(slope) : slope * y};
    };
  };
  auto plain = make();
  auto compiled = compile(make());
  const auto run = [](auto& function, int call) {
    const Tensors in{filled_leaf({4, 3}, 0.1 * call), filled_leaf({4, 3}, 0.4)}, out = function(in);
    return grad({sum(out[1] * out[1]) + sum(out[0])}, {out[0], in[1]});
  };
  for (int call = 0; call < 8; ++call) check_close(run(compiled, call), run(plain, call));
  CHECK_COMPILED(compiled.stats().plan_runs >= 5);
}

TEST_CASE("grad op: second derivatives through a loop") {
  const auto penalty = [](const Tensors& in) -> Tensors {
    const Tensors w(in.begin() + 1, in.end());
    const Tensors states = lstm(in[0], doubles({kBatch, kHidden}, 0.3), doubles({kBatch, kHidden}, -0.2), w);
    const Tensor out = mean(square(states[0]));
    const Tensors first = grad({out}, {in[0], w[1]}, {.create_graph = true});
    const Tensor loss = out + sum(square(first[0])) + sum(square(first[1]));
    Tensors results = grad({loss}, {w[0], w[1], w[2], in[0]});
    results.push_back(loss);
    return results;
  };
  for (int64_t steps : {1, 3, 7, 40}) {
    INFO(steps << " steps");
    const auto inputs = [steps](int call) {
      Tensors in = lstm_inputs(steps, call);
      in[0].set_requires_grad();
      return in;
    };
    close_to_plain(penalty, inputs, 3);
    auto compiled = compile(penalty);
    const auto outside = [&](auto& function) {
      const Tensors in = inputs(0);
      function(in).back().backward();
      return Tensors{in[0].grad(), in[1].grad(), in[2].grad(), in[3].grad()};
    };
    for (int call = 0; call < 3; ++call) check_close(outside(compiled), outside(penalty));
  }
}

TEST_CASE("grad op: a recorded gradient requires grad, whatever it depends on") {
  const auto f = [](const Tensors& in) -> Tensors {
    const Tensors g = grad({sum(in[0] * 3.0)}, {in[0], in[1]}, {.create_graph = true});
    return {g[0], g[1], grad({sum(g[0] * in[0]) + sum(g[1])}, {in[0]})[0]};
  };
  const auto inputs = [](int call) { return Tensors{filled_leaf({4}, 0.1 * call), filled_leaf({4}, 0.5)}; };
  CHECK(f(inputs(0))[0].requires_grad());
  CHECK(f(inputs(0))[1].requires_grad());
  close_to_plain(f, inputs);
  auto compiled = compile(f);
  for (int call = 0; call < 3; ++call) {
    const Tensors in = inputs(call);
    const Tensors out = compiled(in);
    (sum(out[0] * in[0]) + sum(out[1])).backward();
    check_close({in[0].grad(), in[1].grad()}, {full({4}, 3.0, DType::f64), Tensor()});
  }
}

TEST_CASE("grad op: values made on the way, and inputs that nothing depends on") {
  const auto f = [](const Tensors& in) -> Tensors {
    const Tensor y = tanh(in[0] * in[1]), z = y * in[0], unused = exp(in[1]);
    const Tensor loss = sum(z * z) + sum(y);
    Tensors results = grad({loss, sum(z)}, {y, z, in[0], unused, in[2], y, loss, in[0]});
    CHECK(same_bits(results[2].detach(), results[7].detach()) == true);
    results[0].assign_(results[0] * 2.0);  // which is no other result
    return results;
  };
  close_to_plain(f, [](int call) { return Tensors{filled_leaf({4, 3}, 0.1 * call), filled_leaf({4, 3}, 0.5), filled_leaf({2}, 0)}; }, 4, false);
}

TEST_CASE("grad op: states and steps of a loop by which it is differentiated") {
  for (int variant = 0; variant < 6; ++variant) {
    INFO("variant " << variant);
    const auto f = [variant](const Tensors& in) -> Tensors {
      const int64_t steps = in[0].size(0);
      Tensors hs, xs;
      for (int64_t t = 0; t < steps; ++t) xs.push_back(in[0][t]);
      Tensor h = in[1] * 0.5;
      for (int64_t t = 0; t < steps; ++t) {
        h = tanh(h * in[1] + xs[t]);
        hs.push_back(h);
      }
      const Tensor all = stack(hs);
      Tensor loss = sum(h * h) + sum(all) * 0.1 + sum(hs[4]);
      if (variant == 5) loss = loss + sum(stack(xs) * 2.0);
      switch (variant) {
        case 0: return grad({loss}, {hs[4], in[1]});
        case 1: return grad({loss}, {hs[steps - 1], hs[0], in[0]});
        case 2: return grad({loss}, {all, in[1]});
        case 3: return grad({loss}, {xs[3], in[0]});
        default: return grad(loss, xs);
      }
    };
    close_to_plain(f, [](int call) { return Tensors{filled_leaf({12, 3, 4}, 0.1 * call), filled_leaf({3, 4}, 0.5)}; });
  }
}

TEST_CASE("grad op: weights of outputs, which may be anything, and results that are written") {
  const auto f = [](const Tensors& in) -> Tensors {
    const Tensor y = in[0] * 2.0 + in[1], z = transpose(in[0]);
    const Tensor weight = in[2];
    Tensors g = grad(Tensors{y, z}, Tensors{in[0], in[1], y}, {.output_gradients = Tensors{weight, transpose(weight)}});
    g[1].assign_(g[1] * 3.0);
    Tensors results{g[0] + g[1], g[1], g[2], weight * 1.0};
    return results;
  };
  const auto inputs = [](int call) { return Tensors{filled_leaf({4, 3}, 0.1 * call), filled_leaf({4, 3}, 0.5), doubles({4, 3}, -0.4)}; };
  close_to_plain(f, inputs, 4, false);
}

TEST_CASE("grad op: a history that begins before the call is walked on the tape") {
  const auto f = [](const Tensors& in) -> Tensors {
    const Tensor loss = sum(in[0] * in[1]);
    return grad({loss}, {in[1]});
  };
  auto compiled = compile(f);
  for (int call = 0; call < 5; ++call) {
    const auto run = [&](auto& function) {
      const Tensor w = filled_leaf({4}, 0.3);
      return function(Tensors{exp(w), w});
    };
    check_close(run(compiled), run(f));
  }
  // A value of an earlier segment, and a tensor with a history that is itself the only one asked for.
  const auto g = [](const Tensors& in) -> Tensors {
    const Tensor y = in[0] * in[0];
    const bool positive = sum(y).item() > 0;
    const Tensor z = positive ? y * in[0] : y;
    return grad({sum(z)}, {in[0]});
  };
  close_to_plain(g, [](int call) { return Tensors{filled_leaf({4}, 0.1 * call)}; }, 4, false);
  const auto only = [](const Tensors& in) -> Tensors { return grad({sum(in[0] * in[0] * in[1])}, {in[0]}); };
  close_to_plain(only, [](int call) { return Tensors{exp(filled_leaf({4}, 0.1 * call)), doubles({4}, 0.2)}; });
}

TEST_CASE("grad op: elements that somebody may write, and gradients that are off") {
  const auto pointed_at = [](const Tensors& in) -> Tensors { return grad({sum(exp(in[0]) * in[0])}, {in[0]}); };
  close_to_plain(pointed_at, [](int call) {
    Tensor w = filled_leaf({4}, 0.1 * call);
    w.mutable_data<double>()[1] = 0.25;
    return Tensors{w};
  }, 4, false);
  const auto guarded = [](const Tensors& in) -> Tensors {
    const Tensor y = sum(exp(in[0] * in[1]));
    std::optional<NoGradGuard> no_grad(std::in_place);
    const Tensor g = grad({y}, {in[0]}, {.create_graph = true})[0], h = grad({y}, {in[1]})[0], product = g * h;
    no_grad.reset();
    return {product, g, h, grad({sum(g)}, {in[1]})[0]};
  };
  close_to_plain(guarded, [](int call) { return Tensors{filled_leaf({4}, 0.1 * call), filled_leaf({4}, 0.3)}; }, 4, false);
}

TEST_CASE("grad op: a gradient in each step of a loop") {
  for (const bool is_carried : {true, false}) {
    const auto f = [is_carried](const Tensors& in) -> Tensors {
      Tensor w = in[1], total = zeros({4}, DType::f64);
      for (int64_t t = 0; t < in[0].size(0); ++t) {
        const Tensor loss = sum(square(tanh(w * in[0][t]) - 0.3));
        const Tensor g = grad({loss}, {w})[0];
        if (is_carried) w = w - 0.1 * g;
        total = total + g;
      }
      return {w, total};
    };
    for (int64_t steps : {1, 3, 9, 40}) {
      INFO(steps << " steps");
      close_to_plain(f, [steps](int call) { return Tensors{doubles({steps, 4}, 0.1 * call), filled_leaf({4}, 0.3)}; }, 3);
    }
    auto compiled = compile(f);
    for (int64_t steps : {5, 5, 9, 9, 12, 3, 1, 12}) {
      const auto inputs = [&] { return Tensors{doubles({steps, 4}, 0.1), filled_leaf({4}, 0.3)}; };
      check_close(compiled(inputs()), f(inputs()));
    }
  }
}

TEST_CASE("grad op: it refuses what it refused before") {
  const auto message_of = [](auto&& call) {
    try {
      call();
    } catch (const UserError& error) {
      return std::string(error.what());
    }
    return std::string("none");
  };
  const auto f = [&](const Tensors& in) -> Tensors {
    const Tensor y = in[0] * 2.0, plain = in[1] * 2.0;
    int64_t refused = 0;
    refused += message_of([&] { grad({y}, {in[0]}); }) != "none";
    refused += message_of([&] { grad({sum(y)}, {plain}); }) != "none";
    refused += message_of([&] { grad({sum(plain)}, {in[0]}); }) != "none";
    refused += message_of([&] { grad(Tensors{y}, Tensors{in[0]}, {.output_gradients = Tensors{in[0][0]}}); }) != "none";
    refused += message_of([&] { grad(Tensors{y}, Tensors{in[0]}, {.output_gradients = Tensors{y, y}}); }) != "none";
    CHECK(refused == 5);
    return {y + plain, grad({sum(y * plain)}, {in[0]})[0]};
  };
  close_to_plain(f, [](int call) { return Tensors{filled_leaf({4}, 0.1 * call), doubles({4}, 0.5)}; }, 4, false);
}

TEST_CASE("grad inside: by an input that is another one, too, in some calls") {
  const auto products = [](const Tensor& a, const Tensor& b) {
    const Tensor loss = sum(square(a) * 0.5);
    return Tensors{loss, grad({loss}, {b})[0]};
  };
  const auto read_both = [](const Tensor& a, const Tensor& b) {
    const Tensor loss = sum(square(a) * b);
    return Tensors{loss, grad({loss}, {b})[0]};
  };
  const Tensor x = filled_leaf({6}, 0.2), y = filled_leaf({6}, -0.3);
  const auto check = [&](auto function) {
    auto compiled = compile(function);
    for (int call = 0; call < 12; ++call) {
      INFO("call " << call);
      const Tensor& b = call % 3 == 2 || call > 8 ? x : y;
      check_close(compiled(x, b), function(x, b));
    }
    CHECK_COMPILED(compiled.stats().plan_runs > 0);
  };
  check(products);
  check(read_both);
}
