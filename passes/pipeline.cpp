// The pipeline, from top to bottom.
#include "passes/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <span>
#include <utility>

#include "ir/graph/verifier.h"
#include "ir/op/error.h"
#include "passes/align_operands.h"
#include "passes/canonical_reductions.h"
#include "passes/cse.h"
#include "passes/dce.h"
#include "passes/expand_composites.h"
#include "passes/expand_gradients.h"
#include "passes/fold.h"
#include "passes/fuse.h"
#include "passes/loops/blocks.h"
#include "passes/loops/hoist.h"
#include "passes/loops/join_products.h"
#include "passes/loops/roll.h"
#include "passes/loops/trim.h"
#include "passes/merge_products.h"
#include "passes/products_of_rows.h"
#include "passes/simplify.h"

namespace calque {

namespace {

struct Pass {
  std::string_view name;
  Graph (*run)(const Graph&);
  bool is_about_loops = false;  // others run in the blocks of loops as well
};

// Gradients are added in the order of the values that carry them, so before autodiff no such value is dropped
// or merged.
constexpr Pass kPrepare[] = {
    {"roll", passes::roll, true},
    {"expand_composites", passes::expand_composites},
    {"fold", passes::fold},
    {"dce", passes::dce},
    {"join_products", passes::join_products, true},
    {"hoist", passes::hoist, true},
    {"products_of_rows", passes::products_of_rows, true},
    {"expand_gradients", passes::expand_gradients},  // of the products as they are now: for all steps, before and behind loops
};

constexpr Pass kLower[] = {
    {"trim_loops", passes::trim_loops, true},
    {"canonical_reductions", passes::canonical_reductions},
    {"simplify", passes::simplify},
    {"cse", passes::cse},
    {"merge_products", passes::merge_products},
    {"align_operands", passes::align_operands},
    {"fuse", passes::fuse},
    {"dce", passes::dce},
};

Graph run_everywhere(const Pass& pass, const Graph& graph) {
  if (pass.is_about_loops) return pass.run(graph);
  return passes::in_loops(pass.run(graph), [&](const Graph& body) { return run_everywhere(pass, body); });
}

Graph run(const Pass& pass, Graph graph, const PassOptions& options) {
  using Clock = std::chrono::steady_clock;
  if (options.disabled.contains(std::string(pass.name))) return graph;
  const auto start = Clock::now();
  Graph result = run_everywhere(pass, graph);
  const std::chrono::duration<double, std::micro> elapsed = Clock::now() - start;
  if (options.timings)
    options.timings->push_back({pass.name, elapsed.count(), graph.nodes().size(), result.nodes().size()});
  if (options.verify) verify(result);
  if (options.after) options.after(pass.name, result);
  return result;
}

Graph run_all(std::span<const Pass> passes, Graph graph, const PassOptions& options) {
  for (const Pass& pass : passes) graph = run(pass, std::move(graph), options);
  return graph;
}

const Pass* pass_named(std::string_view name) {
  for (std::span<const Pass> group : {std::span<const Pass>(kPrepare), std::span<const Pass>(kLower)})
    if (const auto found = std::ranges::find(group, name, &Pass::name); found != group.end()) return &*found;
  return nullptr;
}

}  // namespace

Graph prepare(Graph graph, const PassOptions& options) {
  return run_all(kPrepare, std::move(graph), options);
}

Graph lower(Graph graph, const PassOptions& options) { return run_all(kLower, std::move(graph), options); }

std::vector<std::string> pass_names() {
  std::vector<std::string> names;
  for (std::span<const Pass> group : {std::span<const Pass>(kPrepare), std::span<const Pass>(kLower)})
    for (const Pass& pass : group)
      if (std::ranges::find(names, pass.name) == names.end()) names.emplace_back(pass.name);
  return names;
}

Graph run_passes(Graph graph, std::string_view names, const PassOptions& options) {
  while (!names.empty()) {
    const size_t comma = std::min(names.find(','), names.size());
    std::string_view name = names.substr(0, comma);
    names.remove_prefix(std::min(comma + 1, names.size()));
    while (name.starts_with(' ')) name.remove_prefix(1);
    while (name.ends_with(' ')) name.remove_suffix(1);
    if (name == "prepare" || name == "lower") {
      graph = name == "prepare" ? prepare(std::move(graph), options) : lower(std::move(graph), options);
      continue;
    }
    const Pass* pass = pass_named(name);
    if (!pass) {
      std::string known;
      for (const std::string& each : pass_names()) known += (known.empty() ? "" : ", ") + each;
      throw UserError(fmt::format("there is no pass `{}`; there are {}", name, known));
    }
    graph = run(*pass, std::move(graph), options);
  }
  return graph;
}

}  // namespace calque
