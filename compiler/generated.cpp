// Generated graphs and kernels as parts of a cache entry, and back, when they are checked.
#include "compiler/generated.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <iterator>
#include <sstream>

#include "compiler/plan.h"
#include "compiler/plan_entry.h"
#include "ir/graph/parser.h"
#include "ir/graph/printer.h"
#include "ir/graph/verifier.h"
#include "ir/op/error.h"

namespace calque {

namespace {

std::string kernel_part(const char* graph, size_t kernel) { return fmt::format("{}.kernel {}", graph, kernel); }

void add_kernels(const Kernels& kernels, const char* graph, Blobs& blobs) {
  for (size_t i = 0; i < kernels.size(); ++i) {
    const std::span<const std::byte> bytes = kernels[i].image->bytes();
    blobs[kernel_part(graph, i)] = std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
}

const std::string& part(const Blobs& blobs, const char* name) {
  const auto found = blobs.find(name);
  if (found == blobs.end()) throw UserError(std::string("cache: an entry lacks its part ") + name);
  return found->second;
}

Graph graph_in(const Blobs& blobs, const char* name_of_part, const std::string& name) {
  Graph graph = parse(part(blobs, name_of_part));
  graph.set_name(name);
  return graph;
}

Kernels kernels_in(const Blobs& blobs, const char* graph, const Graph& lowered) {
  std::vector<std::string> images;
  for (auto found = blobs.find(kernel_part(graph, 0)); found != blobs.end();
       found = blobs.find(kernel_part(graph, images.size())))
    images.push_back(found->second);
  return stored_kernels(lowered, images);
}

GeneratedForward forward_in(const Blobs& blobs, const std::string& name) {
  GeneratedForward forward{graph_in(blobs, "forward", name)};
  forward.kernels = kernels_in(blobs, "forward", forward.graph);
  std::istringstream saved(part(blobs, "saved"));
  for (int as = 0; saved >> as;) forward.saved_as.push_back(as);
  return forward;
}

GeneratedBackward backward_in(const Blobs& blobs, const std::string& name) {
  GeneratedBackward backward{graph_in(blobs, "backward", name), parse_gradient_map(part(blobs, "map"))};
  backward.kernels = kernels_in(blobs, "backward", backward.graph);
  return backward;
}

void demand(bool condition) {
  if (!condition) throw UserError("cache: an entry does not fit the program it is filed under");
}

void check_forward_fits(const GeneratedForward& forward, const SegmentGraph& segment) {
  const Graph& graph = forward.graph;
  const size_t roots = segment.roots.size();
  verify(graph);
  demand(graph.inputs().size() == segment.slots.size() && graph.outputs().size() == roots + forward.saved_as.size());
  const auto output_type = [&](size_t i) { return graph.type(graph.outputs()[i]); };
  for (size_t i = 0; i < segment.slots.size(); ++i)
    demand(graph.type(graph.inputs()[i]) == segment.graph.type(segment.graph.inputs()[i]));
  for (size_t i = 0; i < roots; ++i)
    demand(output_type(i) == segment.graph.type(segment.graph.outputs()[static_cast<size_t>(segment.roots[i])]));
  for (size_t i = 0; i < forward.saved_as.size(); ++i) {
    const int as = forward.saved_as[i];
    demand(as >= Plan::kApart && as < std::ssize(segment.roots));
    demand(as < 0 || output_type(static_cast<size_t>(as)) == output_type(roots + i));
  }
}

}  // namespace

Blobs Generated::to_blobs(const std::string& function) const {
  Blobs blobs{{kFunctionPart, function}};
  if (forward) {
    blobs["forward"] = print_program(forward->graph);
    blobs["saved"] = fmt::format("{}", fmt::join(forward->saved_as, " "));
    add_kernels(forward->kernels, "forward", blobs);
  }
  if (backward) {
    blobs["backward"] = print_program(backward->graph);
    blobs["map"] = print(backward->map);
    add_kernels(backward->kernels, "backward", blobs);
  }
  return blobs;
}

Generated Generated::from_blobs(const Blobs& blobs, const std::string& name) {
  Generated generated;
  if (blobs.contains("forward")) generated.forward = forward_in(blobs, name);
  if (blobs.contains("backward")) generated.backward = backward_in(blobs, name + "_backward");
  return generated;
}

void Generated::check_fits(const SegmentGraph& segment) const {
  demand(forward.has_value());
  check_forward_fits(*forward, segment);
  if (backward) check_backward_fits(segment, forward->saved_as.size());
}

void Generated::check_backward_fits(const SegmentGraph& segment, size_t saved) const {
  demand(backward.has_value());
  verify(backward->graph);
  check_gradient_map(backward->map, backward->graph, segment.slots.size(), saved, segment.held.size());
}

}  // namespace calque
