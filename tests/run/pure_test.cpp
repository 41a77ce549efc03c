// compile(pure, ...): functions that are what they were declared to be.
#include <map>
#include <optional>
#include <string>
#include <variant>

#include "calque/calque.h"
#include "tests/run/match_harness.h"

using namespace calque;

namespace {

/// Counts how often the function's own code ran.
template <class Function>
struct Counted {
  Function function;
  std::shared_ptr<int> runs = std::make_shared<int>(0);
  template <class... Arguments>
  auto operator()(Arguments&&... arguments) const {
    ++*runs;
    return function(std::forward<Arguments>(arguments)...);
  }
};
template <class Function>
Counted(Function) -> Counted<Function>;

}  // namespace

TEST_CASE("a pure function: the bits of eager execution without its code running") {
  const Counted function{[](const Tensor& x, const Tensor& y) { return tanh(x * y + 1.0) * sigmoid(x); }};
  auto compiled = compile(pure, function);
  for (int call = 0; call < 40; ++call) {
    const Tensor x = numbers({5, 33}, call), y = numbers({5, 33}, -call);
    CHECK(same_bits(compiled(x, y), function.function(x, y)));
  }
  const CompileStats stats = compiled.stats();
  CHECK(stats.calls == 40);
  CHECK(stats.keys == 1);
  if (!can_compile()) return;
  CHECK(stats.entered_calls == 40 - static_cast<uint64_t>(*function.runs));
  CHECK(*function.runs <= 2 + 4);  // and audits at about 4, 8, 16, 32
  CHECK(*function.runs >= 2 + 3);
  CHECK(stats.audits == static_cast<uint64_t>(*function.runs) - 1);
  CHECK(stats.plan_runs == 39);
}

TEST_CASE("without audits the code of a pure function runs twice") {
  const Counted function{[](const Tensor& x) { return exp(x) + 1.0; }};
  auto compiled = compile(pure, function, {.audits = false});
  for (int call = 0; call < 100; ++call)
    CHECK(same_bits(compiled(numbers({7}, call)), exp(numbers({7}, call)) + 1.0));
  CHECK(*function.runs == (can_compile() ? 2 : 100));
}

TEST_CASE("gradients through a pure function") {
  const auto function = [](const Tensor& x, const Tensor& w) { return layer_norm(tanh(matmul(x, w))); };
  auto compiled = compile(pure, function);
  const Tensor w = numbers({33, 8}, -0.4, 0.05).set_requires_grad();
  for (int call = 0; call < 12; ++call) {
    const Tensor x = numbers({6, 33}, 0.1 * call, 0.02).set_requires_grad();
    const auto gradients = [&](auto&& f) {
      const Tensor loss = sum(f(x, w) * numbers({6, 8}));
      const Tensor inputs[] = {x, w}, outputs[] = {loss};
      return grad(outputs, inputs);
    };
    check_same(gradients(compiled), gradients(function), "gradients");
  }
  CHECK_COMPILED(compiled.stats().entered_calls >= 6);
  CHECK_COMPILED(compiled.stats().backward_plan_runs == 11);
}

TEST_CASE("each of dtype, sizes, layout, gradient, grad mode and numbers is in the key") {
  auto compiled = compile(pure, [](const Tensor& x, double scale) { return x * scale; });
  const auto check = [&](const Tensor& x, double scale, uint64_t keys) {
    for (int call = 0; call < 4; ++call) {
      const Tensor y = compiled(x, scale);
      CHECK(same_bits(y, x * scale));
      CHECK(y.requires_grad() == (x * scale).requires_grad());
    }
    CHECK(compiled.stats().keys == keys);
  };
  check(numbers({3, 4}), 2.0, 1);
  check(numbers({4, 3}), 2.0, 2);
  check(numbers({12}), 2.0, 3);
  check(cast(numbers({12}), DType::f64), 2.0, 4);
  check(transpose(numbers({4, 3})), 2.0, 5);
  check(numbers({12}).set_requires_grad(), 2.0, 6);
  check(numbers({12}).set_requires_grad() * 1.0, 2.0, 7);
  check(numbers({12}), 3.0, 8);
  check(numbers({12}), -0.0, 9);
  check(numbers({12}), 0.0, 10);
  {
    const NoGradGuard guard;
    check(numbers({12}).set_requires_grad(), 2.0, 11);
  }
  check(numbers({12}), 2.0, 11);
}

namespace {
struct Pair {
  Tensor h, c;
};
enum class Kind { plain, squared };
struct Nested {
  std::vector<Pair> layers;
  std::map<std::string, Tensor> named;
  std::optional<Tensor> bias;
  std::array<double, 2> scales;
  float raw[3];
  Kind kind = Kind::plain;
  bool flag = false;
  std::string text;
  std::variant<int, Tensor> choice;
};
struct Answer {
  std::map<std::string, Pair> pairs;
  std::vector<Tensor> list;
  std::optional<Tensor> maybe;
  std::string text;
  int number = 0;
  std::tuple<Tensor, bool> last;
};

Answer nested_function(const Nested& in, std::span<const Tensor> more) {
  Answer answer;
  Tensor total = in.named.at("w");
  for (const Pair& layer : in.layers) total = total + layer.h * in.scales[0] - layer.c * double(in.raw[1]);
  for (const Tensor& tensor : more) total = total * tensor;
  if (in.bias) total = total + *in.bias;
  if (in.kind == Kind::squared) total = total * total;
  if (in.text == "tanh") total = tanh(total);
  answer.pairs["a"] = {total, exp(total)};
  answer.list = {total, in.named.at("w"), total * 2.0};
  if (in.flag)
    answer.maybe = std::holds_alternative<Tensor>(in.choice) ? std::get<Tensor>(in.choice) : sum(total);
  answer.text = in.text + "!";
  answer.number = static_cast<int>(in.layers.size());
  answer.last = {transpose(total), in.flag};
  return answer;
}
}  // namespace

TEST_CASE("any nesting of arguments and results") {
  const Counted function{
      [](const Nested& in, std::span<const Tensor> more) { return nested_function(in, more); }};
  auto compiled = compile(pure, function);
  const auto check = [](const Answer& ours, const Answer& expected, const Tensor& w) {
    check_same({ours.pairs.at("a").h, ours.pairs.at("a").c, ours.list[0], ours.list[1], ours.list[2],
                std::get<0>(ours.last)},
               {expected.pairs.at("a").h, expected.pairs.at("a").c, expected.list[0], expected.list[1],
                expected.list[2], std::get<0>(expected.last)},
               "tensors");
    CHECK(ours.list[0].is_same(ours.pairs.at("a").h));
    CHECK(ours.list[1].is_same(w));
    CHECK(ours.maybe.has_value() == expected.maybe.has_value());
    if (ours.maybe && expected.maybe) CHECK(same_bits(*ours.maybe, *expected.maybe));
    CHECK(ours.text == expected.text);
    CHECK(ours.number == expected.number);
    CHECK(std::get<1>(ours.last) == std::get<1>(expected.last));
  };
  for (int call = 0; call < 60; ++call) {
    INFO("call " << call);
    const int kind = call % 5;
    Nested in;
    for (int i = 0; i < 1 + (kind == 1); ++i)
      in.layers.push_back({numbers({3, 5}, call), numbers({3, 5}, -call)});
    in.named["w"] = numbers({3, 5}, 0.1 * call);
    if (kind == 2) in.bias = numbers({5}, call);
    in.scales = {1.5, 2.0};
    in.raw[0] = 0;
    in.raw[1] = kind == 3 ? 2.f : 3.f;
    in.raw[2] = 0;
    in.kind = kind == 4 ? Kind::squared : Kind::plain;
    in.flag = kind == 2 || kind == 3;
    in.text = kind == 1 ? "tanh" : "";
    if (kind == 3)
      in.choice = numbers({2}, call);
    else
      in.choice = 7;
    const Tensor more[] = {numbers({5}, 0.3 * call)};
    check(compiled(in, more), nested_function(in, more), in.named.at("w"));
  }
  CHECK(compiled.stats().keys == 5);
  CHECK_COMPILED(*function.runs <= 5 * 5);
}

namespace {
struct Scale : nn::Module {
  Scale() : layer(4, 4) {
    register_module("layer", layer);
    register_carried(state);
  }
  Tensor forward(const Tensor& x) const { return is_training() ? tanh(layer(x)) : layer(x); }
  Tensor step(const Tensor& x) {
    state = state ? tanh(state + x) : tanh(x);
    return state * 2.0;
  }
  nn::Linear layer;
  Tensor state;
};
}  // namespace

TEST_CASE("parameters are read anew, modes are in the key, methods and captures of modules work") {
  Scale module, other;
  const auto check = [&](auto& compiled, auto&& call, uint64_t entered) {
    for (int step = 0; step < 12; ++step) {
      INFO("step " << step);
      const Tensor x = numbers({3, 4}, step);
      CHECK(same_bits(call(x), module.forward(x)));
      if (step % 3 == 2) no_grad([&] { Tensor(module.layer.weight).assign_(module.layer.weight * 1.1); });
      if (step == 5) module.eval();
      if (step == 8) module.train();
    }
    CHECK_COMPILED(compiled.stats().entered_calls >= entered);
  };
  auto captured = compile(pure, [&](const Tensor& x) { return module.forward(x); });
  check(
      captured, [&](const Tensor& x) { return captured(x); }, 5);
  auto method = compile(pure, &Scale::forward);
  check(
      method, [&](const Tensor& x) { return method(module, x); }, 5);
  auto argument = compile(pure, [](const Scale& m, const Tensor& x) { return m.forward(x); });
  check(
      argument, [&](const Tensor& x) { return argument(module, x); }, 5);
  for (int step = 0; step < 6; ++step)
    CHECK(same_bits(argument(other, numbers({3, 4}, step)), other.forward(numbers({3, 4}, step))));
  for (int step = 0; step < 6; ++step)
    CHECK(same_bits(argument(module, numbers({3, 4}, step)), module.forward(numbers({3, 4}, step))));
}

TEST_CASE("gradients reach the parameters of a captured module") {
  Scale module;
  auto compiled = compile(pure, [&](const Tensor& x) { return sum(module.forward(x)); });
  for (int step = 0; step < 8; ++step) {
    const auto gradient = [&](auto&& f) {
      module.zero_grad();
      f(numbers({3, 4}, step)).backward();
      return module.layer.weight.grad();
    };
    const Tensor ours = gradient(compiled),
                 expected = gradient([&](const Tensor&x) { return sum(module.forward(x)); });
    CHECK(same_bits(ours, expected));
  }
  CHECK_COMPILED(compiled.stats().entered_calls >= 4);
}

TEST_CASE("registered state is read and assigned: h_ = h") {
  Scale ours, plain;
  auto compiled = compile(pure, [&](const Tensor& x) { return ours.step(x); });
  for (int step = 0; step < 30; ++step) {
    INFO("step " << step);
    const Tensor x = numbers({6}, step);
    if (step == 12) ours.state = plain.state = Tensor();
    if (step == 20) ours.state = plain.state = numbers({6}, 0.5);
    CHECK(same_bits(compiled(x), plain.step(x)));
    REQUIRE(ours.state);
    CHECK(same_bits(ours.state, plain.state));
  }
  CHECK_COMPILED(compiled.stats().entered_calls >= 10);
}

TEST_CASE("a module that is gone and one at its address are two") {
  auto compiled = compile(pure, [](const nn::Linear& layer, const Tensor& x) { return layer(x); });
  for (int round = 0; round < 5; ++round) {
    const nn::Linear layer(4, 3);
    for (int call = 0; call < 5; ++call)
      CHECK(same_bits(compiled(layer, numbers({2, 4}, call)), layer(numbers({2, 4}, call))));
  }
  CHECK(compiled.stats().keys == 5);
}

TEST_CASE("tensors given twice, and returned as they came") {
  auto compiled = compile(pure, [](const Tensor& a, const Tensor& b) {
    return std::array{a, a * b, b, slice(a, 0, 0, 2)};
  });
  for (int call = 0; call < 24; ++call) {
    const Tensor a = numbers({4}, call), b = call % 2 ? a : numbers({4}, -call);
    const auto ours = compiled(a, b);
    CHECK(ours[0].is_same(a));
    CHECK(ours[2].is_same(b));
    CHECK(same_bits(ours[1], a * b));
    CHECK(same_bits(ours[3], slice(a, 0, 0, 2)));
  }
  CHECK(compiled.stats().keys == 2);
  CHECK_COMPILED(compiled.stats().entered_calls >= 14);
  // A view shares elements with what it is a view of.
  Tensor a = numbers({4});
  auto ours = compiled(a, numbers({4}, 3));
  no_grad([&] { a.assign_(a * 2.0); });
  CHECK(same_bits(ours[3], slice(a, 0, 0, 2)));
}

TEST_CASE("more keys than are kept: results stay right, the table stays small") {
  auto compiled = compile(pure, [](const Tensor& x, double rate) { return x * rate; },
                          {.name = "many_keys", .most_keys = 8});
  for (int call = 0; call < 300; ++call) {
    const double rate = 0.01 * (call / 3);
    CHECK(same_bits(compiled(numbers({5}), rate), numbers({5}) * rate));
    CHECK(same_bits(compiled(numbers({6}), 7.0), numbers({6}) * 7.0));
  }
  const CompileStats stats = compiled.stats();
  CHECK(stats.keys <= 8);
  CHECK(stats.dropped_keys >= 90);
  CHECK(stats.calls == 600);
  CHECK_COMPILED(stats.entered_calls >= 280);  // the key in use all the time is not the one dropped
}

TEST_CASE("void functions, functions without ops, and 40 tensors") {
  Scale ours;
  ours.state = numbers({4});
  auto action = compile(pure, [&](const Tensor& x) { ours.state = ours.state * 0.5 + x; });
  Tensor expected = ours.state;
  for (int call = 0; call < 12; ++call) {
    action(numbers({4}, call));
    expected = expected * 0.5 + numbers({4}, call);
    CHECK(same_bits(ours.state, expected));
  }
  CHECK_COMPILED(action.stats().entered_calls >= 6);
  auto same = compile(pure, [](const Tensor& x, int n) { return std::pair(x, n + 1); });
  for (int call = 0; call < 6; ++call) {
    const Tensor x = numbers({4}, call);
    const auto [y, n] = same(x, 5);
    CHECK(y.is_same(x));
    CHECK(n == 6);
  }
  auto many = compile(pure, [](const std::vector<Tensor>& in) {
    std::vector<Tensor> out;
    for (size_t i = 0; i < in.size(); ++i) out.push_back(in[i] * in[(i + 1) % in.size()]);
    return out;
  });
  for (int call = 0; call < 6; ++call) {
    std::vector<Tensor> in, expected_out;
    for (int i = 0; i < 40; ++i) in.push_back(numbers({2, 3}, call + i));
    for (int i = 0; i < 40; ++i) expected_out.push_back(in[i] * in[(i + 1) % 40]);
    check_same(many(in), expected_out, "results");
  }
  CHECK_COMPILED(many.stats().entered_calls >= 2);
  CHECK(many.stats().recorded_calls <= 2);
}

TEST_CASE("a pure function inside a matched one is part of it") {
  auto inner = compile(pure, [](const Tensor& x) { return tanh(x) * 2.0; });
  for (int call = 0; call < 5; ++call) inner(numbers({4, 9}));
  const auto make = [&] {
    return [&](const Tensors& in) -> Tensors { return {inner(in[0]) + inner(in[1]), exp(inner(in[0]))}; };
  };
  CHECK_COMPILED(same_as_plain(make, two_matrices, 6).plan_runs == 5);
  auto outer = compile(pure, [&](const Tensor& x) { return inner(x) + 1.0; });
  for (int call = 0; call < 8; ++call)
    CHECK(same_bits(outer(numbers({9}, call)), tanh(numbers({9}, call)) * 2.0 + 1.0));
  CHECK_COMPILED(outer.stats().entered_calls >= 4);
}

TEST_CASE("an index out of range meets the function's own code") {
  auto compiled = compile(pure, [](const Tensor& x, const Tensor& rows) -> Tensor {
    try {
      return take(x, rows);
    } catch (const UserError&) {
      return x * 0.0;
    }
  });
  for (int call = 0; call < 12; ++call) {
    const Tensor x = numbers({4, 3}, call), rows = from_vector<int64_t>({0, call == 7 ? 9 : 3});
    CHECK(same_bits(compiled(x, rows), call == 7 ? x * 0.0 : take(x, rows)));
  }
  CHECK_COMPILED(compiled.stats().entered_calls >= 4);
  CHECK(compiled.explain().find("found not to be") ==
        std::string::npos);  // that one call says nothing of the others
}

TEST_CASE("an argument that was filled through a pointer") {
  auto compiled = compile(pure, [](const Tensor& x, const Tensor& y) { return tanh(x) * y + x; });
  Tensor x = zeros({8});
  float* elements = x.mutable_data<float>();
  for (int call = 0; call < 20; ++call) {
    for (int i = 0; i < 8; ++i) elements[i] = static_cast<float>(call + i);  // unseen: no version tells of it
    const Tensor y = numbers({8}, call);
    CHECK(same_bits(compiled(x, y), tanh(x) * y + x));
    CHECK(same_bits(compiled(y, x), tanh(y) * x + y));
  }
  CHECK_COMPILED(compiled.stats().entered_calls >= 26);
  // A parameter filled so, before it is used and while it is.
  struct Scaled : nn::Module {
    Tensor scale = register_buffer("scale", zeros({8}));
  };
  Scaled module;
  auto scaled = compile(pure, [&](const Tensor& in) { return in * module.scale; });
  for (int call = 0; call < 30; ++call) {
    if (call % 10 == 3) Tensor(module.scale).mutable_data<float>()[call % 8] = 3;
    CHECK(same_bits(scaled(x), x * module.scale));
  }
  CHECK_COMPILED(scaled.stats().entered_calls >= 18);
  // Gradients need what the elements were.
  auto trained = compile(pure, [](const Tensor& w, const Tensor& in) { return tanh(w) * in * in; });
  Tensor w = zeros({8});
  float* weights = w.mutable_data<float>();
  w.set_requires_grad();
  for (int call = 0; call < 12; ++call) {
    weights[0] = static_cast<float>(call) / 8;
    const auto gradient = [&](auto&& f) {
      const Tensor loss = sum(f(w, numbers({8}, call)));
      const Tensor inputs[] = {w}, outputs[] = {loss};
      return grad(outputs, inputs)[0];
    };
    CHECK(same_bits(gradient(trained),
                    gradient([](const Tensor& a, const Tensor& in) { return tanh(a) * in * in; })));
  }
}

TEST_CASE("random numbers of the process's generator are drawn as eager execution draws them") {
  nn::Dropout drop(0.5);
  const auto function = [&](const Tensor& x) { return drop(x * 2.0) + rand({4, 9}) * dropout(x, 0.3); };
  auto compiled = compile(pure, function);
  const auto run = [&](auto&& f) {
    manual_seed(7);
    Tensors results;
    for (int call = 0; call < 24; ++call) {
      drop.train(call % 6 < 4);
      results.push_back(f(numbers({4, 9}, call)));
    }
    results.push_back(default_generator().state());
    return results;
  };
  check_same(run(compiled), run(function), "results");
  CHECK_COMPILED(compiled.stats().entered_calls >= 12);
  // Another generator is state that nobody registered.
  Generator own(3), plain(3);
  auto other = compile(pure, [&](const Tensor& x) { return x * rand({4, 9}, DType::f32, own); });
  for (int call = 0; call < 8; ++call)
    CHECK(same_bits(other(numbers({4, 9})), numbers({4, 9}) * rand({4, 9}, DType::f32, plain)));
  CHECK(other.stats().entered_calls == 0);
}
