// Random programs of a few ops, the same on every machine: what engines must agree on beyond single rows.
#pragma once

#include <utility>
#include <vector>

#include "ir/graph/graph.h"
#include "tests/support/test_values.h"

namespace calque::test {

/// A program on matrices of one size, and on rows, columns and scalars of it; some of its values are outputs.
class RandomProgram {
 public:
  RandomProgram(uint64_t seed, DType dtype) : random_(seed), dtype_(dtype), graph_("chain") {
    const int64_t sizes[] = {1, 3, 17, 33, 64};
    rows_ = sizes[random_.below(5)];
    columns_ = sizes[random_.below(5)];
    for (const Shape& shape :
         {Shape{rows_, columns_}, Shape{rows_, columns_}, Shape{rows_, 1}, Shape{columns_}, Shape{}})
      values_.push_back(graph_.add_input({dtype, shape}));
  }

  Graph build(int length) {
    while (length-- > 0) add_op();
    std::vector<ValueId> outputs;
    for (size_t i = 5; i < values_.size(); ++i)
      if (i + 1 == values_.size() || random_.below(4) == 0) outputs.push_back(values_[i]);
    graph_.set_outputs(std::move(outputs));
    return std::move(graph_);
  }

 private:
  ValueId any() { return values_[random_.below(static_cast<int64_t>(values_.size()))]; }
  ValueId add(Op op, std::vector<ValueId> inputs, const Attributes& attributes = {}) {
    return graph_.add(op, inputs, attributes).result();
  }
  /// A matrix of all rows and columns.
  ValueId matrix() {
    const ValueId value = any();
    const Shape full{rows_, columns_};
    return graph_.type(value).shape == full ? value : add(Op::expand, {value}, Attributes::of(Ints(full)));
  }

  void add_op() {
    static constexpr Op kUnary[] = {Op::neg,  Op::abs,   Op::exp,  Op::tanh, Op::sigmoid,
                                    Op::relu, Op::floor, Op::silu, Op::gelu};
    static constexpr Op kBinary[] = {Op::add, Op::sub, Op::mul, Op::div, Op::maximum, Op::minimum};
    static constexpr Op kCompare[] = {Op::less, Op::less_equal, Op::greater, Op::equal};
    switch (random_.below(12)) {
      case 0:
      case 1:
      case 2:
        values_.push_back(add(kUnary[random_.below(9)], {any()}));
        break;
      case 3:
      case 4:
      case 5:
        values_.push_back(add(kBinary[random_.below(6)], {any(), any()}));
        break;
      case 6:
        values_.push_back(add(Op::where, {add(kCompare[random_.below(4)], {any(), any()}), any(), any()}));
        break;
      case 7:
        values_.push_back(add(random_.below(2) ? Op::sum : Op::max, {matrix()},
                              Attributes::of(true, Ints{random_.below(2)})));
        break;
      case 8:
        values_.push_back(add(random_.below(2) ? Op::softmax : Op::log_softmax, {matrix()},
                              Attributes::of(random_.below(2))));
        break;
      case 9:
        values_.push_back(add(Op::layer_norm, {matrix()}, Attributes::of(1e-5)));
        break;
      case 10: {
        const int64_t cut = random_.below(columns_ + 1);
        const ValueId x = matrix(), left = add(Op::slice, {x}, Attributes::of(1, 0, cut)),
                      right = add(Op::slice, {x}, Attributes::of(1, cut, columns_));
        values_.push_back(add(Op::concat, {right, left}, Attributes::of(1)));
        break;
      }
      default: {
        const ValueId square =
            add(Op::matmul, {matrix(), add(Op::permute, {matrix()}, Attributes::of(Ints{1, 0}))});
        values_.push_back(add(Op::matmul, {square, matrix()}));
        // Products grow fast; kept near one, so that chains compute with finite numbers for longer.
        values_.back() = add(Op::tanh, {values_.back()});
      }
    }
  }

  Random random_;
  DType dtype_;
  Graph graph_;
  int64_t rows_, columns_;
  std::vector<ValueId> values_;
};

/// Ordinary values for the inputs of a graph, some of them strided.
inline std::vector<Tensor> inputs_for(const Graph& graph, uint64_t seed) {
  std::vector<Tensor> inputs;
  for (ValueId input : graph.inputs()) {
    const Type& type = graph.type(input);
    ++seed;
    inputs.push_back(seed % 3 == 0 ? strided_tensor(type, seed) : ordinary_tensor(type, seed));
  }
  return inputs;
}

}  // namespace calque::test
