// The sum of the gradients that arrive for one tensor, in order of arrival.
#pragma once

#include <utility>
#include <vector>

#include "calque/tensor.h"

namespace calque {

/// Products (give_product) are kept as their factors and computed in one go when the sum is taken: one product over many
/// steps instead of many small ones, with the same bits, since each term keeps its own chain and terms are added in order.
class GradientSum {
 public:
  void add(Tensor gradient);
  void add_product(Tensor a, Tensor b);
  /// The sum; empty when nothing came. Leaves it empty.
  Tensor take(bool create_graph);

 private:
  void compute_products(bool create_graph);

  Tensor sum_;
  bool owned_ = false;  // sum_ was made here, so it may be written
  std::vector<std::pair<Tensor, Tensor>> products_;
};

}  // namespace calque
