// Which value each input and output of a backward plan is, and that as text: part of a cache entry.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ir/graph/graph.h"
#include "passes/autodiff.h"

namespace calque {

/// Where an output of the backward plan goes. A product is two outputs, its factors: the tape sums the products of many
/// steps in one go.
struct GradientOutput {
  int slot;
  int first;         // output of the backward plan
  bool is_product;
};

struct GradientMap {
  std::vector<Differentiation::Source> sources;    // one for each input of the backward plan
  std::vector<GradientOutput> gradients;
};

std::string print(const GradientMap& map);
/// Throws UserError on anything but what print() gives.
GradientMap parse_gradient_map(std::string_view text);
/// Throws UserError when an index of the map is out of range for the backward graph and its region.
void check_gradient_map(const GradientMap& map, const Graph& backward, size_t slots, size_t saved, size_t held);

}  // namespace calque
