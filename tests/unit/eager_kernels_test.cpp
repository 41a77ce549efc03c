// Every eager kernel against the reference interpreter, in every bit: all ops, dtypes and layouts; and the
// instruction-set levels against each other.
#include "runtime/kernels/eager.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "ir/graph/interpreter.h"
#include "ir/op/reduction.h"
#include "runtime/kernels/elementwise.h"
#include "runtime/kernels/reduction.h"
#include "tests/support/threads.h"
#include "tests/unit/kernel_cases.h"

namespace calque::kernels {
namespace {

// --- Values, common and special ---

template <class T>
T random_value(Random& random) {
  using Limits = std::numeric_limits<T>;
  if constexpr (std::is_same_v<T, bool>) {
    return pick(random, 0, 1) != 0;
  } else if constexpr (std::is_integral_v<T>) {
    const T special[] = {0, 1, -1, Limits::max(), Limits::min()};
    if (pick(random, 0, 3) == 0) return special[pick(random, 0, 4)];
    return static_cast<T>(pick(random, 0, 1) == 0 ? pick(random, -9, 9) : static_cast<int64_t>(random()));
  } else {
    const T special[] = {T(0),
                         -T(0),
                         Limits::infinity(),
                         -Limits::infinity(),
                         Limits::quiet_NaN(),
                         Limits::denorm_min(),
                         -Limits::min(),
                         Limits::max(),
                         Limits::lowest(),
                         T(1),
                         T(-1),
                         T(0.625),
                         T(2147483648.0),
                         T(-9223372036854775808.0),
                         T(4294967296.5),
                         T(2147483647.0)};
    if (pick(random, 0, 3) == 0) return special[pick(random, 0, std::size(special) - 1)];
    if (pick(random, 0, 3) > 0) return static_cast<T>(std::normal_distribution<double>(0, 3)(random));
    T any;  // any bits at all
    const uint64_t word = random();
    std::memcpy(&any, &word, sizeof any);
    return any;
  }
}

Literal random_literal(Random& random, const Type& type, bool plain = false) {
  Literal literal(type);
  with_element_type(type.dtype, [&]<class T>(T) {
    for (T& element : literal.as<T>()) {
      element = random_value<T>(random);
      if constexpr (!std::is_same_v<T, bool>)
        if (plain) element = static_cast<T>(std::normal_distribution<double>(0, 9)(random));
    }
  });
  return literal;
}

/// The index of the first element that differs (any NaN equals any NaN), or -1.
int64_t first_difference(const Literal& a, const Literal& b) {
  if (a.type != b.type) return 0;
  return with_element_type(a.type.dtype, [&]<class T>(T) -> int64_t {
    for (int64_t i = 0; i < a.size(); ++i) {
      const T x = a.as<T>()[i], y = b.as<T>()[i];
      if (std::memcmp(&x, &y, sizeof x) != 0 && (x == x || y == y)) return i;
    }
    return -1;
  });
}

// --- Operands in memory ---

enum class Layout { dense, reversed, gaps, repeated };
constexpr Layout kLayouts[] = {Layout::dense, Layout::reversed, Layout::gaps, Layout::repeated};

/// A tensor as a kernel sees it, and the same elements in row-major order as the interpreter does.
struct Operand {
  Literal logical;
  std::vector<std::byte> memory;
  View view;
};

Operand make_operand(Random& random, const Type& type, Layout layout, bool plain = false) {
  const int rank = type.shape.rank();
  Operand operand{random_literal(random, type, plain), {}, {nullptr, type.dtype, type.shape, {}}};
  int64_t step = layout == Layout::gaps ? 2 : 1;
  for (int i = 0; i < rank; ++i) {
    const int axis = layout == Layout::reversed ? i : rank - 1 - i;
    const bool repeats = layout == Layout::repeated && axis % 2 == 0;
    operand.view.strides[axis] = repeats ? 0 : step;
    if (!repeats) step *= type.shape[axis] + (layout == Layout::gaps ? 1 : 0);
  }
  const size_t size = size_of(type.dtype);
  operand.memory.resize((step + 1) * size);
  operand.view.data = operand.memory.data();
  // Twice: a repeated element holds what was written to it last.
  for (const bool writes : {true, false}) {
    for (int64_t i = 0; i < operand.logical.size(); ++i) {
      int64_t place = 0, rest = i;
      for (int axis = rank - 1; axis >= 0; rest /= type.shape[axis--])
        place += rest % type.shape[axis] * operand.view.strides[axis];
      std::byte *inside = operand.memory.data() + place * size,
                *outside = operand.logical.bytes.data() + i * size;
      if (writes)
        std::memcpy(inside, outside, size);
      else
        std::memcpy(outside, inside, size);
    }
  }
  return operand;
}

View view_of(Literal& literal) {
  View view{literal.bytes.data(), literal.type.dtype, literal.type.shape, {}};
  int64_t step = 1;
  for (int axis = view.shape.rank() - 1; axis >= 0; step *= view.shape[axis--]) view.strides[axis] = step;
  return view;
}

/// Runs an op by its kernel and by the interpreter, and compares.
void check(Op op, const std::vector<Operand>& operands, Attributes attributes = {}) {
  InterpreterEmitter interpreter;
  std::vector<Value> values;
  std::vector<Type> types;
  std::vector<View> views;
  std::string text = row(op).name;
  for (const Operand& operand : operands) {
    values.push_back(interpreter.add(operand.logical));
    types.push_back(operand.logical.type);
    views.push_back(operand.view);
    text += " " + to_string(types.back());
    for (int axis = 0; axis < types.back().shape.rank(); ++axis)
      text += ":" + std::to_string(views.back().strides[axis]);
  }
  const Literal expected = interpreter.literal(interpreter.emit(op, values, attributes)[0]);
  Literal result(infer(op, types, attributes)[0]);
  std::fill(result.bytes.begin(), result.bytes.end(), std::byte{0xcd});
  const View out = view_of(result);
  REQUIRE(eager_kernel(op) != nullptr);
  eager_kernel(op)(views, attributes, {&out, 1});
  const int64_t at = first_difference(expected, result);
  if (at >= 0) FAIL(text << " -> " << to_string(result.type) << " differs at " << at);
  SUCCEED();
}

/// Calls f(op, dtype of operand) for every elementwise row and dtype.
template <class F>
void for_each_row(F f) {
  for (int i = 0; i < kElementwiseRows; ++i) {
    const Op op = static_cast<Op>(i);
    for (DType dtype : kAllDTypes)
      if (accepts(row(op).signature, dtype)) f(op, dtype);
  }
}

DType operand_dtype(Op op, DType dtype, int operand) {
  return row(op).signature == Signature::select && operand == 0 ? DType::boolean : dtype;
}

constexpr int kManyThreads = 3;  // more than this machine may have

// --- The table ---

TEST_CASE("every op that is computed has a kernel, and no other") {
  for (int i = 0; i < kOpCount; ++i) {
    const OpRow& entry = row(static_cast<Op>(i));
    const bool computed = entry.kind != OpKind::view && entry.kind != OpKind::composite && !entry.ir_only;
    CAPTURE(entry.name);
    CHECK((eager_kernel(static_cast<Op>(i)) != nullptr) == computed);
  }
}

// --- Elementwise ---

TEST_CASE("elementwise ops of one shape, in every layout") {
  Random random(1);
  const Shape shapes[] = {
      {}, {1}, {0}, {64}, {67}, {3, 5}, {2, 0, 3}, {4, 1, 7}, {2, 3, 40}, {3, 300}, {2, 2, 2, 3, 2, 2}};
  for_each_row([&](Op op, DType dtype) {
    for (const Shape& shape : shapes)
      for (Layout layout : kLayouts) {
        std::vector<Operand> operands;
        for (int k = 0; k < row(op).inputs; ++k)
          operands.push_back(make_operand(random, {operand_dtype(op, dtype, k), shape}, layout));
        check(op, operands);
      }
  });
}

TEST_CASE("elementwise ops broadcast") {
  Random random(2);
  const std::vector<std::vector<Shape>> cases = {
      {{4, 33}, {33}, {}}, {{33}, {4, 33}, {4, 1}}, {{4, 1}, {1, 33}, {4, 33}},
      {{}, {2, 3}, {3}},   {{1, 1}, {5}, {5}},      {{2, 1, 3}, {4, 1}, {1}},
      {{0}, {1}, {}},      {{70}, {1}, {}},         {{3, 1, 300}, {2, 1}, {1}},
      {{1}, {}, {1, 1}},   {{2, 3}, {}, {}},        {{7, 1}, {7, 20}, {20}}};
  for_each_row([&](Op op, DType dtype) {
    for (const std::vector<Shape>& shapes : cases)
      for (int turn = 0; turn < row(op).inputs; ++turn) {
        std::vector<Operand> operands;
        for (int k = 0; k < row(op).inputs; ++k)
          operands.push_back(make_operand(random, {operand_dtype(op, dtype, k), shapes[(k + turn) % 3]},
                                          kLayouts[pick(random, 0, 3)]));
        check(op, operands);
      }
  });
}

TEST_CASE("operands of different layouts mix") {
  Random random(3);
  for (int round = 0; round < 300; ++round) {
    Shape shape;
    for (int64_t rank = pick(random, 1, 4); rank > 0; --rank)
      shape.push_back(pick(random, 1, rank == 1 ? 50 : 6));
    for (Op op : {Op::add, Op::less, Op::where}) {
      std::vector<Operand> operands;
      for (int k = 0; k < row(op).inputs; ++k)
        operands.push_back(
            make_operand(random, {operand_dtype(op, DType::f32, k), shape}, kLayouts[pick(random, 0, 3)]));
      check(op, operands);
    }
  }
}

TEST_CASE("casts between all dtypes") {
  Random random(4);
  for (DType from : kAllDTypes)
    for (DType to : kAllDTypes)
      for (Layout layout : kLayouts)
        for (const Shape& shape : {Shape{}, Shape{0}, Shape{131}, Shape{5, 40}})
          check(Op::cast, {make_operand(random, {from, shape}, layout)}, Attributes::of(to));
}

TEST_CASE("large elementwise ops are shared by threads") {
  const test::Threads threads(kManyThreads);
  Random random(5);
  const auto operand = [&](DType dtype, const Shape& shape, Layout layout) {
    return make_operand(random, {dtype, shape}, layout, true);
  };
  for (Layout layout : kLayouts) {
    check(Op::add, {operand(DType::f32, {110001}, layout), operand(DType::f32, {110001}, Layout::dense)});
    check(Op::mul, {operand(DType::f64, {301, 307}, layout), operand(DType::f64, {307}, Layout::dense)});
    check(Op::maximum,
          {operand(DType::i32, {301, 307}, layout), operand(DType::i32, {301, 1}, Layout::dense)});
    check(Op::cast, {operand(DType::f32, {7, 101, 103}, layout)}, Attributes::of(DType::i64));
  }
  check(Op::tanh, {operand(DType::f32, {40007}, Layout::dense)});
  check(Op::neg, {operand(DType::f32, {110001}, Layout::repeated)});
}

TEST_CASE("an inner loop may write over an operand") {
  Random random(6);
  for (IsaLevel level : levels()) {
    const InnerLoop add = elementwise_kernels(level).rows[static_cast<int>(ElementwiseRow::add)][0];
    for (int64_t n : {1, 15, 16, 17, 64, 77}) {
      std::vector<float> a(n), b(n), expected(n);
      for (int64_t i = 0; i < n; ++i) {
        a[i] = static_cast<float>(i);
        b[i] = 0.5F;
        expected[i] = a[i] + b[i];
      }
      const void* in[] = {a.data(), b.data()};
      const int64_t steps[] = {1, 1};
      add(n, a.data(), in, steps);
      CHECK(a == expected);
    }
  }
}

// --- Levels ---

/// The bits of an inner loop's n results, by guarded memory: nothing beyond them is written.
std::vector<std::byte> run_loop(InnerLoop loop, int64_t n, size_t size, const void* const* in,
                                const int64_t* steps) {
  std::vector<std::byte> out(n * size + 64, std::byte{0x5a});
  loop(n, out.data(), in, steps);
  for (size_t i = n * size; i < out.size(); ++i) REQUIRE(out[i] == std::byte{0x5a});
  out.resize(n * size);
  return out;
}

Literal as_literal(DType dtype, int64_t n, std::vector<std::byte> bytes) {
  Literal literal;
  literal.type = {dtype, Shape{n}};
  literal.bytes = std::move(bytes);
  return literal;
}

TEST_CASE("instruction-set levels give the same bits elementwise") {
  Random random(7);
  for_each_row([&](Op op, DType dtype) {
    const int operands = row(op).inputs;
    const Signature signature = row(op).signature;
    const DType result = signature == Signature::compare ? DType::boolean : dtype;
    const bool one_operand = operands == 1;
    for (int64_t n : {1, 2, 3, 7, 31, 64, 129, 5000}) {
      std::vector<Literal> inputs;
      for (int k = 0; k < operands; ++k)
        inputs.push_back(random_literal(random, {operand_dtype(op, dtype, k), Shape{n}}));
      for (int pattern = 0; pattern < (one_operand ? 2 : 1 << operands); ++pattern) {
        const void* in[3];
        int64_t steps[3];
        for (int k = 0; k < operands; ++k) {
          in[k] = inputs[k].bytes.data();
          steps[k] = pattern >> k & 1;
        }
        const auto run = [&](IsaLevel level) {
          const InnerLoop loop =
              elementwise_kernels(level).rows[static_cast<int>(op)][static_cast<int>(dtype)];
          return as_literal(result, n, run_loop(loop, n, size_of(result), in, steps));
        };
        const Literal expected = run(IsaLevel::baseline);
        for (IsaLevel level : levels()) {
          const int64_t at = first_difference(expected, run(level));
          if (at >= 0)
            FAIL(row(op).name << " " << name(dtype) << " at " << at << " of " << n << ", " << name(level));
        }
      }
    }
  });
  SUCCEED();
}

TEST_CASE("instruction-set levels cast alike") {
  Random random(8);
  constexpr int64_t n = 3001;
  for (DType from : kAllDTypes)
    for (DType to : kAllDTypes) {
      if (from == to) continue;
      const Literal input = random_literal(random, {from, Shape{n}});
      const void* in[] = {input.bytes.data()};
      const int64_t step = 1;
      const auto run = [&](IsaLevel level) {
        const InnerLoop loop = elementwise_kernels(level).cast[static_cast<int>(from)][static_cast<int>(to)];
        return as_literal(to, n, run_loop(loop, n, size_of(to), in, &step));
      };
      for (IsaLevel level : levels()) {
        CAPTURE(name(from), name(to), name(level));
        CHECK(first_difference(run(IsaLevel::baseline), run(level)) == -1);
      }
    }
}

TEST_CASE("instruction-set levels reduce alike") {
  Random random(9);
  for (DType dtype : {DType::f32, DType::f64, DType::i64, DType::i32})
    for (int row = 0; row < static_cast<int>(ReductionRow::count_); ++row)
      for (const bool plain : {true, false})
        for (int64_t n : {0, 1, 5, 32, 33, 63, 500, 4096}) {
          constexpr int64_t kRows = 5, kFewRows = 50;
          const Literal input =
              random_literal(random, {dtype, Shape{kFewRows, std::max<int64_t>(n, 1)}}, plain);
          const auto run = [&](IsaLevel level, bool by_columns) {
            const ReductionKernels& kernels = reduction_kernels(level);
            const ReductionLoops& loops = kernels.rows[row][static_cast<int>(dtype)];
            Literal out({dtype, Shape{by_columns ? n : kRows}});
            if (by_columns)
              loops.columns(input.bytes.data(), n, kFewRows, n, out.bytes.data());
            else
              loops.rows(input.bytes.data(), n, kRows, n, out.bytes.data());
            return out;
          };
          for (IsaLevel level : levels())
            for (const bool by_columns : {false, true}) {
              CAPTURE(name(dtype), name(level), row, n, by_columns);
              REQUIRE(first_difference(run(IsaLevel::baseline, by_columns), run(level, by_columns)) == -1);
            }
        }
}

// --- Reductions ---

TEST_CASE("sum and max over any axes, in every layout") {
  Random random(10);
  const Shape shapes[] = {{},          {1},    {7},       {64},         {3, 33}, {70, 5},
                          {2, 130, 3}, {5, 1}, {1, 4, 1}, {2, 3, 4, 5}, {9000},  {2, 4100}};
  for (DType dtype : {DType::f32, DType::f64, DType::i64, DType::i32})
    for (const Shape& shape : shapes)
      for (Layout layout : kLayouts)
        for (int chosen = 0; chosen < 1 << shape.rank(); ++chosen)
          for (const bool plain : {true, false}) {
            std::vector<int64_t> axes;
            for (int axis = 0; axis < shape.rank(); ++axis)
              if (chosen >> axis & 1) axes.push_back(axis);
            const Operand x = make_operand(random, {dtype, shape}, layout, plain);
            check(Op::sum, {x}, Attributes::of(chosen % 2 == 0, Ints(axes)));
            check(Op::max, {x}, Attributes::of(chosen % 2 == 0, Ints(axes)));
          }
}

TEST_CASE("sums of nothing are zero") {
  Random random(11);
  for (const Shape& shape : {Shape{0}, Shape{3, 0}, Shape{0, 3}, Shape{2, 0, 3}})
    for (int64_t axis = 0; axis < shape.rank(); ++axis)
      check(Op::sum, {make_operand(random, {DType::f32, shape}, Layout::dense)},
            Attributes::of(false, Ints{axis}));
  check(Op::sum, {make_operand(random, {DType::f64, {2, 0, 3}}, Layout::dense)},
        Attributes::of(false, Ints{}));
  check(Op::max, {make_operand(random, {DType::f32, {0, 3}}, Layout::dense)}, Attributes::of(false, Ints{1}));
}

TEST_CASE("large reductions are shared by threads") {
  const test::Threads threads(kManyThreads);
  Random random(12);
  const auto check_both = [&](const Shape& shape, std::initializer_list<int64_t> axes) {
    const Operand x = make_operand(random, {DType::f32, shape}, Layout::dense, true);
    check(Op::sum, {x}, Attributes::of(false, Ints(axes)));
    check(Op::max, {x}, Attributes::of(true, Ints(axes)));
  };
  check_both({200001}, {0});
  check_both({700, 130}, {1});
  check_both({3, 30000}, {1});
  check_both({700, 130}, {0});
  check_both({30, 4001}, {0});
  check_both({40000, 3}, {0});
  check_both({3, 300, 151}, {1});
  check_both({10, 100, 101}, {0, 1, 2});
}

TEST_CASE("argmax takes the first largest, NaN before all") {
  Random random(13);
  for (DType dtype : {DType::f32, DType::f64, DType::i64, DType::i32})
    for (const Shape& shape :
         {Shape{1}, Shape{50}, Shape{4, 9}, Shape{3, 70, 2}, Shape{2, 3, 100}, Shape{0, 3}})
      for (Layout layout : kLayouts)
        for (int64_t axis = 0; axis < shape.rank(); ++axis)
          if (shape[static_cast<int>(axis)] > 0)
            check(Op::argmax, {make_operand(random, {dtype, shape}, layout)}, Attributes::of(axis));
}

// --- Creation, assembly, copies, products ---

TEST_CASE("full and arange") {
  for (DType dtype : kAllDTypes) {
    for (double value : {0.0, -0.0, 1.0, 0.1, 1e300, -1e300, std::nan(""), 9007199254740992.0})
      for (const Shape& shape : {Shape{}, Shape{0}, Shape{3, 50}})
        check(Op::full, {}, Attributes::of(value, dtype, Ints(shape)));
    if (dtype == DType::boolean) continue;
    for (int64_t stop : {0, 1, 100, 70000}) check(Op::arange, {}, Attributes::of(stop, dtype));
  }
}

TEST_CASE("pad and concat") {
  Random random(14);
  for (DType dtype : kAllDTypes)
    for (const Shape& shape : {Shape{4}, Shape{3, 5}, Shape{2, 3, 4}, Shape{2, 0}})
      for (int64_t axis = 0; axis < shape.rank(); ++axis)
        for (Layout layout : kLayouts) {
          const Operand x = make_operand(random, {dtype, shape}, layout);
          check(Op::pad, {x}, Attributes::of(axis, int64_t{2}, int64_t{3}));
          check(Op::pad, {x}, Attributes::of(axis, int64_t{0}, int64_t{0}));
          Shape other = shape;
          other.set(static_cast<int>(axis), 7);
          check(Op::concat, {x, make_operand(random, {dtype, other}, Layout::gaps), x}, Attributes::of(axis));
        }
}

Operand make_indices(Random& random, DType dtype, const Shape& shape, Layout layout, int64_t rows) {
  Operand indices = make_operand(random, {dtype, shape}, layout);
  const auto bring_into_range = [&]<class T>(T*, std::span<std::byte> bytes) {
    for (size_t i = 0; i + sizeof(T) <= bytes.size(); i += sizeof(T)) {
      T index;
      std::memcpy(&index, bytes.data() + i, sizeof index);
      index = static_cast<T>(static_cast<uint64_t>(index) % static_cast<uint64_t>(rows));
      std::memcpy(bytes.data() + i, &index, sizeof index);
    }
  };
  for (std::vector<std::byte>* bytes : {&indices.memory, &indices.logical.bytes}) {
    if (dtype == DType::i64)
      bring_into_range(static_cast<int64_t*>(nullptr), *bytes);
    else
      bring_into_range(static_cast<int32_t*>(nullptr), *bytes);
  }
  return indices;
}

TEST_CASE("take and index_add") {
  Random random(15);
  constexpr int64_t kRows = 6;
  for (DType dtype : kAllDTypes)
    for (DType index_dtype : {DType::i64, DType::i32})
      for (const Shape& index_shape : {Shape{}, Shape{0}, Shape{9}, Shape{3, 40}})
        for (const Shape& width : {Shape{}, Shape{5}, Shape{2, 3}, Shape{0}})
          for (Layout layout : kLayouts) {
            Shape table = width, values = index_shape;
            table.insert(0, kRows);
            for (int64_t size : width) values.push_back(size);
            const Operand indices = make_indices(random, index_dtype, index_shape, layout, kRows);
            check(Op::take, {make_operand(random, {dtype, table}, layout), indices});
            if (dtype != DType::boolean)
              check(Op::index_add, {make_operand(random, {dtype, values}, layout), indices},
                    Attributes::of(kRows));
          }
}

TEST_CASE("take and index_add share large work by threads") {
  const test::Threads threads(kManyThreads);
  Random random(16);
  const Operand indices = make_indices(random, DType::i64, {500}, Layout::dense, 30);
  check(Op::take, {make_operand(random, {DType::f32, {30, 200}}, Layout::dense), indices});
  check(Op::index_add, {make_operand(random, {DType::f32, {500, 200}}, Layout::dense, true), indices},
        Attributes::of(int64_t{30}));
}

TEST_CASE("an index out of range is the user's error") {
  std::vector<float> table(6);
  std::vector<float> out(2);
  const View x{table.data(), DType::f32, {3, 2}, {2, 1}}, y{out.data(), DType::f32, {1, 2}, {2, 1}};
  for (const int64_t index : {int64_t{3}, int64_t{-1}, std::numeric_limits<int64_t>::max()}) {
    const View indices{const_cast<int64_t*>(&index), DType::i64, {1}, {1}};
    const std::vector<View> inputs = {x, indices};
    const std::span<const View> results(&y, 1);
    CHECK_THROWS_WITH(eager_kernel(Op::take)(inputs, {}, results),
                      "take: index " + std::to_string(index) + " at position 0 is out of range for 3 rows");
  }
}

TEST_CASE("copies between any two layouts") {
  const test::Threads threads(kManyThreads);
  Random random(17);
  const Shape shapes[] = {
      {}, {0}, {1}, {50}, {17, 33}, {3, 40, 50}, {2, 3, 4, 5}, {300, 400}, {2, 2, 3, 2, 2, 2}, {100000}};
  for (DType dtype : kAllDTypes)
    for (const Shape& shape : shapes)
      for (Layout from : kLayouts)
        for (Layout to : {Layout::dense, Layout::reversed, Layout::gaps}) {
          const Operand x = make_operand(random, {dtype, shape}, from);
          Operand y = make_operand(random, {dtype, shape}, to);
          copy(x.view, y.view);
          Literal copied({dtype, shape});
          copy(y.view, view_of(copied));
          CAPTURE(to_string(shape), static_cast<int>(from), static_cast<int>(to));
          REQUIRE(copied == x.logical);
        }
}

TEST_CASE("only rows without gaps are contiguous") {
  CHECK(is_contiguous({nullptr, DType::f32, {}, {}}));
  CHECK(is_contiguous({nullptr, DType::f32, {2, 1, 3}, {3, 77, 1}}));
  CHECK(is_contiguous({nullptr, DType::f32, {0, 3}, {9, 9}}));
  CHECK_FALSE(is_contiguous({nullptr, DType::f32, {2, 3}, {4, 1}}));
  CHECK_FALSE(is_contiguous({nullptr, DType::f32, {2, 3}, {1, 2}}));
  CHECK_FALSE(is_contiguous({nullptr, DType::f32, {2}, {0}}));
}

TEST_CASE("matrix products of any layout") {
  const test::Threads threads(kManyThreads);
  Random random(18);
  for (DType dtype : {DType::f32, DType::f64})
    for (Layout a : kLayouts)
      for (Layout b : kLayouts)
        for (const auto& [m, k, n] :
             {std::array<int64_t, 3>{1, 1, 1}, {3, 0, 2}, {0, 3, 2}, {5, 7, 9}, {90, 70, 80}})
          check(Op::matmul, {make_operand(random, {dtype, {m, k}}, a, true),
                             make_operand(random, {dtype, {k, n}}, b, true)});
}

}  // namespace
}  // namespace calque::kernels
