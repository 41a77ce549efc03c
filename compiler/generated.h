// Graphs and kernels of a segment before they become plans: what a cache entry holds.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compiler/cache.h"
#include "compiler/kernel_store.h"
#include "compiler/plan_text.h"
#include "compiler/segment_graph.h"
#include "ir/graph/graph.h"

namespace calque {

struct GeneratedForward {
  Graph graph;
  Kernels kernels{};
  std::vector<int> saved_as{};  // by saved value: see Plan's same_as
};

struct GeneratedBackward {
  Graph graph;
  GradientMap map;
  Kernels kernels{};
};

struct Generated {
  std::optional<GeneratedForward> forward;    // none of a backward pass without some gradients
  std::optional<GeneratedBackward> backward;  // none where nothing needs a gradient

  /// As parts of a cache entry, with the function's name.
  Blobs to_blobs(const std::string& function) const;
  /// What such parts hold, under the name that the program has here. Throws UserError or EnvironmentError when they do not hold
  /// what they must.
  static Generated from_blobs(const Blobs& blobs, const std::string& name);

  /// Throw UserError where what came from a cache does not fit the segment: types of inputs and outputs, indices in range.
  void check_fits(const SegmentGraph& segment) const;
  /// The same of a backward pass alone, behind a forward pass with so many saved values.
  void check_backward_fits(const SegmentGraph& segment, size_t saved) const;
};

}  // namespace calque
