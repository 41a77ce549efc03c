// The pipeline: which passes run, in which order, by name.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph/graph.h"

namespace calque {

struct PassTiming {
  std::string_view name;
  double microseconds = 0;
  size_t nodes_before = 0, nodes_after = 0;
};

struct PassOptions {
  /// Names of passes to leave out.
  std::set<std::string> disabled;
  /// Check the rules of the IR after each pass (ir/graph/verifier.h).
  bool verify = false;
  /// Called with the graph that each pass gives.
  std::function<void(std::string_view pass, const Graph&)> after;
  /// Where set, one entry for each pass that ran is added.
  std::vector<PassTiming>* timings = nullptr;
};

/// What may be done before differentiating: the values and the order in which gradients are added stay.
Graph prepare(Graph graph, const PassOptions& options = {});
/// From a program, a forward or a backward to the graph that is executed. Expects a prepared program.
Graph lower(Graph graph, const PassOptions& options = {});

/// All passes, in the order in which they run.
std::vector<std::string> pass_names();
/// Runs the named passes in the order given: "cse,dce". `prepare` and `lower` stand for all passes of theirs.
/// Throws UserError for a name that no pass has.
Graph run_passes(Graph graph, std::string_view comma_separated_names, const PassOptions& options = {});

}  // namespace calque
