// Many sizes, one recorded way: batches of any size, sizes that meet and part, wrong guesses, pure functions.
#include <algorithm>
#include <numeric>
#include <random>

#include "calque/calque.h"
#include "compiler/sizes.h"
#include "tests/run/match_harness.h"

using namespace calque;

namespace {

/// 3, ..., 20 in random order, each twice.
std::vector<int64_t> batch_sizes() {
  std::vector<int64_t> sizes(18);
  std::iota(sizes.begin(), sizes.end(), 3);
  sizes.insert(sizes.end(), sizes.begin(), sizes.end());
  std::shuffle(sizes.begin(), sizes.end(), std::mt19937(7));
  return sizes;
}

/// Calls a program plainly and compiled on what `inputs(call)` gives, and compares results, bit for bit.
template <class Function, class Inputs>
CompileStats same_for_all(Function function, int calls, Inputs inputs, const CompileOptions& options = {}) {
  auto compiled = compile(function, options);
  for (int call = 0; call < calls; ++call) {
    INFO("call " << call);
    const Tensors in = inputs(call);
    check_same(compiled(in), function(in), "results");
  }
  return compiled.stats();
}

/// Products, broadcasts, reductions, a reshape, slices by size, divisions by size, tensors made with the size.
Tensors by_batch(const Tensors& in) {
  const Tensor &x = in[0], &w = in[1], &b = in[2];
  const int64_t batch = x.shape()[0];
  const Tensor h = tanh(matmul(x, w) + b);
  const Tensor flat = reshape(h, {batch * 4}), halves = reshape(h, {batch, 2, 2});
  const Tensor first = slice(h, 0, 0, batch - 1), last = slice(h, 0, batch - 1, batch);
  const Tensor centred = (h - sum(h, {0}) / static_cast<double>(batch)) * (1.0 / static_cast<double>(batch));
  return {centred, sum(flat), max(halves, {1}), first * last, concat({first, zeros({batch, 4})}, 0),
          transpose(h, 0, 1) * cast(arange(batch), DType::f32), mean(h), softmax(h), expand(last, {batch, 4}) + 1.0};
}

}  // namespace

TEST_CASE("many batch sizes, one recorded way, no kernels but the first ones") {
  const std::vector<int64_t> sizes = batch_sizes();
  const Tensor w = numbers({5, 4}, 0.2, 0.07), b = numbers({4}, 0.5);
  const CompileStats stats = same_for_all(&by_batch, static_cast<int>(sizes.size()), [&](int call) -> Tensors {
    return {numbers({sizes[call], 5}, -1 + 0.03 * call), w, b};
  });
  CHECK(stats.recorded_calls == 2);
  CHECK(stats.branches == 0);
  CHECK_COMPILED(stats.plan_runs == sizes.size() - 2);
}

TEST_CASE("gradients of many batch sizes are those of eager execution") {
  const Tensor w = numbers({5, 4}, 0.2, 0.07).set_requires_grad(), b = numbers({4}, 0.5).set_requires_grad();
  const auto loss = [](const Tensor& x, const Tensor& w, const Tensor& b) {
    const Tensor h = sigmoid(x * sum(w, {1}) + sum(b)), rows = reshape(h, {x.shape()[0] * 5});
    return sum(rows * rows) / static_cast<double>(x.shape()[0]);
  };
  auto compiled = compile(loss);
  for (const int64_t size : batch_sizes()) {
    INFO("size " << size);
    const Tensor x = numbers({size, 5}, 0.01 * static_cast<double>(size)).set_requires_grad();
    const std::vector<Tensor> expected = grad({loss(x, w, b)}, {x, w, b}), ours = grad({compiled(x, w, b)}, {x, w, b});
    check_same(ours, expected, "gradients");
  }
  CHECK(compiled.stats().recorded_calls == 2);
  CHECK(compiled.stats().branches == 0);
}

TEST_CASE("a kernel is not generated again for another batch size") {
  // Rows are as long as a weight is wide; how many there are is the batch.
  auto compiled = compile(
      [](const Tensors& in) -> Tensors {
        const Tensor h = tanh(matmul(in[0], in[1]) + in[2]), first = slice(h, 0, 0, h.shape()[0] - 1);
        return {softmax(h) / static_cast<double>(h.shape()[0]), mean(h, {0}), sum(h, {0}), concat({h, h * 2.0}, 1), first * 3.0};
      },
      {.name = "one_generation"});
  const Tensor w = numbers({5, 4}, 0.2, 0.07), b = numbers({4}, 0.5);
  uint64_t generated = 0;
  for (int64_t size = 9; size < 46; ++size) {
    compiled(Tensors{numbers({size, 5}), w, b});
    if (size == 11) generated = compiled.stats().code_generations;
  }
  CHECK(compiled.stats().code_generations == generated);
}

TEST_CASE("sizes 0 and 1 are ways of their own") {
  const auto f = [](const Tensors& in) -> Tensors { return {in[0] + in[1], sum(in[0] * 2.0, {0}), tanh(in[0])}; };
  const int64_t sizes[] = {4, 6, 1, 0, 9, 1, 0, 3, 0, 1, 5, 4};
  const CompileStats stats = same_for_all(f, 36, [&](int call) -> Tensors {
    return {numbers({sizes[call % 12], 5}, call), numbers({5}, 0.5)};
  });
  CHECK(stats.recorded_calls == 4);
  CHECK(stats.branches == 2);
}

TEST_CASE("two sizes that were equal at first may differ later") {
  // One size of the right operand broadcasts or not; both are matched by the same way only where the op takes them.
  const auto f = [](const Tensors& in) -> Tensors {
    return {matmul(in[0], in[1]), sum(in[0], {0}), in[0] * static_cast<double>(in[0].shape()[0])};
  };
  const int64_t sizes[][3] = {{4, 4, 4}, {6, 6, 6}, {5, 5, 5}, {3, 7, 2}, {8, 2, 5}, {7, 7, 3}, {3, 4, 4}, {9, 8, 7}};
  const CompileStats stats = same_for_all(f, 24, [&](int call) -> Tensors {
    const auto& [m, k, n] = sizes[call % 8];
    return {numbers({m, k}, call), numbers({k, n}, 0.3 * call)};
  });
  CHECK(stats.recorded_calls <= 4);
  CHECK(stats.branches <= 2);
}

TEST_CASE("a wrong guess costs a way, never a wrong result") {
  // 2 B for the first sizes, then something else.
  const auto width = [](int64_t batch) { return batch < 7 ? 2 * batch : batch + 5; };
  const auto f = [&](const Tensors& in) -> Tensors {
    const int64_t batch = in[0].shape()[0];
    return {in[0] * 2.0, zeros({width(batch)}) + 1.0, full({3}, batch % 3 == 0 ? 0.5 : 1.0 / static_cast<double>(batch))};
  };
  const std::vector<int64_t> sizes = batch_sizes();
  const CompileStats stats =
      same_for_all(f, static_cast<int>(sizes.size()), [&](int call) -> Tensors { return {numbers({sizes[call], 3}, call)}; });
  CHECK(stats.branches < 10);
}

TEST_CASE("a number that changes with the size, and follows from nothing, is an input of the plan") {
  int call_number = 0;
  const auto make = [&] {
    return [&](const Tensors& in) -> Tensors { return {sum(in[0], {0}) * (0.1 + 0.37 * call_number * call_number)}; };
  };
  auto plain = make();
  auto compiled = compile(make());
  for (int call = 0; call < 30; ++call) {
    call_number = call;
    const Tensors in{numbers({3 + (7 * call) % 11, 5}, call)};
    check_same(compiled(in), plain(in), "results");
  }
  CHECK(compiled.stats().recorded_calls <= 8);
  CHECK_COMPILED(compiled.stats().plan_runs >= 22);
}

TEST_CASE("lengths change how often a loop goes round: a way for each length, for all batches") {
  const auto f = [](const Tensors& in) -> Tensors {
    Tensor h = in[1];
    for (int64_t t = 0; t < in[0].shape()[1]; ++t) h = tanh(select(in[0], 1, t) + h);
    return {h};
  };
  const CompileStats stats = same_for_all(f, 60, [](int call) -> Tensors {
    const int64_t batch = 2 + (call * 5) % 7, length = 1 + (call / 2) % 4;
    return {numbers({batch, length, 3}, 0.1 * call), numbers({batch, 3}, 0.2)};
  });
  CHECK(stats.recorded_calls <= 12);
  CHECK(stats.branches <= 6);
}

TEST_CASE("layouts that follow from a size: transposed and sliced arguments") {
  const auto f = [](const Tensors& in) -> Tensors { return {in[0] * 2.0 + 1.0, sum(in[0], {1}), matmul(in[0], in[1])}; };
  const CompileStats stats = same_for_all(f, 24, [](int call) -> Tensors {
    const int64_t batch = 2 + (call * 5) % 9;
    return {transpose(numbers({6, batch}, call), 0, 1), slice(numbers({6, 9}, call), 1, 0, 4)};
  });
  CHECK(stats.recorded_calls == 2);
  CHECK(stats.branches == 0);
}

TEST_CASE("a segment of many sizes may end in mid-call, and its values be used behind it") {
  const auto f = [](const Tensors& in) -> Tensors {
    const Tensor h = tanh(in[0]) * 2.0, scale = sum(h);
    const double read = scale.item();
    return {h + 1.0, read > 0 ? h * scale : h - scale, sum(h, {0})};
  };
  const CompileStats stats = same_for_all(f, 48, [](int call) -> Tensors {
    return {numbers({2 + (call * 5) % 9, 3}, call % 2 ? 0.5 : -3.0, 0.01)};
  });
  CHECK(stats.recorded_calls <= 4);
  CHECK(stats.branches <= 2);
}

TEST_CASE("the number of ways stays bounded, and results right, when nothing follows from sizes") {
  const auto f = [](const Tensors& in) -> Tensors {
    const int64_t size = in[0].shape()[0];
    return {sum(in[0], {0}), zeros({(size * size * size) % 17 + 2})};
  };
  const CompileStats stats = same_for_all(
      f, 60, [](int call) -> Tensors { return {numbers({2 + call, 3}, call)}; }, {.most_branches = 8});
  CHECK(stats.branches <= 8);
}

TEST_CASE("an exception of a call with another size leaves the way as it was") {
  const auto f = [](const Tensors& in) -> Tensors {
    const Tensor y = tanh(in[0]) + 1.0;
    if (y.shape()[0] == 7) throw std::runtime_error("seven");
    return {y, sum(y, {0})};
  };
  auto compiled = compile(f);
  for (int call = 0; call < 30; ++call) {
    const Tensors in{numbers({3 + call % 6, 4}, call)};
    if (in[0].shape()[0] == 7) CHECK_THROWS_AS(compiled(in), std::runtime_error);
    else check_same(compiled(in), f(in), "results");
  }
  CHECK(compiled.stats().branches <= 1);
}

TEST_CASE("a pure function is matched once for each new size, then entered") {
  int runs = 0;
  const Tensor w = numbers({5, 4}, 0.2);
  auto f = [&runs](const Tensor& x, const Tensor& w) {
    ++runs;
    return tanh(matmul(x, w)) / static_cast<double>(x.shape()[0]);
  };
  auto pure_f = compile(pure, f, {.name = "pure_sizes", .audits = false});
  for (int round = 0; round < 3; ++round)
    for (int64_t size = 3; size <= 20; ++size) {
      const Tensor x = numbers({size, 5}, 0.1 * static_cast<double>(size + round));
      CHECK(same_bits(pure_f(x, w), tanh(matmul(x, w)) / static_cast<double>(size)));
    }
  const CompileStats stats = pure_f.stats();
  CHECK(stats.recorded_calls == 2);
  CHECK_COMPILED(runs <= 18 + 4);
  CHECK_COMPILED(stats.entered_calls == 54 - static_cast<uint64_t>(runs));
}

TEST_CASE("more sizes than plans are kept for") {
  const auto f = [](const Tensors& in) -> Tensors { return {tanh(in[0]) * 2.0, sum(in[0], {0})}; };
  const CompileStats stats =
      same_for_all(f, 300, [](int call) -> Tensors { return {numbers({2 + call % 100, 3}, call)}; });
  CHECK(stats.recorded_calls == 2);
}

TEST_CASE("explain names the sizes that became symbolic") {
  auto compiled = compile([](const Tensor& x) { return tanh(x) + 1.0; }, {.name = "named_sizes"});
  for (int64_t size = 3; size < 8; ++size) compiled(numbers({size, 3}));
  const std::string text = compiled.explain();
  CHECK(text.find("symbolic-size") != std::string::npos);
  CHECK(text.find("f32[n0,3]") != std::string::npos);
}

TEST_CASE("expressions are fitted from two calls") {
  const int64_t before[] = {4, 10}, now[] = {6, 10}, later[] = {6, 15};
  const SizeSymbol both[] = {0, 1};
  const auto affine = fit_integer(3, before, 5, now, both);  // B - 1
  REQUIRE(affine);
  CHECK(affine->value(later) == 5);
  const auto multiple = fit_integer(40, before, 60, now, both);  // 10 B, or B T
  REQUIRE(multiple);
  CHECK(multiple->value(now) == 60);
  CHECK_FALSE(fit_integer(40, before, 61, now, both));
  CHECK_FALSE(fit_integer(3, now, 4, now, both));
  const SizeSymbol second[] = {1};
  const SizeExpression ten{0, {{10, 0}}};
  const auto product = refit_integer(ten, now, 90, later, second);
  REQUIRE(product);
  CHECK(product->value(before) == 40);
  CHECK(product->value(later) == 90);
  const auto bits = [](double number) { return std::bit_cast<int64_t>(number); };
  const auto quotient = fit_number(bits(1.0 / 4), before, bits(1.0 / 6), now, both);
  REQUIRE(quotient);
  CHECK(quotient->value(later) == bits(1.0 / 6));
  CHECK_FALSE(fit_number(bits(0.1), before, bits(0.25), now, both));
}
