// Programs about who holds what: kept intermediates, replaced captures, writes in place, views and aliases.
#include <memory>

#include "tests/run/match_harness.h"

using namespace calque;

TEST_CASE("intermediates pushed into a captured vector; later calls hold more or fewer") {
  const auto make = [] {
    return [kept = Tensors{}, calls = 0](const Tensors& in) mutable -> Tensors {
      const Tensor y = in[0] * in[1], z = tanh(y), w = z + 1.0;
      if (calls % 3 != 1) kept.push_back(y);
      if (calls % 4 == 3) kept.push_back(w);
      if (++calls % 5 == 0) kept.erase(kept.begin());
      Tensors all = kept;
      all.push_back(exp(w));
      return all;
    };
  };
  const CompileStats stats = same_as_plain(make, two_matrices, 12);
  CHECK(stats.recorded_calls == 1);
  CHECK_COMPILED(stats.plan_runs == 11);
}

TEST_CASE("a captured parameter is rebound, and replaced by one of another shape, dtype or layout") {
  const auto make = [] {
    return [w = numbers({9}), calls = 0](const Tensors& in) mutable -> Tensors {
      const Tensor y = cast(in[0] * cast(w, DType::f32) + in[1], DType::f64);
      switch (++calls % 6) {
        case 1: w = numbers({9}, 0.5); break;
        case 2: w = numbers({4, 9}, 0.1); break;
        case 3: w = cast(numbers({9}, 2), DType::f64); break;
        case 4: w = transpose(numbers({9, 4}, 0.3)); break;
        case 5: w = from_value(3.0f); break;
        default: w = slice(numbers({18}, 0.2), 0, 4, 13); break;
      }
      return {y};
    };
  };
  const CompileStats stats = same_as_plain(make, two_matrices, 20);
  CHECK_COMPILED(stats.plan_runs >= 5);
}

TEST_CASE("inputs whose shape, dtype and strides change between calls") {
  const auto make = [] { return [](const Tensors& in) -> Tensors { return {tanh(in[0] + in[1]) * in[0], sum(in[1], {0})}; }; };
  const auto inputs = [](int call) -> Tensors {
    switch (call % 5) {
      case 0: return {numbers({4, 9}), numbers({4, 9}, call)};
      case 1: return {numbers({4, 9}), numbers({1, 9}, call)};
      case 2: return {cast(numbers({4, 9}), DType::f64), cast(numbers({4, 1}, call), DType::f64)};
      case 3: return {transpose(numbers({9, 4})), numbers({4, 9}, call)};
      default: return {slice(numbers({6, 9}), 0, 1, 5), slice(numbers({4, 20}, call), 1, 3, 12)};
    }
  };
  const CompileStats stats = same_as_plain(make, inputs, 15);
  CHECK(stats.recorded_calls == 5);
  CHECK_COMPILED(stats.plan_runs == 10);
}

TEST_CASE("an axis of size 1 that broadcasts in some calls") {
  const auto make = [] { return [](const Tensors& in) -> Tensors { return {in[0] * in[1] + 1.0, max(in[0] - in[1], {1})}; }; };
  const auto inputs = [](int call) -> Tensors { return {numbers({call % 2 ? 1 : 4, 9}), numbers({4, call % 3 ? 9 : 1}, call)}; };
  same_as_plain(make, inputs, 12);
}

TEST_CASE("inputs without elements") {
  const auto make = [] {
    return [](const Tensors& in) -> Tensors {
      return {tanh(in[0]) + 1.0, sum(in[0], {0}), matmul(in[0], numbers({9, 3})), concat({in[0], in[1]}, 0)};
    };
  };
  const auto inputs = [](int call) -> Tensors { return {numbers({call % 2 ? 0 : 3, 9}), numbers({call % 3 ? 2 : 0, 9})}; };
  same_as_plain(make, inputs, 14);
}

TEST_CASE("an outside tensor is assigned in the middle and at the end, and read before and after") {
  const auto make = [] {
    return [state = numbers({4, 9}, 0.3)](const Tensors& in) mutable -> Tensors {
      const Tensor before = state * 2.0;
      state.assign_(tanh(in[0] + state));
      const Tensor between = state + before;
      state.assign_(between * 0.5);
      return {before, between, state * 1.0};
    };
  };
  const CompileStats stats = same_as_plain(make, two_matrices, 8);
  CHECK(stats.recorded_calls == 1);
  CHECK_COMPILED(stats.plan_runs == 7 * 3);
}

TEST_CASE("in-place writes to an argument, to a view of it, and from an overlapping view") {
  const auto make = [] {
    return [](const Tensors& in) -> Tensors {
      Tensor x = in[0];
      const Tensor before = exp(x);
      Tensor row = select(x, 0, 1);
      row.assign_(in[1].rank() ? select(in[1], 0, 0) + row : row);
      const Tensor sum_of_rows = sum(x, {0});
      slice(x, 0, 0, 3).assign_(slice(x, 0, 1, 4));
      return {before, sum_of_rows, x * 1.0, row};
    };
  };
  CHECK(same_as_plain(make, two_matrices, 6).recorded_calls <= 2);
}

TEST_CASE("a result of the function is written in place before it is returned") {
  const auto make = [] {
    return [](const Tensors& in) -> Tensors {
      Tensor y = in[0] * in[1];
      const Tensor view = slice(y, 1, 0, 3);
      y.assign_(y + 1.0);
      Tensor accumulator = zeros({4, 9});
      for (int i = 0; i < 3; ++i) accumulator.assign_(accumulator + y * static_cast<double>(i));
      return {y, view, accumulator};
    };
  };
  CHECK(same_as_plain(make, two_matrices, 6).recorded_calls <= 2);
}

TEST_CASE("elements are written through mutable_data in the middle") {
  const auto make = [] {
    return [](const Tensors& in) -> Tensors {
      Tensor x = in[0], y = in[0] + in[1];
      const Tensor early = x * 3.0;
      x.mutable_data<float>()[5] = 42;
      y.mutable_data<float>()[3] = -42;
      return {early, x * y, y};
    };
  };
  CHECK_COMPILED(same_as_plain(make, two_matrices, 6).plan_runs >= 8);
}

TEST_CASE("aliased arguments after distinct ones, and the other way round") {
  const auto make = [] {
    return [](const Tensors& in) -> Tensors {
      const Tensor y = in[0] * 2.0;
      return {y + in[1] * in[0], in[1] - y};
    };
  };
  for (int first : {0, 1}) {
    const auto inputs = [first](int call) -> Tensors {
      const Tensor a = numbers({4, 9}, call), b = numbers({4, 9}, 0.4);
      return call % 2 == first ? Tensors{a, a} : Tensors{a, b};
    };
    same_as_plain(make, inputs, 8);
  }
}

TEST_CASE("aliased arguments of which one is written") {
  const auto make = [] {
    return [](const Tensors& in) -> Tensors {
      Tensor target = in[1];
      const Tensor y = in[0] * 2.0;
      target.assign_(y + 1.0);
      return {in[0] * y, target};
    };
  };
  const auto inputs = [](int call) -> Tensors {
    const Tensor a = numbers({4, 9}, call);
    if (call % 3 == 0) return {a, numbers({4, 9})};
    if (call % 3 == 1) return {a, a};
    return {a, reshape(a, {4, 9})};
  };
  same_as_plain(make, inputs, 12);
}

namespace {

/// Which pairs of tensors are one, and which share elements: writing to one and looking at the others.
std::vector<int> aliases(const Tensors& tensors) {
  std::vector<int> pattern;
  for (const Tensor& a : tensors) {
    std::vector<std::vector<float>> before;
    for (const Tensor& b : tensors) before.push_back(b.to_vector<float>());
    Tensor target = a.detach();
    try {
      no_grad([&] { target.assign_(target + 1.0); });
    } catch (const UserError&) {  // expanded
      target.mutable_data<float>()[0] += 1;
    }
    for (size_t i = 0; i < tensors.size(); ++i) {
      pattern.push_back(a.is_same(tensors[i]));
      pattern.push_back(tensors[i].to_vector<float>() != before[i]);
    }
  }
  return pattern;
}

}  // namespace

TEST_CASE("aliases among inputs and outputs are those of eager execution") {
  const auto function = [](const Tensor& x, const Tensor& y) -> Tensors {
    const Tensor product = x * y, pieces_of = x + y, same_again = x * y;
    const Tensors pieces = split(pieces_of, 3, 1);
    const Tensor copied = reshape(transpose(product), {36});
    return {x,          product, product,          same_again,       transpose(product), slice(x, 0, 1, 3), reshape(x, {36}),
            pieces[1],  pieces[2], x.detach(),       copied,           product.detach(),   expand(sum(y), {2}), slice(pieces[1], 0, 0, 2),
            cast(x, DType::f32)};
  };
  auto compiled = compile(function);
  for (int call = 0; call < 4; ++call) {
    INFO("call " << call);
    const Tensor x = numbers({4, 9}, call), y = numbers({4, 9}, 0.2), x2 = numbers({4, 9}, call);
    const Tensors ours = compiled(x, y), expected = function(x2, y);
    check_same(ours, expected, "results");
    for (size_t i = 0; i < ours.size(); ++i) CHECK(ours[i].is_contiguous() == expected[i].is_contiguous());
    CHECK(aliases(ours) == aliases(expected));
  }
  CHECK_COMPILED(compiled.stats().plan_runs == 3);
}

TEST_CASE("a function that gives back references") {
  const auto same = [](const Tensor& x) -> const Tensor& { return x; };
  auto compiled = compile(same);
  const Tensor x = numbers({5});
  for (int call = 0; call < 4; ++call) {
    const Tensor& result = compiled(x);
    CHECK(&result == &x);
  }
}

TEST_CASE("a tensor kept from an earlier call is used in a later one") {
  const auto make = [] {
    return [kept = Tensor(), older = Tensor()](const Tensors& in) mutable -> Tensors {
      const Tensor y = kept ? in[0] * kept : in[0] * 1.0;
      const Tensor z = older ? y + older : y + in[1];
      older = kept;
      kept = tanh(z);
      return {z};
    };
  };
  const CompileStats stats = same_as_plain(make, two_matrices, 9);
  CHECK(stats.recorded_calls == 2);  // in[1] and an older tensor are both tensors from elsewhere
  CHECK_COMPILED(stats.plan_runs == 7);
}

TEST_CASE("a piece of a split outlives everything else") {
  const auto make = [] {
    return [kept = Tensor()](const Tensors& in) mutable -> Tensors {
      const Tensor before = kept ? kept * 2.0 : in[0];
      kept = split<3>(in[0] + in[1], 1)[1];
      return {before};
    };
  };
  CHECK_COMPILED(same_as_plain(make, two_matrices, 6).plan_runs >= 4);
}

namespace {

struct Layer {
  Tensor weight = numbers({9, 16}, -0.5, 0.05), bias = numbers({16}, 0.1, 0.01);
  Tensor operator()(const Tensor& x) const { return tanh(matmul(x, weight) + bias); }
};

}  // namespace

TEST_CASE("a module captured by reference, whose parameters are updated between calls, is never stale") {
  Layer ours, expected;
  auto compiled = compile([&ours](const Tensor& x) { return ours(x); });
  for (int call = 0; call < 12; ++call) {
    INFO("call " << call);
    const Tensor x = numbers({4, 9}, 0.1 * call);
    CHECK(same_bits(compiled(x), expected(x)));
    CHECK(same_bits(compiled(x), expected(x)));
    CHECK(same_bits(compiled(x), expected(x)));
    for (Layer* layer : {&ours, &expected}) {
      if (call % 3 == 0) layer->weight.assign_(layer->weight * 0.9 + 0.01);
      if (call % 3 == 1) layer->weight = layer->weight + 0.1;
      if (call % 3 == 2) layer->weight.mutable_data<float>()[call] = 5;
    }
  }
  CHECK(compiled.stats().recorded_calls == 1);
  CHECK_COMPILED(compiled.stats().plan_runs == 35);
}

TEST_CASE("weights written between calls through a pointer taken long before are not stale") {
  Tensor weight = numbers({9, 16});
  float* elements = weight.mutable_data<float>();
  const auto function = [&](const Tensor& x) { return matmul(x, weight); };
  auto compiled = compile(function);
  for (int call = 0; call < 8; ++call) {
    const Tensor x = numbers({4, 9}, 0.1 * call);
    INFO("call " << call);
    CHECK(same_bits(compiled(x), function(x)));
    elements[call] += 1;
  }
  CHECK_COMPILED(compiled.stats().plan_runs == 7);
}

TEST_CASE("weights that are views of one big tensor are told apart") {
  const Tensor all = numbers({5 * 9 * 16}, -1, 0.013);
  const auto function = [&](const Tensor& x, const Tensor& w) { return matmul(x, w); };
  auto compiled = compile(function);
  Tensors layers;
  for (int i = 0; i < 5; ++i) layers.push_back(reshape(slice(all, 0, i * 144, (i + 1) * 144), {9, 16}));
  for (int call = 0; call < 15; ++call) {
    INFO("call " << call);
    const Tensor x = numbers({4, 9}, 0.1 * call);
    CHECK(same_bits(compiled(x, layers[call % 5]), function(x, layers[call % 5])));
    CHECK(same_bits(compiled(x, layers[call % 5]), function(x, layers[call % 5])));
  }
  CHECK(compiled.stats().recorded_calls == 1);
}

TEST_CASE("versions of views made in the function") {
  const auto make = [] {
    return [](const Tensors& in) -> Tensors {
      Tensor x = in[0];
      x.assign_(x + 1.0);
      x.assign_(x + 1.0);
      const Tensor view = reshape(x, {36}), made = x * 2.0;
      return {from_value(static_cast<int64_t>(view.version())), from_value(static_cast<int64_t>(made.version())), view};
    };
  };
  same_as_plain(make, two_matrices);
}
