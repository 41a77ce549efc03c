// Gradients of and in compiled functions: modes that change, history across calls, saved values that are written.
#include <limits>
#include <memory>
#include <optional>

#include "tests/run/match_harness.h"

using namespace calque;

namespace {

/// Runs `body(function, call)` plainly and compiled, `calls` times, and compares the tensors that it gives.
template <class Function, class Body>
CompileStats same_history(Function function, Body body, int calls = 5) {
  auto plain = function;
  auto compiled = compile(function);
  for (int call = 0; call < calls; ++call) {
    INFO("call " << call);
    const Tensors expected = body(plain, call), ours = body(compiled, call);
    check_same(ours, expected, "history");
  }
  return compiled.stats();
}

bool throws_user_error(const std::function<void()>& f) {
  try {
    f();
  } catch (const UserError&) {
    return true;
  }
  return false;
}

}  // namespace

TEST_CASE("part of the function records gradients in some calls only") {
  const auto make = [](bool records) {
    return [records](const Tensor& x, const Tensor& w) {
      std::optional<NoGradGuard> no_grad;
      if (!records) no_grad.emplace();
      const Tensor scale = exp(w);
      no_grad.reset();
      return tanh(x * scale);
    };
  };
  bool records = true;
  auto compiled = compile([&](const Tensor& x, const Tensor& w) { return make(records)(x, w); });
  for (int call = 0; call < 12; ++call) {
    INFO("call " << call);
    records = call < 3 || call % 2 == 0;
    const Tensor x = leaf({4, 9}, 0.1 * call), w = leaf({9});
    const Tensor ours = compiled(x, w), expected = make(records)(x, w);
    check_same({ours.detach()}, {expected.detach()}, "result");
    sum(ours).backward();
    const Tensor other_x = leaf({4, 9}, 0.1 * call), other_w = leaf({9});
    sum(make(records)(other_x, other_w)).backward();
    CHECK(bool(w.grad()) == records);
    CHECK(bool(w.grad()) == bool(other_w.grad()));
  }
}

TEST_CASE("detach in the function cuts the gradient") {
  const auto f = [](const Tensor& x, const Tensor& w) { return tanh(x * w) * detach(exp(w)) + w.detach() * x; };
  const CompileStats stats = same_history(f, [](auto& g, int call) -> Tensors {
    const Tensor x = leaf({4, 9}, 0.1 * call), w = leaf({9});
    const Tensor y = g(x, w);
    sum(y * y).backward();
    return {y, x.grad(), w.grad()};
  });
  CHECK_COMPILED(stats.backward_plan_runs == 4);
}

TEST_CASE("gradients are off in a part of the function") {
  const auto f = [](const Tensor& x, const Tensor& w) -> Tensors {
    const Tensor y = tanh(x * w);
    const Tensor scale = no_grad([&] { return max(y * w, {1}, true); });
    const Tensor view = no_grad([&] { return transpose(y); });
    return {y * scale, view, view * x.size(0)};
  };
  const CompileStats stats = same_history(f, [](auto& g, int call) -> Tensors {
    const Tensor x = leaf({4, 9}, 0.1 * call), w = leaf({9});
    Tensors y = g(x, w);
    sum(y[0]).backward();
    y.push_back(x.grad());
    y.push_back(w.grad());
    return y;
  });
  CHECK_COMPILED(stats.backward_plan_runs == 4);
}

TEST_CASE("gradients are on in a part of a function that is called without") {
  const auto f = [](const Tensor& x, const Tensor& w) { return tanh(x) * w; };
  const CompileStats stats = same_history(f, [](auto& g, int call) -> Tensors {
    const Tensor x = leaf({4, 9}, 0.1 * call), w = leaf({9});
    if (call % 2) return {no_grad([&] { return g(x, w); })};
    const Tensor y = g(x, w);
    y.backward(numbers({4, 9}));
    return {y, x.grad(), w.grad()};
  }, 9);
  CHECK(stats.recorded_calls == 2);
  CHECK_COMPILED(stats.backward_plan_runs == 4);
}

TEST_CASE("requires_grad changes between calls") {
  const auto f = [](const Tensor& x, const Tensor& w) { return sum(tanh(x) * w + x); };
  same_history(f, [](auto& g, int call) -> Tensors {
    Tensor x = numbers({4, 9}, 0.1 * call), w = numbers({9});
    x.set_requires_grad(call % 2);
    w.set_requires_grad(call % 3 == 0);
    const Tensor y = g(x, w);
    if (y.requires_grad()) y.backward();
    return {y, x.grad(), w.grad()};
  }, 14);
}

TEST_CASE("requires_grad is asked for inside the function") {
  const auto f = [](const Tensor& x) -> Tensors {
    Tensor w = x * 2.0;
    w.set_requires_grad();
    const Tensor y = sum(w * w * x);
    y.backward();
    Tensor z = w * 3.0;
    const bool refused = throws_user_error([&] { z.set_requires_grad(false); });
    return {y, w.grad(), from_value(static_cast<int64_t>(refused)), z};
  };
  same_history(f, [](auto& g, int call) { return g(numbers({4, 9}, call)); });
}

TEST_CASE("backward() inside the function, through a tensor from outside and on") {
  Tensor w = leaf({9}, 0.3);
  const auto f = [&](const Tensor& x) -> Tensors {
    const Tensor y = tanh(x * w);
    sum(y * y).backward();
    const Tensor g = w.grad();
    w.clear_grad();
    return {g, no_grad([&] { return w - 0.1 * g; }), y * g};
  };
  const CompileStats stats = same_history(f, [](auto& g, int call) {
    Tensor x = numbers({4, 9}, 0.2 * call) * leaf({4, 9}, 0.7);
    return g(x);
  });
  CHECK(stats.recorded_calls <= 2);
}

TEST_CASE("a whole training step in the function") {
  const auto make_step = [] {
    return [w = leaf({9, 16}, -0.5, 0.07), b = leaf({16}, 0)](const Tensor& x) mutable {
      const Tensor loss = mean(tanh(matmul(x, w) + b) * numbers({4, 16}));
      loss.backward();
      no_grad([&] {
        for (Tensor* parameter : {&w, &b}) {
          parameter->assign_(*parameter - 0.5 * parameter->grad());
          parameter->clear_grad();
        }
      });
      return loss;
    };
  };
  auto plain = make_step();
  auto compiled = compile(make_step());
  for (int step = 0; step < 10; ++step) CHECK(same_bits(compiled(numbers({4, 9}, 0.1 * step)), plain(numbers({4, 9}, 0.1 * step))));
  CHECK(compiled.stats().recorded_calls <= 2);
  CHECK_COMPILED(compiled.stats().backward_plan_runs >= 8);
}

TEST_CASE("gradients that are recorded themselves, through a compiled function") {
  const auto f = [](const Tensor& x, const Tensor& w) { return tanh(matmul(x, w)) * 2.0 + sum(x, {1}, true); };
  same_history(f, [](auto& g, int call) -> Tensors {
    const Tensor x = leaf({4, 9}, 0.1 * call), w = leaf({9, 5}, 0.1, 0.03);
    const Tensor y = sum(g(x, w) * numbers({4, 5}));
    const Tensor outputs[] = {y}, inputs[] = {x, w};
    const Tensors first = grad(outputs, inputs, {.create_graph = true});
    const Tensor again[] = {sum(first[0] * first[0]) + sum(first[1])};
    const Tensors second = grad(again, inputs);
    return {y, first[0].detach(), first[1].detach(), second[0], second[1]};
  });
}

TEST_CASE("recorded gradients inside a compiled function") {
  const auto f = [](const Tensor& x) -> Tensors {
    const Tensor y[] = {sum(exp(x) * x)}, inputs[] = {x};
    const Tensor g = grad(y, inputs, {.create_graph = true})[0];
    const Tensor z[] = {sum(g * g)};
    return {g.detach(), grad(z, inputs)[0]};
  };
  same_history(f, [](auto& g, int call) { return g(leaf({4, 9}, 0.1 * call)); });
}

TEST_CASE("recorded gradients do not read an input that was written since") {
  const auto f = [](const Tensor& x) { return exp(x); };
  auto compiled = compile(f);
  for (int call = 0; call < 4; ++call) {
    INFO("call " << call);
    Tensor x = leaf({5}, 0.1 * call);
    const Tensor expected = exp(x).detach();
    const Tensor y = compiled(x);
    no_grad([&] { x.assign_(x * 100.0); });
    const Tensor outputs[] = {sum(y)}, inputs[] = {x};
    Tensor g;
    // Right or refused, but never silently something else.
    if (!throws_user_error([&] { g = grad(outputs, inputs, {.create_graph = true})[0]; })) CHECK(same_bits(g, expected));
    CHECK(same_bits(grad(outputs, inputs)[0], expected));
  }
}

TEST_CASE("a saved tensor is written before backward(): refused where eager execution refuses") {
  const std::vector<std::function<Tensor(const Tensor&, const Tensor&)>> programs = {
      [](const Tensor& x, const Tensor& w) { return x * w; },          [](const Tensor& x, const Tensor& w) { return x + w; },
      [](const Tensor& x, const Tensor& w) { return exp(x) + w; },     [](const Tensor& x, const Tensor& w) { return tanh(x * 2.0) - w; },
      [](const Tensor& x, const Tensor& w) { return log(x + 3.0) + w; }, [](const Tensor& x, const Tensor& w) { return exp(x * 3.0) * 2.0 + w; },
      [](const Tensor& x, const Tensor& w) { return sum(x * w * w, {0}, true); },
      [](const Tensor& x, const Tensor& w) { return layer_norm(x) + w; },
      [](const Tensor& x, const Tensor& w) { return where(x > 0.0, x, w); },
      [](const Tensor& x, const Tensor& w) { return softmax(x) * 1.5 + w; },
  };
  for (size_t p = 0; p < programs.size(); ++p) {
    auto compiled = compile(programs[p]);
    for (int call = 0; call < 4; ++call)
      for (int written = 0; written < 3; ++written) {
        INFO("program " << p << ", call " << call << ", written " << written);
        const auto run = [&](auto& f) -> Tensors {
          Tensor x = leaf({4, 9}, 0.05 * call), w = leaf({4, 9}, 0.3), y = f(x, w);
          no_grad([&] { (written == 0 ? x : written == 1 ? w : y).assign_(numbers(y.shape().rank() && written == 2 ? y.shape() : Shape{4, 9}, 5)); });
          if (throws_user_error([&] { sum(y).backward(); })) return {};
          return {x.grad(), w.grad()};
        };
        const Tensors expected = run(programs[p]), ours = run(compiled);
        check_same(ours, expected, "gradients");
      }
    CHECK(compiled.stats().recorded_calls == 1);
  }
}

TEST_CASE("two backward passes over one region") {
  const auto f = [](const Tensor& x, const Tensor& w) { return tanh(matmul(x, w)); };
  same_history(f, [](auto& g, int call) -> Tensors {
    const Tensor x = leaf({4, 9}, 0.1 * call), w = leaf({9, 5}, 0.1, 0.03);
    const Tensor y = g(x, w), loss = sum(y * y);
    loss.backward();
    const Tensor first = w.grad() * 1.0;
    loss.backward();
    return {first, x.grad(), w.grad()};
  });
}

TEST_CASE("the gradient of only one of several results, where that of the others would be no number") {
  const auto f = [](const Tensor& x) -> Tensors { return {x * 2.0, log(x), sqrt(x) / x, x * x}; };
  const CompileStats stats = same_history(f, [](auto& g, int call) -> Tensors {
    const Tensor x = from_vector<float>({0, 1, -0.0f, 2, std::numeric_limits<float>::infinity()}).set_requires_grad();
    const Tensors y = g(x);
    sum(y[call % 2 ? 0 : 3] * y[0]).backward();
    return {x.grad()};
  }, 8);
  CHECK(stats.recorded_calls == 1);
}

TEST_CASE("loss and predictions come back, and only the loss is differentiated") {
  const auto f = [](const Tensor& x, const Tensor& w) -> Tensors {
    const Tensor predictions = matmul(x, w);
    return {mean(tanh(predictions) * -0.0), predictions, mean(predictions * predictions)};
  };
  const CompileStats stats = same_history(f, [](auto& g, int call) -> Tensors {
    const Tensor x = leaf({4, 9}, 0.1 * call), w = leaf({9, 5}, 0.1, 0.03);
    const Tensors y = g(x, w);
    y[0].backward();
    return {x.grad(), w.grad()};
  });
  CHECK(stats.recorded_calls == 1);
}

TEST_CASE("the gradient with respect to a value made in the function") {
  const auto f = [](const Tensor& x, const Tensor& w) -> Tensors {
    const Tensor hidden = tanh(matmul(x, w));
    const Tensor loss = sum(hidden * hidden * 0.5);
    return {hidden, loss, exp(hidden)};
  };
  const CompileStats stats = same_history(f, [](auto& g, int call) -> Tensors {
    const Tensor x = leaf({4, 9}, 0.1 * call), w = leaf({9, 5}, 0.1, 0.03);
    const Tensors y = g(x * 2.0, w);
    const Tensor outputs[] = {y[1], sum(y[2])}, inputs[] = {y[0], x, y[1]};
    Tensors gradients = grad(outputs, inputs);
    const Tensor one[] = {y[1]}, hidden[] = {y[0], w};
    for (const Tensor& t : grad(one, hidden, {.create_graph = call % 2 == 1})) gradients.push_back(t.detach());
    y[0].backward(numbers({4, 5}));
    gradients.push_back(w.grad());
    return gradients;
  });
  CHECK_COMPILED(stats.plan_runs == 4);
}

TEST_CASE("results that require grad but through which none flows") {
  const auto f = [](const Tensor& x) -> Tensors { return {floor(x), x * 0.0, floor(x) + 1.0}; };
  const CompileStats stats = same_history(f, [](auto& g, int call) -> Tensors {
    const Tensor x = leaf({7}, call);
    Tensors y = g(x);
    CHECK(throws_user_error([&] { y[0].set_requires_grad(false); }));
    sum(y[0] * 2.0 + y[2]).backward();
    return {x.grad(), y[0].grad(), y[0], y[2].grad()};
  });
  CHECK(stats.recorded_calls == 1);
  const auto only = [](const Tensor& x) { return floor(x); };
  same_history(only, [](auto& g, int call) -> Tensors {
    const Tensor x = leaf({7}, call), y = g(g(x));
    sum(y).backward();
    return {x.grad(), y.grad(), y};
  });
}

TEST_CASE("a recurrent cell called five times: gradients of its weights add up as in eager execution") {
  const auto cell = [](const Tensor& x, const Tensor& h, const Tensor& w, const Tensor& u) {
    return tanh(matmul(x, w) + matmul(h, u));
  };
  const CompileStats stats = same_history(cell, [](auto& g, int call) -> Tensors {
    const Tensor w = leaf({9, 16}, -0.5, 0.03), u = leaf({16, 16}, 0.1, 0.01);
    Tensor h = zeros({4, 16});
    Tensors xs;
    for (int t = 0; t < 5; ++t) h = g(xs.emplace_back(leaf({4, 9}, 0.1 * t + call)), h, w, u);
    sum(h * numbers({4, 16})).backward();
    Tensors all = {h, w.grad(), u.grad()};
    for (const Tensor& x : xs) all.push_back(x.grad());
    return all;
  });
  CHECK(stats.recorded_calls <= 2);
  CHECK_COMPILED(stats.backward_plan_runs >= 20);
}

TEST_CASE("three layers of one compiled function") {
  const auto layer = [](const Tensor& x, const Tensor& w, const Tensor& b) { return layer_norm(silu(matmul(x, w) + b)); };
  const CompileStats stats = same_history(layer, [](auto& g, int call) -> Tensors {
    Tensors parameters;
    Tensor y = numbers({4, 8}, 0.1 * call);
    for (int i = 0; i < 3; ++i) {
      const Tensor w = parameters.emplace_back(leaf({8, 8}, 0.1 * i - 0.4, 0.05));
      parameters.emplace_back(leaf({8}, 0.01 * i));
      y = g(y, w, parameters.back());
    }
    sum(y * numbers({4, 8})).backward();
    Tensors all = {y};
    for (const Tensor& p : parameters) all.push_back(p.grad());
    return all;
  });
  CHECK(stats.recorded_calls == 2);  // the input of the first layer requires no gradient
  CHECK_COMPILED(stats.plan_runs == 13);
}

TEST_CASE("updates in the manner of Adam between calls") {
  const auto run = [](bool compiled_way) {
    Tensor w = leaf({9, 16}, -0.4, 0.03), m = zeros({9, 16}), v = zeros({9, 16});
    const auto f = [&](const Tensor& x) { return mean(tanh(matmul(x, w)) * numbers({4, 16})); };
    auto compiled = compile(f);
    Tensors losses;
    for (int step = 1; step <= 12; ++step) {
      const Tensor x = numbers({4, 9}, 0.1 * step);
      const Tensor loss = compiled_way ? compiled(x) : f(x);
      loss.backward();
      no_grad([&] {
        const Tensor g = w.grad();
        m.assign_(0.9 * m + 0.1 * g);
        v.assign_(0.99 * v + 0.01 * (g * g));
        w.assign_(w - 0.01 * m / (sqrt(v) + 1e-8));
      });
      w.clear_grad();
      losses.push_back(loss.detach());
    }
    losses.push_back(w.detach());
    if (compiled_way) CHECK(compiled.stats().recorded_calls == 1);
    return losses;
  };
  check_same(run(true), run(false), "losses");
}

TEST_CASE("aliased arguments that require grad") {
  const auto f = [](const Tensor& a, const Tensor& b) { return tanh(a) * b; };
  same_history(f, [](auto& g, int call) -> Tensors {
    const Tensor a = leaf({4, 9}, 0.1 * call), b = leaf({4, 9}, 0.5);
    sum(g(a, call % 2 ? a : b)).backward();
    return {a.grad(), b.grad()};
  }, 8);
}

TEST_CASE("a value of one segment is differentiated through the next") {
  const auto f = [](const Tensor& x, const Tensor& w) {
    const Tensor h = tanh(x * w);
    const double scale = max(h).item();
    const Tensor y = h * scale + w;
    return sum(y).item() > 0 ? exp(y) : sigmoid(y);
  };
  const CompileStats stats = same_history(f, [](auto& g, int call) -> Tensors {
    const Tensor x = leaf({4, 9}, call % 2 ? 0.3 : -1.7), w = leaf({4, 9}, 0.1, 0.01);
    const Tensor y = g(x, w);
    y.backward(numbers({4, 9}));
    return {y, x.grad()};
  }, 8);
  CHECK_COMPILED(stats.backward_plan_runs >= 8);
}

TEST_CASE("values kept across a backward pass of a part") {
  const auto f = [kept = Tensor()](const Tensor& x) mutable -> Tensors {
    const Tensor y = exp(x), z = y * y;
    const Tensor carried = kept ? z + kept : z;
    kept = detach(z);
    return {carried, y};
  };
  same_history(f, [](auto& g, int call) -> Tensors {
    const Tensor x = leaf({4, 9}, 0.1 * call);
    const Tensors y = g(x);
    y[1].backward(numbers({4, 9}));
    const Tensor first = x.grad();
    y[0].backward(numbers({4, 9}));
    return {first, x.grad()};
  });
}
