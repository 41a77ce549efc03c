// Cases for every row of the op table: op, attributes and inputs over dtypes, layouts, sizes and special
// values.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "ir/op/op.h"
#include "tests/support/test_values.h"

namespace calque::test {

/// What a case is there for; a column of the coverage matrix.
enum class Aspect { plain, strided, broadcast, empty, single, odd, special, count_ };
inline constexpr int kAspectCount = static_cast<int>(Aspect::count_);
inline constexpr const char* kAspectNames[] = {"plain",  "strided", "broadcast", "empty",
                                               "single", "odd",     "special"};

struct OpCase {
  Op op;
  Aspect aspect;
  std::vector<Tensor> inputs;
  Attributes attributes;

  std::string describe() const {
    std::string text = std::string(row(op).name) + " " + kAspectNames[static_cast<int>(aspect)];
    for (const Tensor& input : inputs) text += " " + to_string(Type{input.dtype(), input.shape()});
    for (int i = 0; i < attributes.size(); ++i)
      text += (i ? "," : " attributes ") + std::to_string(attributes[i]);
    return text;
  }
};

inline constexpr DType kNumbers[] = {DType::f32, DType::f64, DType::i64, DType::i32};
inline constexpr DType kFloats[] = {DType::f32, DType::f64};

/// Collects the cases of one op.
class CaseList {
 public:
  explicit CaseList(Op op) : op_(op) {}

  void add(Aspect aspect, std::vector<Tensor> inputs, Attributes attributes = {}) {
    cases_.push_back({op_, aspect, std::move(inputs), std::move(attributes)});
  }
  std::vector<OpCase> take() { return std::move(cases_); }

  Tensor plain(DType dtype, const Shape& shape) { return ordinary_tensor({dtype, shape}, ++seed_); }
  Tensor strided(DType dtype, const Shape& shape) { return strided_tensor({dtype, shape}, ++seed_); }
  Tensor sliced(DType dtype, const Shape& shape) { return sliced_tensor({dtype, shape}, ++seed_); }
  Tensor sprinkled(DType dtype, const Shape& shape) { return sprinkled_tensor({dtype, shape}, ++seed_); }
  Tensor lone_special(DType dtype, const Shape& shape, int64_t special) {
    return lone_special_tensor({dtype, shape}, special, ++seed_);
  }

  /// An op on one tensor: every layout of it. But for views, `attributes` fit any tensor of the rank of `shape`,
  /// sizes from 1.
  void add_unary(DType dtype, const Shape& shape, const Attributes& attributes) {
    add(Aspect::plain, {plain(dtype, shape)}, attributes);
    add(Aspect::strided, {strided(dtype, shape)}, attributes);
    add(Aspect::strided, {sliced(dtype, shape)}, attributes);
    add(Aspect::special, {sprinkled(dtype, row(op_).kind == OpKind::view ? shape : enough_rows(shape))}, attributes);
  }

 private:
  /// The shape made longer, so that each special value has a row for itself.
  static Shape enough_rows(Shape shape) {
    while (shape.element_count() / shape.back() < kRowsOfSpecials) shape.set(0, shape[0] + 1);
    return shape;
  }

  Op op_;
  uint64_t seed_ = 0;
  std::vector<OpCase> cases_;
};

/// Dtypes of the numbered operand, for each overload of an elementwise op.
inline std::vector<DType> dtypes_of(Signature signature) {
  std::vector<DType> taken;
  for (DType dtype : kAllDTypes)
    if (accepts(signature, dtype)) taken.push_back(dtype);
  return taken;
}

inline std::vector<OpCase> elementwise_cases(Op op) {
  const OpRow& entry = row(op);
  CaseList list(op);
  for (DType dtype : dtypes_of(entry.signature)) {
    const auto operands = [&](auto make) {
      std::vector<Tensor> inputs;
      for (int i = 0; i < entry.inputs; ++i)
        inputs.push_back(make(entry.signature == Signature::select && i == 0 ? DType::boolean : dtype, i));
      return inputs;
    };
    const auto same = [&](const Shape& shape) {
      return operands([&](DType d, int) { return list.plain(d, shape); });
    };
    list.add(Aspect::plain, same({4, 8}));
    list.add(Aspect::odd, same({33, 17}));
    list.add(Aspect::odd, same({3, 1025}));
    list.add(Aspect::odd, same({2, 3, 5}));
    list.add(Aspect::single, same({1}));
    list.add(Aspect::single, same({}));
    list.add(Aspect::empty, same({0, 4}));
    list.add(Aspect::strided, operands([&](DType d, int) { return list.strided(d, {33, 17}); }));
    list.add(Aspect::strided, operands([&](DType d, int) { return list.sliced(d, {33, 17}); }));
    list.add(Aspect::strided, operands([&](DType d, int) { return list.strided(d, {7, 3, 9}); }));
    list.add(Aspect::special, operands([&](DType d, int i) { return special_tensor({d, {40, 35}}, i); }));
    if (entry.inputs < 2) continue;
    const std::pair<Shape, Shape> shapes[] = {{{33, 1}, {17}}, {{17}, {33, 17}},    {{33, 17}, {33, 1}},
                                              {{33, 17}, {}},  {{1, 1}, {3, 1025}}, {{2, 1, 5}, {3, 1}},
                                              {{0, 1}, {1, 4}}};
    for (const auto& [first, second] : shapes)
      list.add(Aspect::broadcast,
               operands([&](DType d, int i) { return list.plain(d, i % 2 == 0 ? first : second); }));
    list.add(Aspect::broadcast, operands([&](DType d, int i) {
               return list.strided(d, i % 2 == 0 ? Shape{9, 1} : Shape{9, 21});
             }));
  }
  return list.take();
}

inline void add_cast_cases(CaseList& list) {
  for (DType from : kAllDTypes)
    for (DType to : kAllDTypes) {
      const Attributes attributes = Attributes::of(to);
      list.add_unary(from, {33, 17}, attributes);
      list.add(Aspect::odd, {list.plain(from, {3, 1025})}, attributes);
      list.add(Aspect::single, {list.plain(from, {})}, attributes);
      list.add(Aspect::empty, {list.plain(from, {0, 4})}, attributes);
    }
}

inline void add_full_cases(CaseList& list) {
  const double inf = std::numeric_limits<double>::infinity();
  for (DType dtype : kAllDTypes) {
    for (double value : {0.1, -0.0, 2.7, -7.0, 9007199254740992.0})
      list.add(Aspect::plain, {}, Attributes::of(value, dtype, Ints{4, 8}));
    for (double value : {std::nan(""), inf, -inf, 1e300, 5e-324})
      list.add(Aspect::special, {}, Attributes::of(value, dtype, Ints{3}));
    list.add(Aspect::single, {}, Attributes::of(1.5, dtype, Ints{}));
    list.add(Aspect::odd, {}, Attributes::of(1.5, dtype, Ints{3, 1025}));
    list.add(Aspect::empty, {}, Attributes::of(1.5, dtype, Ints{0, 4}));
  }
}

inline void add_arange_cases(CaseList& list) {
  for (DType dtype : kNumbers) {
    const std::pair<Aspect, int64_t> stops[] = {
        {Aspect::plain, 8}, {Aspect::single, 1}, {Aspect::odd, 1025}, {Aspect::odd, 33}, {Aspect::empty, 0}};
    for (const auto& [aspect, stop] : stops) list.add(aspect, {}, Attributes::of(stop, dtype));
  }
}

inline void add_view_cases(CaseList& list, Op op) {
  struct Pattern {
    Op op;
    Shape shape;
    Attributes attributes;
  };
  const Pattern patterns[] = {{Op::reshape, {33, 18}, Attributes::of(Ints{11, 3, -1})},
                              {Op::reshape, {2, 3, 5}, Attributes::of(Ints{6, 5})},
                              {Op::reshape, {6, 4}, Attributes::of(Ints{24})},
                              {Op::permute, {33, 17}, Attributes::of(Ints{1, 0})},
                              {Op::permute, {3, 4, 5}, Attributes::of(Ints{2, 0, 1})},
                              {Op::permute, {3, 4, 5}, Attributes::of(Ints{0, -1, 1})},
                              {Op::slice, {33, 17}, Attributes::of(0, 2, 30)},
                              {Op::slice, {33, 17}, Attributes::of(-1, -9, -2)},
                              {Op::slice, {3, 1025}, Attributes::of(1, 1000, 1025)},
                              {Op::slice, {4, 5}, Attributes::of(1, 2, 2)},
                              {Op::every, {33, 17}, Attributes::of(0, 5)},
                              {Op::every, {5, 24}, Attributes::of(-1, 2)},
                              {Op::every, {4, 6, 3}, Attributes::of(1, 100)},
                              {Op::split, {33, 18}, Attributes::of(3, 0)},
                              {Op::split, {5, 24}, Attributes::of(4, -1)},
                              {Op::split, {4, 6, 3}, Attributes::of(2, 1)},
                              {Op::detach, {33, 17}, Attributes()},
                              {Op::detach, {2, 3, 5}, Attributes()}};
  for (const Pattern& pattern : patterns)
    if (pattern.op == op)
      for (DType dtype : kAllDTypes) list.add_unary(dtype, pattern.shape, pattern.attributes);
  const auto extreme = [&](Op which, Aspect aspect, const Shape& shape, const Attributes& attributes) {
    if (which == op) list.add(aspect, {list.plain(DType::f32, shape)}, attributes);
  };
  extreme(Op::reshape, Aspect::empty, {0, 4}, Attributes::of(Ints{2, 0, 3}));
  extreme(Op::reshape, Aspect::single, {1, 1}, Attributes::of(Ints{}));
  extreme(Op::reshape, Aspect::single, {}, Attributes::of(Ints{1, -1}));
  extreme(Op::permute, Aspect::empty, {0, 4}, Attributes::of(Ints{1, 0}));
  extreme(Op::permute, Aspect::single, {}, Attributes::of(Ints{}));
  extreme(Op::slice, Aspect::empty, {0, 4}, Attributes::of(1, 1, 3));
  extreme(Op::slice, Aspect::single, {1}, Attributes::of(0, 0, 1));
  extreme(Op::every, Aspect::empty, {0, 4}, Attributes::of(0, 3));
  extreme(Op::every, Aspect::single, {1}, Attributes::of(0, 2));
  extreme(Op::every, Aspect::odd, {3, 1025}, Attributes::of(1, 3));
  extreme(Op::split, Aspect::empty, {0, 4}, Attributes::of(2, 1));
  extreme(Op::split, Aspect::single, {1, 1}, Attributes::of(1, 0));
  extreme(Op::detach, Aspect::empty, {0, 4}, Attributes());
  extreme(Op::detach, Aspect::single, {}, Attributes());
  extreme(Op::detach, Aspect::odd, {3, 1025}, Attributes());
  if (op == Op::slice || op == Op::split)
    list.add(Aspect::odd, {list.plain(DType::f64, {5, 1026})},
             op == Op::split ? Attributes::of(2, 1) : Attributes::of(1, 1, 1026));
  if (op == Op::reshape || op == Op::permute)
    list.add(Aspect::odd, {list.plain(DType::f64, {3, 1025})},
             op == Op::reshape ? Attributes::of(Ints{1025, 3}) : Attributes::of(Ints{1, 0}));
}

inline void add_expand_cases(CaseList& list) {
  for (DType dtype : kAllDTypes) {
    const std::pair<Shape, Shape> patterns[] = {
        {{33, 1}, {33, 17}}, {{17}, {33, 17}}, {{1, 17}, {2, 33, 17}}, {{3, 1, 5}, {3, 4, 5}}, {{}, {3, 5}}};
    for (const auto& [shape, target] : patterns) {
      list.add(Aspect::broadcast, {list.plain(dtype, shape)}, Attributes::of(Ints(target)));
      list.add(Aspect::strided, {list.strided(dtype, shape)}, Attributes::of(Ints(target)));
    }
    list.add(Aspect::special, {special_tensor({dtype, {41, 1}}, 0)}, Attributes::of(Ints{41, 3}));
    list.add(Aspect::plain, {list.plain(dtype, {4, 8})}, Attributes::of(Ints{4, 8}));
    list.add(Aspect::odd, {list.plain(dtype, {3, 1})}, Attributes::of(Ints{3, 1025}));
    list.add(Aspect::empty, {list.plain(dtype, {0, 1})}, Attributes::of(Ints{0, 4}));
    list.add(Aspect::single, {list.plain(dtype, {})}, Attributes::of(Ints{1}));
  }
}

inline void add_reduction_cases(CaseList& list, Op op) {
  const bool is_extreme = op == Op::max || op == Op::min;
  for (DType dtype : kNumbers) {
    for (bool keep : {false, true})
      for (const Attributes& attributes : {Attributes::of(keep, Ints{1}), Attributes::of(keep, Ints{0}),
                                           Attributes::of(keep, Ints{}), Attributes::of(keep, Ints{0, -1})})
        list.add_unary(dtype, {33, 17}, attributes);
    using Axes = std::vector<int64_t>;
    const std::pair<Shape, Axes> patterns[] = {{{5000}, {0}},     {{3, 1025}, {-1}},   {{3, 4097}, {1}},
                                               {{2, 12289}, {1}}, {{200, 3}, {0}},     {{3, 70, 5}, {0, 1}},
                                               {{3, 70, 5}, {1}}, {{7, 5, 3}, {0, 2}}, {{65, 33}, {0}},
                                               {{64, 33}, {0}},   {{70, 1}, {0}}};
    for (const auto& [shape, axes] : patterns)
      list.add(Aspect::odd, {list.plain(dtype, shape)}, Attributes::of(true, Ints(axes)));
    list.add(Aspect::odd, {list.plain(dtype, {9000})}, Attributes::of(false, Ints{}));
    list.add(Aspect::single, {list.plain(dtype, {})}, Attributes::of(false, Ints{}));
    list.add(Aspect::single, {list.plain(dtype, {1, 1})}, Attributes::of(true, Ints{0}));
    list.add(Aspect::empty, {list.plain(dtype, {0, 4})}, Attributes::of(false, Ints{1}));
    if (!is_extreme) list.add(Aspect::empty, {list.plain(dtype, {0, 4})}, Attributes::of(false, Ints{0}));
    if (!is_extreme) list.add(Aspect::empty, {list.plain(dtype, {0, 4})}, Attributes::of(true, Ints{}));
  }
}

inline void add_flip_cases(CaseList& list) {
  for (DType dtype : kAllDTypes) {
    for (const Attributes& attributes : {Attributes::of(Ints{}), Attributes::of(Ints{0}), Attributes::of(Ints{-1})})
      list.add_unary(dtype, {33, 17}, attributes);
    list.add(Aspect::odd, {list.plain(dtype, {3, 5, 7})}, Attributes::of(Ints{2, 0}));
    list.add(Aspect::odd, {list.plain(dtype, {3, 1025})}, Attributes::of(Ints{1}));
    list.add(Aspect::single, {list.plain(dtype, {})}, Attributes::of(Ints{}));
    list.add(Aspect::empty, {list.plain(dtype, {0, 4})}, Attributes::of(Ints{0, 1}));
  }
}

inline void add_truth_cases(CaseList& list) {
  for (DType dtype : kAllDTypes) {
    // Mostly zeros, so that both answers occur.
    const auto sparse = [&](const Shape& shape) {
      return where(list.plain(DType::f32, shape) > 1.0, list.plain(dtype, shape), full(shape, 0.0, dtype));
    };
    for (const Attributes& attributes : {Attributes::of(false, Ints{1}), Attributes::of(true, Ints{0}), Attributes::of(false, Ints{})}) {
      list.add_unary(dtype, {33, 3}, attributes);
      list.add(Aspect::plain, {sparse({33, 3})}, attributes);
      list.add(Aspect::odd, {sparse({70, 65})}, attributes);
      list.add(Aspect::empty, {list.plain(dtype, {0, 4})}, attributes);
    }
    list.add(Aspect::single, {list.plain(dtype, {})}, Attributes::of(false, Ints{}));
  }
}

inline void add_argmax_cases(CaseList& list) {
  for (DType dtype : kNumbers) {
    for (int64_t axis : {0, -1}) list.add_unary(dtype, {40, 17}, Attributes::of(axis));
    list.add(Aspect::odd, {list.plain(dtype, {3, 4097})}, Attributes::of(1));
    list.add(Aspect::odd, {list.plain(dtype, {3, 5, 7})}, Attributes::of(1));
    list.add(Aspect::single, {list.plain(dtype, {1})}, Attributes::of(0));
    list.add(Aspect::empty, {list.plain(dtype, {0, 4})}, Attributes::of(1));
  }
}

inline void add_pad_cases(CaseList& list) {
  for (DType dtype : kAllDTypes) {
    list.add_unary(dtype, {33, 17}, Attributes::of(-1, 2, 3));
    list.add_unary(dtype, {5, 6, 7}, Attributes::of(1, 0, 4));
    list.add(Aspect::odd, {list.plain(dtype, {3, 1025})}, Attributes::of(0, 1, 1));
    list.add(Aspect::single, {list.plain(dtype, {1})}, Attributes::of(0, 0, 0));
    list.add(Aspect::empty, {list.plain(dtype, {0, 4})}, Attributes::of(0, 2, 1));
    list.add(Aspect::empty, {list.plain(dtype, {0, 4})}, Attributes::of(1, 2, 1));
  }
}

inline void add_concat_cases(CaseList& list) {
  for (DType dtype : kAllDTypes) {
    list.add(Aspect::plain, {list.plain(dtype, {4, 8}), list.plain(dtype, {4, 3})}, Attributes::of(1));
    list.add(Aspect::plain, {list.plain(dtype, {4})}, Attributes::of(0));
    list.add(Aspect::odd,
             {list.plain(dtype, {33, 17}), list.plain(dtype, {1, 17}), list.plain(dtype, {5, 17})},
             Attributes::of(0));
    list.add(Aspect::odd, {list.plain(dtype, {2, 3, 5}), list.plain(dtype, {2, 1, 5})}, Attributes::of(-2));
    list.add(Aspect::strided, {list.strided(dtype, {33, 17}), list.sliced(dtype, {33, 4})},
             Attributes::of(-1));
    list.add(Aspect::strided, {list.strided(dtype, {9, 17}), list.strided(dtype, {4, 17})},
             Attributes::of(0));
    list.add(Aspect::special,
             {list.sprinkled(dtype, {41, 3}), list.sprinkled(dtype, {41, 2}), list.sprinkled(dtype, {41, 1})},
             Attributes::of(1));
    list.add(Aspect::empty, {list.plain(dtype, {4, 0}), list.plain(dtype, {4, 3})}, Attributes::of(1));
    list.add(Aspect::single, {list.plain(dtype, {1}), list.plain(dtype, {1})}, Attributes::of(0));
    std::vector<Tensor> many;
    for (int i = 0; i < 20; ++i) many.push_back(list.plain(dtype, {3, i % 3 + 1}));
    list.add(Aspect::odd, many, Attributes::of(1));
  }
}

/// Indices within [0, bound), some of them equal.
inline Tensor index_tensor(DType dtype, const Shape& shape, int64_t bound, uint64_t seed) {
  Random random(seed);
  std::vector<int64_t> values;
  for (int64_t i = 0; i < shape.element_count(); ++i) values.push_back(random.below(bound));
  return cast(from_vector(values, shape), dtype);
}

inline void add_take_cases(CaseList& list) {
  for (DType index : {DType::i64, DType::i32})
    for (DType dtype : kAllDTypes) {
      list.add(Aspect::plain, {list.plain(dtype, {8, 4}), index_tensor(index, {6}, 8, 1)});
      list.add(Aspect::odd, {list.plain(dtype, {33, 17}), index_tensor(index, {5, 7}, 33, 2)});
      list.add(Aspect::odd, {list.plain(dtype, {33}), index_tensor(index, {41}, 33, 3)});
      list.add(Aspect::strided,
               {list.strided(dtype, {33, 17}), slice(index_tensor(index, {20}, 33, 4), 0, 3, 18)});
      list.add(Aspect::strided,
               {list.sliced(dtype, {5, 3, 7}), permute(index_tensor(index, {4, 3}, 5, 5), {1, 0})});
      list.add(Aspect::special, {list.sprinkled(dtype, {41, 3}), arange(41, index)});
      list.add(Aspect::single, {list.plain(dtype, {3, 5}), index_tensor(index, {}, 3, 6)});
      list.add(Aspect::empty, {list.plain(dtype, {3, 5}), index_tensor(index, {0}, 3, 7)});
    }
}

inline void add_index_add_cases(CaseList& list) {
  for (DType index : {DType::i64, DType::i32})
    for (DType dtype : kNumbers) {
      list.add(Aspect::plain, {list.plain(dtype, {8, 4}), index_tensor(index, {8}, 5, 1)}, Attributes::of(5));
      list.add(Aspect::odd, {list.plain(dtype, {5, 7, 17}), index_tensor(index, {5, 7}, 33, 2)},
               Attributes::of(33));
      list.add(Aspect::odd, {list.plain(dtype, {1025}), index_tensor(index, {1025}, 3, 3)},
               Attributes::of(3));
      list.add(Aspect::strided,
               {list.strided(dtype, {15, 9}), slice(index_tensor(index, {20}, 7, 4), 0, 3, 18)},
               Attributes::of(7));
      list.add(Aspect::special, {list.sprinkled(dtype, {41, 3}), arange(41, index)}, Attributes::of(42));
      list.add(Aspect::single, {list.plain(dtype, {5}), index_tensor(index, {}, 3, 6)}, Attributes::of(3));
      list.add(Aspect::empty, {list.plain(dtype, {0, 5}), index_tensor(index, {0}, 3, 7)}, Attributes::of(3));
    }
}

/// gather, and scatter_add where `size` says how long the axis becomes; index_select.
inline void add_indexing_cases(CaseList& list, Op op) {
  const bool scatters = op == Op::scatter_add, selects = op == Op::index_select;
  for (DType index : {DType::i64, DType::i32})
    for (DType dtype : kAllDTypes) {
      if (scatters && dtype == DType::boolean) continue;
      const auto attributes = [&](int64_t axis, int64_t size) {
        return scatters ? Attributes::of(axis, size) : Attributes::of(axis);
      };
      /// `shape` of the tensor that is indexed, `count` steps of the axis.
      const auto indices = [&](Shape shape, int axis, int64_t count, int64_t size) {
        if (selects) return index_tensor(index, {count}, size, 7);
        shape.set(axis, count);
        return index_tensor(index, shape, size, 8);
      };
      const auto values = [&](Tensor x, int axis, int64_t count) {
        return scatters ? slice(x, axis, 0, count) : x;
      };
      const auto add = [&](Aspect aspect, const Tensor& x, int axis, int64_t count) {
        const int64_t size = x.shape()[axis];
        list.add(aspect, {values(x, axis, count), indices(x.shape(), axis, count, size)}, attributes(axis, size));
      };
      add(Aspect::plain, list.plain(dtype, {8, 4}), 0, 6);
      add(Aspect::odd, list.plain(dtype, {33, 17}), 1, 9);
      add(Aspect::odd, list.plain(dtype, {3, 5, 7}), 1, 4);
      add(Aspect::strided, list.strided(dtype, {20, 9}), 0, 20);
      add(Aspect::strided, list.sliced(dtype, {20, 9}), 1, 5);
      add(Aspect::special, list.sprinkled(dtype, {41, 3}), 0, 41);
      add(Aspect::single, list.plain(dtype, {1}), 0, 1);
      add(Aspect::empty, list.plain(dtype, {3, 5}), 1, 0);
      list.add(Aspect::plain, {values(list.plain(dtype, {8, 4}), 1, 4), indices({8, 4}, 1, 4, 4)}, attributes(-1, 4));
    }
}

inline void add_one_hot_cases(CaseList& list) {
  for (DType index : {DType::i64, DType::i32})
    for (DType dtype : kAllDTypes) {
      const Attributes attributes = Attributes::of(5, dtype);
      list.add(Aspect::plain, {index_tensor(index, {6}, 5, 1)}, attributes);
      list.add(Aspect::odd, {index_tensor(index, {33, 17}, 7, 2)}, attributes);
      list.add(Aspect::strided, {slice(index_tensor(index, {20}, 5, 4), 0, 3, 18)}, attributes);
      list.add(Aspect::strided, {permute(index_tensor(index, {4, 3}, 5, 5), {1, 0})}, attributes);
      list.add(Aspect::special, {special_tensor({index, {40}}, 0)}, attributes);
      list.add(Aspect::single, {index_tensor(index, {}, 5, 6)}, attributes);
      list.add(Aspect::empty, {index_tensor(index, {0, 2}, 5, 7)}, attributes);
    }
}

inline void add_batched_matmul_cases(CaseList& list, DType dtype) {
  const std::pair<Shape, Shape> shapes[] = {{{2, 4, 8}, {2, 8, 3}},       {{5, 4, 8}, {8, 17}},  {{4, 8}, {3, 8, 5}},
                                            {{2, 1, 3, 7}, {4, 7, 2}},    {{3, 1, 1, 9}, {2, 9, 33}},
                                            {{2, 3, 2, 2, 5}, {3, 1, 5, 4}}};
  for (const auto& [a, b] : shapes) {
    list.add(Aspect::broadcast, {list.plain(dtype, a), list.plain(dtype, b)});
    list.add(Aspect::strided, {list.strided(dtype, a), list.strided(dtype, b)});
    list.add(Aspect::strided, {list.sliced(dtype, a), list.sliced(dtype, b)});
  }
  list.add(Aspect::odd, {list.plain(dtype, {3, 64, 65}), list.plain(dtype, {3, 65, 70})});
  list.add(Aspect::empty, {list.plain(dtype, {0, 3, 4}), list.plain(dtype, {4, 5})});
  list.add(Aspect::empty, {list.plain(dtype, {2, 3, 0}), list.plain(dtype, {2, 0, 5})});
  list.add(Aspect::single, {list.plain(dtype, {1, 1, 1}), list.plain(dtype, {1, 1, 1})});
}

inline void add_matmul_cases(CaseList& list) {
  for (DType dtype : kFloats) {
    add_batched_matmul_cases(list, dtype);
    const Shape sizes[] = {{4, 8, 16}, {33, 17, 35}, {1, 300, 70},
                           {7, 1, 5},  {65, 64, 1},  {6, 257, 48}};  // M, K, N
    for (const Shape& s : sizes) {
      const Aspect aspect = s[0] == 4 ? Aspect::plain : Aspect::odd;
      list.add(aspect, {list.plain(dtype, {s[0], s[1]}), list.plain(dtype, {s[1], s[2]})});
      list.add(Aspect::strided, {list.strided(dtype, {s[0], s[1]}), list.strided(dtype, {s[1], s[2]})});
      list.add(Aspect::strided, {list.sliced(dtype, {s[0], s[1]}), list.sliced(dtype, {s[1], s[2]})});
    }
    list.add(Aspect::broadcast,
             {expand(list.plain(dtype, {1, 8}), {5, 8}), expand(list.plain(dtype, {8, 1}), {8, 20})});
    const auto in_columns = [&](const Shape& shape) { return transpose(list.sprinkled(dtype, shape)).contiguous(); };
    list.add(Aspect::special, {list.sprinkled(dtype, {41, 9}), list.plain(dtype, {9, 20})});
    list.add(Aspect::special, {list.plain(dtype, {20, 9}), in_columns({41, 9})});
    list.add(Aspect::special, {list.sprinkled(dtype, {41, 9}), in_columns({41, 9})});
    list.add(Aspect::special, {list.sprinkled(dtype, {3, 14, 9}), transpose(list.sprinkled(dtype, {41, 9}))});
    list.add(Aspect::single, {list.plain(dtype, {1, 1}), list.plain(dtype, {1, 1})});
    list.add(Aspect::empty, {list.plain(dtype, {3, 0}), list.plain(dtype, {0, 4})});
    list.add(Aspect::empty, {list.plain(dtype, {0, 3}), list.plain(dtype, {3, 4})});
  }
}

inline void add_composite_cases(CaseList& list, Op op) {
  for (DType dtype : kFloats) {
    if (op == Op::cross_entropy) {
      for (DType index : {DType::i64, DType::i32}) {
        list.add(Aspect::plain, {list.plain(dtype, {4, 8}), index_tensor(index, {4}, 8, 1)});
        list.add(Aspect::odd, {list.plain(dtype, {33, 17}), index_tensor(index, {33}, 17, 2)});
        list.add(Aspect::strided,
                 {list.strided(dtype, {33, 17}), slice(index_tensor(index, {40}, 17, 3), 0, 5, 38)});
        list.add(Aspect::special, {list.sprinkled(dtype, {41, 9}), index_tensor(index, {41}, 9, 4)});
        for (int64_t special = 0; special < kFirstSpecials; ++special)
          list.add(Aspect::special, {list.lone_special(dtype, {5, 9}, special), index_tensor(index, {5}, 9, 4)});
        list.add(Aspect::single, {list.plain(dtype, {1, 1}), index_tensor(index, {1}, 1, 5)});
      }
      continue;
    }
    if (op == Op::mse_loss || op == Op::binary_cross_entropy_with_logits) {
      list.add(Aspect::plain, {list.plain(dtype, {4, 8}), list.plain(dtype, {4, 8})});
      list.add(Aspect::odd, {list.plain(dtype, {3, 1025}), list.plain(dtype, {3, 1025})});
      list.add(Aspect::strided, {list.strided(dtype, {33, 17}), list.sliced(dtype, {33, 17})});
      list.add(Aspect::broadcast, {list.plain(dtype, {33, 17}), list.plain(dtype, {17})});
      list.add(Aspect::broadcast, {list.plain(dtype, {33, 1}), list.plain(dtype, {17})});
      list.add(Aspect::broadcast, {list.plain(dtype, {}), list.strided(dtype, {2, 3, 5})});
      list.add(Aspect::special, {list.sprinkled(dtype, {41, 9}), list.sprinkled(dtype, {41, 9})});
      // One NaN is enough for the mean of all, so each value has cases for itself, too.
      for (int64_t special = 0; special < kFirstSpecials; ++special) {
        list.add(Aspect::special, {list.lone_special(dtype, {5, 9}, special), list.plain(dtype, {5, 9})});
        list.add(Aspect::special, {list.plain(dtype, {5, 9}), list.lone_special(dtype, {5, 9}, special)});
      }
      list.add(Aspect::single, {list.plain(dtype, {}), list.plain(dtype, {})});
      continue;
    }
    std::vector<Attributes> attributes{Attributes()};
    if (op == Op::clamp) attributes = {Attributes::of(-1.25, 0.75), Attributes::of(0.0, 1e300)};
    if (op == Op::var || op == Op::std)
      attributes = {Attributes::of(false, 0.0, Ints{1}), Attributes::of(true, 1.0, Ints{0}),
                    Attributes::of(false, 1.0, Ints{})};
    if (op == Op::mean || op == Op::logsumexp)
      attributes = {Attributes::of(false, Ints{1}), Attributes::of(true, Ints{0}),
                    Attributes::of(false, Ints{})};
    if (op == Op::softmax || op == Op::log_softmax) attributes = {Attributes::of(-1), Attributes::of(0)};
    if (op == Op::layer_norm) attributes = {Attributes::of(1e-5)};
    for (const Attributes& a : attributes) {
      list.add_unary(dtype, {33, 17}, a);
      list.add(Aspect::odd, {list.plain(dtype, {3, 1025})}, a);
      list.add(Aspect::odd, {list.plain(dtype, {2, 5000})}, a);
      list.add(Aspect::odd, {list.plain(dtype, {7, 3, 5})}, a);
      list.add(Aspect::single, {list.plain(dtype, {1, 1})}, a);
      if (op == Op::logsumexp && (a.size() < 2 || a[1] == 0)) continue;  // no largest of none
      if (a.size() == 0 || a[a.size() - 1] != 0) list.add(Aspect::empty, {list.plain(dtype, {0, 4})}, a);
    }
  }
}

/// Random numbers from states of any layout; of dropout, inputs of any layout.
inline void add_random_cases(CaseList& list, Op op) {
  const auto state = [](int64_t seed, int64_t counter) { return from_vector<int64_t>({seed, counter}); };
  if (op == Op::dropout) {
    for (DType dtype : kFloats)
      for (double p : {0.0, 0.3, 1.0}) {
        const Attributes attributes = Attributes::of(p);
        list.add(Aspect::plain, {list.plain(dtype, {4, 8}), state(1, 7)}, attributes);
        list.add(Aspect::strided, {list.strided(dtype, {33, 17}), list.strided(DType::i64, {2})}, attributes);
        list.add(Aspect::strided, {list.sliced(dtype, {33, 17}), state(2, -9)}, attributes);
        list.add(Aspect::special, {list.sprinkled(dtype, {41, 17}), state(INT64_MIN, INT64_MAX)}, attributes);
        list.add(Aspect::odd, {list.plain(dtype, {3, 1025}), state(3, 1)}, attributes);
        list.add(Aspect::odd, {list.plain(dtype, {7, 3, 5}), state(3, 1)}, attributes);
        list.add(Aspect::single, {list.plain(dtype, {}), state(4, 5)}, attributes);
        list.add(Aspect::empty, {list.plain(dtype, {0, 4}), state(4, 5)}, attributes);
      }
    return;
  }
  const auto add = [&](Aspect aspect, const Tensor& x, const Shape& shape) {
    if (op == Op::randint) {
      list.add(aspect, {x}, Attributes::of(int64_t{-3}, int64_t{4}, Ints(shape)));
      list.add(aspect, {x}, Attributes::of(int64_t{1} << 40, int64_t{1} << 52, Ints(shape)));
      return;
    }
    for (DType dtype : kFloats) list.add(aspect, {x}, Attributes::of(dtype, Ints(shape)));
  };
  add(Aspect::plain, state(1, 7), {4, 8});
  add(Aspect::strided, list.strided(DType::i64, {2}), {33, 17});
  add(Aspect::special, state(INT64_MIN, INT64_MAX), {33, 17});
  add(Aspect::special, state(-1, -5), {40});
  add(Aspect::odd, state(1, 7), {3, 1025});
  add(Aspect::odd, state(1, 7), {7, 3, 5});
  add(Aspect::single, state(0, 0), {});
  add(Aspect::single, state(0, 0), {1, 1});
  add(Aspect::empty, state(0, 0), {0, 4});
}

/// The cases of one op; none for a row that has no cases yet, which fails the tests. IR-only rows are covered
/// by programs from which the passes make them.
inline std::vector<OpCase> op_cases(Op op) {
  if (row(op).signature != Signature::none) return elementwise_cases(op);
  CaseList list(op);
  switch (op) {
    case Op::cast:
      add_cast_cases(list);
      break;
    case Op::full:
      add_full_cases(list);
      break;
    case Op::arange:
      add_arange_cases(list);
      break;
    case Op::expand:
      add_expand_cases(list);
      break;
    case Op::reshape:
    case Op::permute:
    case Op::slice:
    case Op::every:
    case Op::split:
    case Op::detach:
      add_view_cases(list, op);
      break;
    case Op::sum:
    case Op::prod:
    case Op::max:
    case Op::min:
      add_reduction_cases(list, op);
      break;
    case Op::any:
    case Op::all:
      add_truth_cases(list);
      break;
    case Op::flip:
      add_flip_cases(list);
      break;
    case Op::gather:
    case Op::scatter_add:
    case Op::index_select:
      add_indexing_cases(list, op);
      break;
    case Op::one_hot:
      add_one_hot_cases(list);
      break;
    case Op::argmax:
    case Op::argmin:
      add_argmax_cases(list);
      break;
    case Op::pad:
      add_pad_cases(list);
      break;
    case Op::concat:
      add_concat_cases(list);
      break;
    case Op::take:
      add_take_cases(list);
      break;
    case Op::index_add:
      add_index_add_cases(list);
      break;
    case Op::matmul:
      add_matmul_cases(list);
      break;
    case Op::mean:
    case Op::var:
    case Op::std:
    case Op::logsumexp:
    case Op::clamp:
    case Op::gelu_erf:
    case Op::mse_loss:
    case Op::binary_cross_entropy_with_logits:
    case Op::softmax:
    case Op::log_softmax:
    case Op::layer_norm:
    case Op::silu:
    case Op::gelu:
    case Op::cross_entropy:
      add_composite_cases(list, op);
      break;
    case Op::rand:
    case Op::randn:
    case Op::randint:
    case Op::dropout:
      add_random_cases(list, op);
      break;
    default:
      break;
  }
  return list.take();
}

}  // namespace calque::test
