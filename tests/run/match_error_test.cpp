// Programs that throw, nest, recurse, or use threads.
#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>

#include "tests/run/match_harness.h"

using namespace calque;

TEST_CASE("user code throws at several points; what is held outside has its values") {
  struct Thrown {};
  const auto make = [] {
    auto kept = std::make_shared<Tensors>();
    auto body = [kept, calls = 0](const Tensors& in, int point) mutable {
      kept->clear();
      const Tensor y = in[0] * in[1];
      kept->push_back(y);
      if (point == 1) throw Thrown();
      const Tensor z = tanh(y);
      kept->push_back(transpose(z));
      if (point == 2) throw Thrown();
      const double first = sum(z).item();
      if (point == 3) throw Thrown();
      kept->push_back(z + first);
      if (point == 4) throw Thrown();
      return exp(y);
    };
    return std::pair(kept, body);
  };
  auto [plain_kept, plain] = make();
  auto [our_kept, body] = make();
  auto compiled = compile(body);
  for (int call = 0; call < 25; ++call) {
    const int point = call * 3 % 5;
    INFO("call " << call << ", point " << point);
    const Tensors in = two_matrices(call);
    if (point == 0) {
      CHECK(same_bits(compiled(in, point), plain(in, point)));
    } else {
      CHECK_THROWS_AS(plain(in, point), Thrown);
      CHECK_THROWS_AS(compiled(in, point), Thrown);
    }
    check_same(*our_kept, *plain_kept, "kept");
  }
  CHECK_COMPILED(compiled.stats().plan_runs >= 5);
}

TEST_CASE("gradients flow through values held across an exception") {
  Tensor w = numbers({4, 9}, 0.3).set_requires_grad();
  Tensor kept;
  const auto function = [&](const Tensor& x, bool fails) {
    kept = tanh(x * w);
    if (fails) throw std::runtime_error("stop");
    return kept + 1.0;
  };
  auto compiled = compile(function);
  const auto gradient = [&](auto& f, bool fails) {
    w.clear_grad();
    try {
      f(numbers({4, 9}), fails);
    } catch (const std::runtime_error&) {
    }
    sum(kept * kept).backward();
    return w.grad();
  };
  for (int call = 0; call < 6; ++call) {
    INFO("call " << call);
    const Tensor expected = gradient(function, call % 2);
    CHECK(same_bits(gradient(compiled, call % 2), expected));
  }
}

TEST_CASE("a bad shape is caught by the function, which goes on") {
  const auto make = [] {
    return [](const Tensors& in) -> Tensors {
      const Tensor y = in[0] * in[1];
      Tensor z;
      std::string text;
      try {
        z = y + in[2];
      } catch (const UserError& error) {
        text = error.what();
        z = y - 1.0;
      }
      return {z * y, from_value(static_cast<int64_t>(text.size()))};
    };
  };
  const auto inputs = [](int call) -> Tensors {
    Tensors in = two_matrices(call);
    in.push_back(numbers({call % 3 == 0 ? 9 : 5}));
    return in;
  };
  const CompileStats stats = same_as_plain(make, inputs, 12);
  CHECK(stats.recorded_calls == 2);
  CHECK_COMPILED(stats.plan_runs == 10);
}

TEST_CASE("errors of ops are those of eager execution") {
  const auto message = [](auto&& f) -> std::string {
    try {
      f();
    } catch (const UserError& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  const Tensor x = numbers({4, 9}), y = numbers({3, 5});
  const std::vector<std::function<Tensor(const Tensor&)>> bad = {
      [&](const Tensor& t) { return matmul(t, y); },
      [&](const Tensor& t) { return layer_norm(sum(t)); },
      [&](const Tensor& t) { return cross_entropy(t, y); },
      [&](const Tensor& t) { return softmax(t, 4); },
      [&](const Tensor& t) { return reshape(t, {5, 5}); },
      [&](const Tensor& t) { return split(t, 5, 1)[0]; },
      [&](const Tensor& t) { return split(t, 1000, 1)[0]; },
      [&](const Tensor& t) { return slice(t, 0, 3, 9); },
      [&](const Tensor& t) { return t + Tensor(); },
      [&](const Tensor& t) { return sum(t, {7}); },
      [&](const Tensor& t) { return select(t, 0, 9); },
      [&](const Tensor& t) { return logical_not(t); },
      [&](const Tensor& t) { return from_value(max(t > 0.0).item()); },
  };
  for (size_t i = 0; i < bad.size(); ++i) {
    INFO("program " << i);
    const auto function = [&](const Tensor& t) { return bad[i](tanh(t)); };
    auto compiled = compile(function);
    const std::string expected = message([&] { function(x); });
    CHECK(expected != "nothing was thrown");
    for (int call = 0; call < 4; ++call) CHECK(message([&] { compiled(x); }) == expected);
  }
}

TEST_CASE("an index computed in the function and out of range: the call throws, nothing is left behind") {
  Tensor kept, before;
  auto compiled = compile([&](const Tensor& x, double shift) {
    before = x * 2.0;
    kept = take(x, cast(full({2}, shift), DType::i64));
    return kept + 1.0;
  });
  for (int call = 0; call < 8; ++call) {
    INFO("call " << call);
    const Tensor x = numbers({4, 9}, call);
    kept = before = Tensor();
    if (call % 3 == 2) {
      CHECK_THROWS_AS(compiled(x, 17.0), UserError);
      REQUIRE(before);
      CHECK(same_bits(before, x * 2.0));
      if (kept) CHECK_THROWS_AS(kept.to_vector<float>(), UserError);
      if (kept) CHECK_THROWS_AS(kept + 1.0, UserError);
    } else {
      CHECK(same_bits(compiled(x, 3.0), take(x, from_vector<int64_t>({3, 3})) + 1.0));
    }
  }
}

TEST_CASE("a compiled function inside another is part of it") {
  auto inner = compile([](const Tensor& x) { return tanh(x) * 2.0; });
  const auto make = [&] { return [&](const Tensors& in) -> Tensors { return {inner(in[0]) + inner(in[1]), exp(inner(in[0]))}; }; };
  const CompileStats stats = same_as_plain(make, two_matrices, 6);
  CHECK_COMPILED(stats.plan_runs == 5);
  CHECK(stats.matched_ops == 5 * 11);
}

TEST_CASE("recursion, and statistics asked for inside") {
  Compiled<std::function<Tensor(const Tensor&, int)>>* self = nullptr;
  std::function<Tensor(const Tensor&, int)> function = [&](const Tensor& x, int depth) -> Tensor {
    if (depth == 0) return x * 0.5;
    return tanh((*self)(x + 1.0, depth - 1));
  };
  auto compiled = compile(function);
  self = &compiled;
  for (int call = 0; call < 8; ++call) {
    const Tensor x = numbers({7}, call);
    Tensor expected = x;
    for (int i = 0; i < 1 + call % 2; ++i) expected = expected + 1.0;
    expected = expected * 0.5;
    for (int i = 0; i < 1 + call % 2; ++i) expected = tanh(expected);
    CHECK(same_bits(compiled(x, 1 + call % 2), expected));
  }
  CHECK(compiled.stats().recorded_calls == 2);
  Compiled<std::function<Tensor(const Tensor&)>>* asked = nullptr;
  uint64_t seen = 0;
  std::function<Tensor(const Tensor&)> curious = [&](const Tensor& x) {
    const Tensor y = x * 2.0;
    seen = asked->stats().calls;
    return y + 1.0;
  };
  auto asking = compile(curious);
  asked = &asking;
  for (uint64_t call = 1; call < 4; ++call) {
    asking(numbers({3}));
    CHECK(seen == call);
  }
}

TEST_CASE("called from another thread, and from two at once") {
  const auto function = [](const Tensor& x) { return sum(tanh(x) * x + 1.0, {0}); };
  auto compiled = compile(function);
  compiled(numbers({33, 7}));
  std::thread([&] { compiled(numbers({33, 7})); }).join();
  CHECK_COMPILED(compiled.stats().plan_runs == 1);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 300; ++i) {
        const Tensor x = numbers({33, 7}, 0.01 * i + t);
        if (!same_bits(compiled(x), function(x))) ++wrong;
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK_COMPILED(compiled.stats().plan_runs > 10);
}

TEST_CASE("another thread lets go of values while the function runs") {
  auto compiled = compile([&](const Tensor& x) {
    Tensor y = x;
    std::vector<Tensor> given_away;
    for (int i = 0; i < 20; ++i) {
      y = tanh(y + 1.0);
      given_away.push_back(y * 2.0);
    }
    std::thread releasing([given = std::move(given_away)]() mutable { given.clear(); });
    for (int i = 0; i < 20; ++i) y = y * 0.5;
    releasing.join();
    return y;
  });
  Tensor expected = numbers({64});
  for (int i = 0; i < 20; ++i) expected = tanh(expected + 1.0);
  for (int i = 0; i < 20; ++i) expected = expected * 0.5;
  for (int call = 0; call < 200; ++call) CHECK(same_bits(compiled(numbers({64})), expected));
  CHECK(compiled.stats().recorded_calls == 1);
}
