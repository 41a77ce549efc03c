// Writes in place around and inside of compiled functions: aliases of inputs and results, views and their histories are those of
// eager execution, whether ops were recorded, matched or replayed.
#include <functional>

#include "calque/pure.h"
#include "tests/run/match_harness.h"

using namespace calque;

namespace {

using Function = std::function<Tensors(const Tensors&)>;

/// Calls `f` plainly and compiled on fresh leaves; `after` does what a user does with the results, and gives what is compared
/// beside the gradients of its sum.
void same_uses(const Function& f, const std::function<Tensors(const Tensors& in, Tensors results)>& after, int calls = 5) {
  Function plain = f;
  auto compiled = compile(f, {.name = "in_place"});
  const auto use = [&](auto& g, int call) {
    const Tensors leaves{leaf({4, 9}, 0.1 * call), leaf({9}, 0.3)};
    Tensors in;
    for (const Tensor& x : leaves) in.push_back(x * 1.0);
    Tensors seen = after(in, g(in));
    Tensor loss = from_value(0.0f);
    for (const Tensor& x : seen) loss = loss + sum(x * x);
    loss.backward();
    for (const Tensor& x : leaves) seen.push_back(x.grad() ? x.grad() : zeros(x.shape()));
    return seen;
  };
  for (int call = 0; call < calls; ++call) {
    INFO("call " << call);
    const Tensors expected = use(plain, call), ours = use(compiled, call);
    REQUIRE(ours.size() == expected.size());
    for (size_t i = 0; i < ours.size(); ++i) {
      INFO("tensor " << i);
      CHECK(ours[i].requires_grad() == expected[i].requires_grad());
      const std::vector<float> a = ours[i].to_vector<float>(), b = expected[i].to_vector<float>();
      // Values are equal in every bit; gradients are summed across the border of a region.
      for (size_t k = 0; k < a.size(); ++k) CHECK(a[k] == Approx(b[k]).epsilon(1e-5).margin(1e-5));
    }
  }
}

}  // namespace

TEST_CASE("every write in place inside of a compiled function", "[in_place]") {
  const auto make = [] {
    return [](const Tensors& in) -> Tensors {
      Tensor a = in[0] * 2.0, b = tanh(in[1]);
      a.add_(in[1]).mul_(b);
      b.sub_(a).div_(2).clamp_(-0.5, 0.5);
      const Tensor c = a + b;
      a[1].fill_(3);
      b[{Slice{0, 2}, -1}].zero_();
      return {a, b, c, a * b};
    };
  };
  const CompileStats stats = same_as_plain(make, two_matrices, 6);
  CHECK(stats.recorded_calls == 1);
  CHECK_COMPILED(stats.plan_runs >= 10);
}

TEST_CASE("inputs that are views of one another, one written", "[in_place]") {
  const auto make = [] {
    return [](const Tensors& in) -> Tensors {
      const Tensor before = in[0] * 2.0 + in[1];
      Tensor target = in[1];
      target.add_(before);
      const Tensor after = in[0] * 2.0 + in[1];
      target.mul_(in[0]);
      return {before, after, in[0] - in[1]};
    };
  };
  for (int pattern = 0; pattern < 5; ++pattern) {
    const auto inputs = [pattern](int call) -> Tensors {
      const Tensor all = numbers({8, 9}, 0.1 * call), square = numbers({9, 9}, 0.2 * call);
      switch (pattern) {
        case 0: return {all[Slice{0, 4}], all[Slice{4, 8}]};
        case 1: return {all[Slice{0, 4}], all[Slice{2, 6}]};
        case 2: return {square, transpose(square)};
        case 3: return {square, square};
        default: return call % 2 ? Tensors{square, transpose(square)} : Tensors{square, numbers({9, 9})};
      }
    };
    INFO("pattern " << pattern);
    same_as_plain(make, inputs, 7);
  }
}

TEST_CASE("views written, then read through the base, then written again", "[in_place]") {
  const auto make = [] {
    return [](const Tensors& in) -> Tensors {
      Tensor base = in[0] + in[1];
      Tensor row = base[1], column = transpose(base)[2], flat = reshape(base, {36});
      row.add_(column[0]);
      const Tensor first = sum(base, {0});
      column.mul_(flat[Slice{0, 4}]);
      const Tensor second = exp(row) + flat[Slice{0, 9}];
      flat.sub_(1);
      return {base, row, column, flat, first, second, row + flat[Slice{9, 18}]};
    };
  };
  CHECK(same_as_plain(make, two_matrices, 6).recorded_calls == 1);
}

TEST_CASE("a write in a branch that was not taken before", "[in_place]") {
  const auto make = [] {
    return [call = 0](const Tensors& in) mutable -> Tensors {
      Tensor y = in[0] * in[1];
      const Tensor view = y[Slice{1, 3}], z = tanh(view);
      if (call++ % 3 == 2) y.add_(z[0]);
      return {y, view, z * view};
    };
  };
  same_as_plain(make, two_matrices, 9);
}

TEST_CASE("a state that every call writes in place", "[in_place]") {
  const auto make = [] {
    return [state = zeros({4, 9}), history = zeros({3, 4, 9}), step = 0](const Tensors& in) mutable -> Tensors {
      state.mul_(0.9).add_(in[0]);
      history[step++ % 3].assign_(state);
      return {state * in[1], sum(history, {0})};
    };
  };
  const CompileStats stats = same_as_plain(make, two_matrices, 9);
  CHECK_COMPILED(stats.plan_runs >= 6);
}

TEST_CASE("results that are views of each other, written by the user with gradients on", "[in_place]") {
  // The base is returned.
  same_uses([](const Tensors& in) -> Tensors { const Tensor y = in[0] * in[1]; return {y, y[1], transpose(y)}; },
            [](const Tensors& in, Tensors r) -> Tensors {
              r[1].mul_(in[1]);
              r[0][2].assign_(in[1] * 3.0);
              return r;
            });
  // It is not; its views overlap.
  same_uses([](const Tensors& in) -> Tensors { const Tensor y = in[0] * in[1]; return {y[Slice{0, 3}], y[Slice{1, 4}]}; },
            [](const Tensors& in, Tensors r) -> Tensors {
              r[0].add_(in[1] * in[1]);
              r[1][1].mul_(2);
              return r;
            });
  // One view of a base that nobody holds.
  same_uses([](const Tensors& in) -> Tensors { return {transpose(in[0] * in[1])[Slice{1, 5}]}; },
            [](const Tensors&, Tensors r) -> Tensors {
              const Tensor before = r[0][1];
              r[0].mul_(2);
              return {r[0], before};
            });
  // Pieces of a split, and a view of one.
  same_uses([](const Tensors& in) -> Tensors {
    Tensors pieces = split(in[0] + in[1], 3, 1);
    pieces.push_back(pieces[1][Slice{0, 2}]);
    return pieces;
  }, [](const Tensors& in, Tensors r) -> Tensors {
    r[3].mul_(in[1][Slice{0, 3}]);
    r[0].add_(1);
    return r;
  });
}

TEST_CASE("results that are views of inputs, written by the user with gradients on", "[in_place]") {
  same_uses([](const Tensors& in) -> Tensors { return {in[0][Slice{0, 2}], reshape(in[0], {36}), in[0] + in[1]}; },
            [](const Tensors& in, Tensors r) -> Tensors {
              r[0].add_(in[1]);
              Tensor input = in[0];
              input.add_(0.5);
              r.push_back(input);
              return r;
            });
}

TEST_CASE("constants made in the function that take a history later", "[in_place]") {
  same_uses([](const Tensors& in) -> Tensors {
    const Tensor buffer = zeros({4, 9});
    return {buffer[0], buffer[Slice{0, 2}], in[0] * in[1]};
  }, [](const Tensors& in, Tensors r) -> Tensors {
    r[1].assign_(in[0][Slice{1, 3}]);
    return r;
  });
}

TEST_CASE("writes with gradients inside of the function, through views of inputs and intermediates", "[in_place]") {
  same_uses([](const Tensors& in) -> Tensors {
    Tensor x = in[0], h = tanh(x) * in[1];
    const Tensor row = h[1], tail = x[Slice{2, 4}];
    h.add_(x);
    const Tensor between = row * in[1];
    x[3].add_(between);
    return {h, row, tail, between, h + x, tail * 2.0};
  }, [](const Tensors& in, Tensors r) -> Tensors {
    r.push_back(in[0] * 2.0);
    return r;
  });
}

TEST_CASE("ops skipped, then replayed: views are views of what is held", "[in_place]") {
  int call = 0;
  same_uses([&call](const Tensors& in) -> Tensors {
    const Tensor y = in[0] * in[1], row = y[1], z = exp(row);
    const Tensor end = call++ / 2 % 2 ? z * 2.0 : z + 1.0;  // both runs of a call go the same way
    return {y, row, end};
  }, [](const Tensors& in, Tensors r) -> Tensors {
    r[1].add_(in[1]);
    r[0].mul_(2);
    return r;
  }, 8);
}

TEST_CASE("views made without gradients stay cut off, compiled as well", "[in_place]") {
  const auto f = [](const Tensor& x) -> Tensors {
    const Tensor y = x * 2.0;
    return {y, no_grad([&] { return slice(y, 0, 0, 2); })};
  };
  auto compiled = compile(f);
  const Tensor x = leaf({4, 9});
  for (int call = 0; call < 4; ++call) {
    Tensors ours = compiled(x), plain = f(x);
    for (Tensors* results : {&ours, &plain}) {
      CHECK_THROWS_AS((*results)[1].add_(x[0]), UserError);
      (*results)[1].add_(1);
      CHECK((*results)[0].version() == 1);
    }
  }
}

TEST_CASE("a view whose base took a history is another key of a pure function", "[in_place]") {
  auto compiled = compile(pure, [](const Tensor& x) { return tanh(x) * 2.0; });
  const Tensor w = leaf({2, 9});
  for (int call = 0; call < 8; ++call) {
    Tensor base = numbers({4, 9});
    const Tensor view = base[Slice{0, 2}];
    CHECK_FALSE(compiled(view).requires_grad());
    base[Slice{1, 3}].assign_(w * 3.0);
    const Tensor y = compiled(view);
    REQUIRE(y.requires_grad());
    const_cast<Tensor&>(w).clear_grad();
    sum(y).backward();
    CHECK(w.grad()[0].to_vector<float>()[0] != 0);
    CHECK(w.grad()[1].to_vector<float>()[0] == 0);
  }
}
