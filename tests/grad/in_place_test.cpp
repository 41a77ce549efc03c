// Gradients of writes in place: those of the same program written with new values, and one sentence where a value that the
// backward pass needs is gone.
#include <catch2/catch.hpp>

#include <functional>

#include "calque/autograd.h"
#include "calque/compile.h"
#include "calque/ops.h"
#include "tests/support/engines.h"

using namespace calque;
using namespace calque::test;

namespace {

using Tensors = std::vector<Tensor>;
using Program = std::function<Tensor(const Tensors&)>;

Tensors leaves_of(std::initializer_list<Shape> shapes) {
  Tensors leaves;
  for (const Shape& shape : shapes) leaves.push_back(ordinary_tensor({DType::f64, shape}, 7 + leaves.size()).set_requires_grad());
  return leaves;
}

/// Value, first and second gradients of a program that gives one number.
Tensors derivatives(const Program& program, std::initializer_list<Shape> shapes) {
  const Tensors leaves = leaves_of(shapes);
  const Tensor value[] = {program(leaves)};
  Tensors results = grad(value, leaves, {.create_graph = true});
  Tensor squares = from_value(0.0);
  for (const Tensor& gradient : results) squares = squares + sum(gradient * gradient);
  if (squares.requires_grad()) {
    const Tensor next[] = {squares};
    for (const Tensor& gradient : grad(next, leaves)) results.push_back(gradient);
  }
  results.push_back(value[0]);
  return results;
}

/// Gradients by backward(), which compiled regions run as plans.
Tensors backward_of(const Program& program, std::initializer_list<Shape> shapes) {
  const Tensors leaves = leaves_of(shapes);
  const Tensor value = program(leaves);
  value.backward();
  Tensors results{value};
  for (const Tensor& leaf : leaves) results.push_back(leaf.grad() ? leaf.grad() : zeros(leaf.shape(), DType::f64));
  return results;
}

void check_close(const Tensors& found, const Tensors& expected) {
  REQUIRE(found.size() == expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    const std::vector<double> a = found[i].to_vector<double>(), b = expected[i].to_vector<double>();
    REQUIRE(a.size() == b.size());
    for (size_t k = 0; k < a.size(); ++k) {
      INFO("result " << i << " element " << k);
      CHECK(a[k] == Approx(b[k]).epsilon(1e-12).margin(1e-12));
    }
  }
}

/// The program with writes, eager and compiled, has the derivatives of the one without.
void check_same(const Program& in_place, const Program& functional, std::initializer_list<Shape> shapes) {
  check_close(derivatives(in_place, shapes), derivatives(functional, shapes));
  check_close(backward_of(in_place, shapes), backward_of(functional, shapes));
  auto compiled = compile(in_place, {.name = "in_place"});
  for (int call = 0; call < 3; ++call) {
    INFO("compiled, call " << call);
    check_close(derivatives(compiled, shapes), derivatives(functional, shapes));
    check_close(backward_of(compiled, shapes), backward_of(functional, shapes));
  }
}

/// f(0), f(1), ... put where the numbers of `places` are, over x.
Tensor replaced(const Tensor& x, const Tensor& mask, const Tensor& value) { return where(mask, value, x); }

Tensor rows_mask(const Shape& shape, int64_t first, int64_t last) {
  Tensor mask = zeros(shape, DType::boolean);
  slice(mask, 0, first, last).fill_(1);
  return mask;
}

}  // namespace

TEST_CASE("a write to a tensor that an op made", "[in_place]") {
  const std::initializer_list<Shape> shapes{{3, 4}, {4}};
  check_same([](const Tensors& in) { return sum(exp((in[0] * 2.0).add_(in[1]))); },
             [](const Tensors& in) { return sum(exp(in[0] * 2.0 + in[1])); }, shapes);
  check_same([](const Tensors& in) { return sum(tanh((in[0] * 2.0).mul_(in[1]))); },
             [](const Tensors& in) { return sum(tanh((in[0] * 2.0) * in[1])); }, shapes);
  check_same([](const Tensors& in) { return sum(tanh((in[0] * 2.0).div_(exp(in[1])).sub_(0.5))); },
             [](const Tensors& in) { return sum(tanh((in[0] * 2.0) / exp(in[1]) - 0.5)); }, shapes);
  check_same([](const Tensors& in) { return sum(exp((in[0] * in[1]).clamp_(-1, 1))); },
             [](const Tensors& in) { return sum(exp(minimum(maximum(in[0] * in[1], scalar(-1, in[0])), scalar(1, in[0])))); },
             shapes);
}

TEST_CASE("a tensor written with itself", "[in_place]") {
  check_same(
      [](const Tensors& in) {
        Tensor y = in[0] * 1.0;
        y.mul_(y);
        y.add_(y);
        return sum(y * in[0]);
      },
      [](const Tensors& in) {
        const Tensor y = in[0] * in[0];
        return sum((y + y) * in[0]);
      },
      {{5}});
}

TEST_CASE("a constant buffer takes the history of what is written to its parts", "[in_place]") {
  check_same(
      [](const Tensors& in) {
        Tensor buffer = zeros({3, 4}, DType::f64);
        for (int i = 0; i < 3; ++i) buffer[i].assign_(in[0][i] * static_cast<double>(i + 1) + in[1]);
        return sum(buffer * buffer * in[0]);
      },
      [](const Tensors& in) {
        const Tensor factors = reshape(cast(arange(3), DType::f64) + 1.0, {3, 1});
        const Tensor buffer = in[0] * factors + in[1];
        return sum(buffer * buffer * in[0]);
      },
      {{3, 4}, {4}});
}

TEST_CASE("a write through a view changes the history of its base, and of other views", "[in_place]") {
  check_same(
      [](const Tensors& in) {
        Tensor base = in[0] * 3.0;
        const Tensor turned = transpose(base), last = base[2], early = sum(last * 2.0);
        Tensor rows = base[Slice{0, 2}];
        rows.mul_(in[1]);
        return sum(exp(turned) * 0.1) + sum(last * last) + early + sum(tanh(rows));
      },
      [](const Tensors& in) {
        const Tensor base = in[0] * 3.0, early = sum(base[2] * 2.0);
        const Tensor after = replaced(base, rows_mask({3, 4}, 0, 2), base * in[1]);
        return sum(exp(after) * 0.1) + sum(after[2] * after[2]) + early + sum(tanh(after[Slice{0, 2}]));
      },
      {{3, 4}, {4}});
}

TEST_CASE("a write to the base is seen by views made before", "[in_place]") {
  check_same(
      [](const Tensors& in) {
        Tensor base = in[0] * 1.0;
        const Tensor row = base[1], corner = transpose(base)[{Slice{1, 3}, 1}];
        base.mul_(in[0]);
        base.add_(1);
        return sum(row * in[1]) + sum(corner * corner);
      },
      [](const Tensors& in) {
        const Tensor after = in[0] * in[0] + 1.0;
        const Tensor corner = after[{1, Slice{1, 3}}];
        return sum(after[1] * in[1]) + sum(corner * corner);
      },
      {{3, 4}, {4}});
}

TEST_CASE("views of views, reshapes and splits lead back to the base", "[in_place]") {
  check_same(
      [](const Tensors& in) {
        Tensor base = in[0] * 1.0;
        Tensor middle = split(reshape(base, {2, 6}), 3, 1)[1];
        transpose(middle)[1].add_(in[1]);
        middle.mul_(2);
        return sum(base * base * in[0]);
      },
      [](const Tensors& in) {
        const Tensor base = reshape(in[0], {2, 6}), left = slice(base, 1, 0, 2), right = slice(base, 1, 4, 6);
        const Tensor first = slice(base, 1, 2, 3) * 2.0, second = (slice(base, 1, 3, 4) + reshape(in[1], {2, 1})) * 2.0;
        const Tensor after = concat({left, first, second, right}, 1);
        return sum(after * after * base);
      },
      {{3, 4}, {2}});
}

TEST_CASE("every second row is written, and every third column of it", "[in_place]") {
  const auto mask = [] {
    Tensor rows = zeros({4, 6}, DType::f64);
    rows[{Slice{{}, {}, 2}, Slice{1, {}, 3}}].add_(1);
    return rows;
  };
  check_same(
      [](const Tensors& in) {
        Tensor y = in[0] * in[1];
        y[Slice{{}, {}, 2}][{ellipsis, Slice{1, {}, 3}}].mul_(in[0][{Slice{{}, {}, 2}, Slice{1, {}, 3}}]);
        return sum(y * y);
      },
      [&](const Tensors& in) {
        const Tensor y = in[0] * in[1], changed = mask();
        const Tensor after = y * (1.0 - changed) + y * in[0] * changed;
        return sum(after * after);
      },
      {{4, 6}, {6}});
}

TEST_CASE("a constant written over a value ends its gradient", "[in_place]") {
  check_same(
      [](const Tensors& in) {
        Tensor y = in[0] * in[0];
        y[0].zero_();
        y[{1, 2}].fill_(3);
        return sum(y * in[0]);
      },
      [](const Tensors& in) {
        Tensor mask = zeros({3, 4}, DType::f64), constant = zeros({3, 4}, DType::f64);
        mask.add_(1);
        mask[0].zero_();
        mask[{1, 2}].zero_();
        constant[{1, 2}].fill_(3);
        return sum((in[0] * in[0] * mask + constant) * in[0]);
      },
      {{3, 4}});
  Tensor x = ones({3}).set_requires_grad();
  Tensor y = x * 2.0;
  y.zero_();
  CHECK(y.requires_grad());
  sum(y).backward();
  CHECK(x.grad().to_vector<float>() == std::vector<float>{0, 0, 0});
}

TEST_CASE("what is assigned keeps a history of its own", "[in_place]") {
  Tensor a = ones({3}).set_requires_grad();
  const Tensor value = a * 2.0;
  Tensor y = a * 5.0;
  y.assign_(value);
  const Tensor loss[] = {sum(y) + sum(value) * 2.0}, inputs[] = {y};
  CHECK(grad(loss, inputs)[0].to_vector<float>() == std::vector<float>{1, 1, 1});
  loss[0].backward();
  CHECK(a.grad().to_vector<float>() == std::vector<float>{6, 6, 6});
}

TEST_CASE("a recurrence that writes its state in place", "[in_place]") {
  check_same(
      [](const Tensors& in) {
        Tensor h = zeros({2, 4}, DType::f64), outputs = zeros({5, 2, 4}, DType::f64);
        for (int t = 0; t < 5; ++t) {
          h.mul_(0.5).add_(tanh(matmul(in[0] + static_cast<double>(t), in[1])));
          outputs[t].assign_(h);
        }
        return sum(outputs * outputs);
      },
      [](const Tensors& in) {
        Tensor h = zeros({2, 4}, DType::f64);
        Tensors outputs;
        for (int t = 0; t < 5; ++t) {
          h = h * 0.5 + tanh(matmul(in[0] + static_cast<double>(t), in[1]));
          outputs.push_back(h);
        }
        const Tensor all = stack(outputs);
        return sum(all * all);
      },
      {{2, 3}, {3, 4}});
}

TEST_CASE("a value that the backward pass needs and that was written is refused", "[in_place]") {
  const auto fails = [](const std::function<Tensor(Tensor&)>& program) {
    for (bool compiles : {false, true}) {
      auto compiled = compile(program);
      for (int call = 0; call < 3; ++call) {
        Tensor x = ones({4}).set_requires_grad();
        const Tensor loss = compiles ? compiled(x) : program(x);
        CHECK_THROWS_AS(loss.backward(), UserError);
      }
    }
  };
  fails([](Tensor& x) {
    Tensor y = exp(x);  // its gradient reads y
    y.add_(1);
    return sum(y);
  });
  fails([](Tensor& x) {
    Tensor y = x * 2.0;
    const Tensor z = y * y;
    y[0].zero_();
    return sum(z);
  });
  fails([](Tensor& x) {
    Tensor w = ones({4});
    const Tensor z = x * w;
    no_grad([&] { w.add_(1); });
    return sum(z);
  });
  fails([](Tensor& x) {
    Tensor y = exp(x);
    const Tensor same = exp(x);  // computed once, but it is y that is written and read
    no_grad([&] { y.add_(1); });
    return sum(y) + sum(same);
  });
  // What it does not need may be written.
  for (int call = 0; call < 3; ++call) {
    Tensor x = ones({4}).set_requires_grad();
    Tensor y = x + 1.0;
    const Tensor z = y + 2.0;
    y.zero_();
    sum(z).backward();
    CHECK(x.grad().to_vector<float>() == std::vector<float>(4, 1));
  }
}

TEST_CASE("a compiled function refuses no gradient that the tape gives", "[in_place]") {
  // `which`: the result that the loss is made of, after `write`.
  const auto gives = [](const std::function<Tensors(const Tensors&)>& program, size_t which,
                        const std::function<void(Tensor data, const Tensors& results)>& write) {
    const auto gradients = [&](auto& function) {
      const Tensor data = ordinary_tensor({DType::f64, {4}}, 3);
      const Tensors leaves = leaves_of({{4}, {4}});
      const Tensors results = function(Tensors{data, leaves[0], leaves[1]});
      no_grad([&] { write(data, results); });
      sum(results[which] * results[which]).backward();
      Tensors all;
      for (const Tensor& leaf : leaves) all.push_back(leaf.grad() ? leaf.grad() : zeros({4}, DType::f64));
      return all;
    };
    auto compiled = compile(program);
    const Tensors expected = gradients(program);
    for (int call = 0; call < 4; ++call) check_close(gradients(compiled), expected);
    if (can_compile()) CHECK(compiled.stats().backward_plan_runs > 0);
  };
  const auto write_data = [](Tensor data, const Tensors&) { data.mul_(0.5); };
  const auto write_second = [](Tensor, const Tensors& results) { Tensor(results[1]).mul_(0.5); };
  SECTION("the same value computed twice, of which one is held") {
    gives([](const Tensors& in) { return Tensors{tanh(in[1]) * in[1], tanh(in[1])}; }, 0, write_second);
  }
  SECTION("both are held") {
    gives([](const Tensors& in) { return Tensors{tanh(in[1]), tanh(in[1])}; }, 0, write_second);
  }
  SECTION("both are held, and the other is written to") {
    const auto write_first = [](Tensor, const Tensors& results) { Tensor(results[0]).mul_(0.5); };
    gives([](const Tensors& in) { return Tensors{tanh(in[1]), tanh(in[1])}; }, 1, write_first);
    gives([](const Tensors& in) { return Tensors{tanh(in[1]), reshape(tanh(in[1]), {2, 2})}; }, 1, write_first);
  }
  SECTION("a view of it is held") {
    gives([](const Tensors& in) { return Tensors{exp(in[1]) * in[1], reshape(exp(in[1]), {2, 2})}; }, 0, write_second);
  }
  SECTION("what changes nothing, of an input") {
    gives([](const Tensors& in) { return Tensors{(in[0] * 1.0) * in[1]}; }, 0, write_data);
  }
  SECTION("what changes nothing, behind what is held") {
    gives([](const Tensors& in) { return Tensors{exp(in[1]), exp(in[1]) * 1.0}; }, 0, write_second);
  }
  SECTION("an input that is read for another result only") {
    gives([](const Tensors& in) { return Tensors{(in[0] * 0.5) * in[1], in[0] * in[2]}; }, 0, write_data);
  }
  SECTION("through several cheap ops and a view") {
    const auto half = [](const Tensor& x) { return reshape(reshape(x, {2, 2}) * 0.5 + 1.0, {4}); };
    gives([&](const Tensors& in) { return Tensors{half(in[0]) * in[1], in[0] * in[2]}; }, 0, write_data);
  }
  SECTION("a loop") {
    const auto program = [](const Tensors& in) {
      Tensor h = in[1], last;
      for (int step = 0; step < 6; ++step) {
        last = tanh(h * in[2]);
        h = tanh(h * in[2]) * in[1] + (in[0] * 0.5) * in[2];
      }
      return Tensors{h, last};
    };
    gives(program, 0, write_second);
    gives(program, 0, write_data);
  }
}

TEST_CASE("leaves, their views and views cut off from their base are refused", "[in_place]") {
  Tensor x = ones({4}).set_requires_grad();
  CHECK_THROWS_AS(x.add_(1), UserError);
  CHECK_THROWS_AS(x[0].add_(1), UserError);
  CHECK_THROWS_AS(x.assign_(x), UserError);
  no_grad([&] { x[0].add_(1); });
  CHECK(x.to_vector<float>() == std::vector<float>{2, 1, 1, 1});
  CHECK(x.version() == 1);
  Tensor y = x * 2.0, constant = ones({4});
  Tensor cut = no_grad([&] { return slice(y, 0, 0, 2); }), other = no_grad([&] { return slice(constant, 0, 0, 2); });
  CHECK_FALSE(cut.requires_grad());
  CHECK_THROWS_AS(cut.add_(x[Slice{0, 2}]), UserError);
  CHECK_THROWS_AS(other.assign_(x[Slice{0, 2}]), UserError);
  CHECK_THROWS_AS(reshape(cut, {2, 1})[0].assign_(x[Slice{0, 1}]), UserError);
  cut.add_(1);  // nothing for a history in it; the tape notices the new version where it matters
  CHECK(y.version() == 1);
  Tensor own = y.detach();
  own.add_(x);  // a tensor of its own for gradients
  CHECK(own.requires_grad());
  Tensor leaf = constant[Slice{1, 3}];
  leaf.set_requires_grad();
  CHECK_THROWS_AS(leaf.add_(1), UserError);
  constant.add_(x);
  CHECK(sum(constant[Slice{1, 3}] * leaf).requires_grad());
  CHECK(leaf.requires_grad());
}

TEST_CASE("gradients that are handed out may be written without touching others", "[in_place]") {
  Tensor a = ones({3}).set_requires_grad(), b = ones({3}).set_requires_grad(), c = ones({3}).set_requires_grad();
  const Tensor seed = from_vector<float>({1, 2, 3});
  (a + b + c).backward(seed);
  Tensor gradient = a.grad();
  gradient.mul_(10);
  CHECK(b.grad().to_vector<float>() == std::vector<float>{1, 2, 3});
  CHECK(seed.to_vector<float>() == std::vector<float>{1, 2, 3});
  sum(c * 1.0).backward();
  c.clear_grad();
  sum(c).backward();
  Tensor expanded = c.grad();
  expanded.add_(from_vector<float>({1, 2, 3}));
  CHECK(expanded.to_vector<float>() == std::vector<float>{2, 3, 4});
}

TEST_CASE("a write leaves no cycle behind: memory comes back", "[in_place]") {
  // The graph of the written tensor leads to a node that read it before.
  const auto once = [](const Tensor& probe) {
    Tensor x = ones({1000}) * 1.0, w = ones({1000}).set_requires_grad();
    const Tensor y = x * w * probe;
    x.add_(y);
    Tensor base = w * 2.0;
    Tensor view = base[Slice{0, 10}];
    view.add_(view * view * probe[Slice{0, 10}]);
    base.mul_(base * w);
  };
  const Tensor probe = ones({1000});
  const int32_t before = probe.impl()->storage->references.load();
  for (int i = 0; i < 5; ++i) once(probe);
  CHECK(probe.impl()->storage->references.load() == before);
}
