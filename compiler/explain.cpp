// Explanations and dumps of compiled functions.
#include "compiler/explain.h"

#include <fmt/format.h>

#include <map>

#include "compiler/codegen_client.h"
#include "compiler/segment.h"
#include "compiler/symbolizer.h"
#include "ir/graph/printer.h"
#include "ir/op/error.h"

namespace calque {

namespace {

std::string text_of(const Graph& graph) { return print(graph, PrintOptions{source_line}); }

/// What runs each source location of a lowered graph: "kernel 0", "product", ...
std::map<const void*, std::string> runners(const Graph& lowered) {
  std::map<const void*, std::string> found;
  int kernel = 0;
  for (const Node& node : lowered.nodes()) {
    if (node.op == Op::fusion) {
      const std::string label = fmt::format("fused into kernel {}", kernel++);
      for (const Node& inner : node.body->nodes()) found.emplace(inner.location, label);
      continue;
    }
    switch (row(node.op).kind) {
      case OpKind::matmul: found[node.location] = node.op == Op::product_sum ? "one pass over a sum of products" : "matrix product"; break;
      case OpKind::view: found.emplace(node.location, "view: an index map, no work"); break;
      default: found.emplace(node.location, "eager kernel: no generated code for this op or shape"); break;
    }
  }
  return found;
}

std::string fate_of(const TraceNode& node, const std::map<const void*, std::string>& known) {
  const auto found = known.find(node.location);
  if (found != known.end()) return found->second;
  if (row(node.op).kind == OpKind::view) return "view: an index map, no work";
  if (row(node.op).kind == OpKind::matmul) return "one pass over a sum of products";
  if (node.op == Op::full) return "constant";
  return "dropped: folded away or not used by what is held";
}

std::string explain_segment(const TraceTree& tree, TraceId end) {
  const TraceNode& closing = tree[end];
  const CompiledSegment* compiled = closing.segment->compiled();
  std::string text = "segment:";
  std::map<const void*, std::string> known;
  if (compiled) {
    known = runners(lowered_graphs(compiled->traced).forward);
    text += fmt::format(" {} kernels, {} steps, {} saved values, scratch {} bytes, {} in {:.2f} ms\n",
                        compiled->forward->kernel_count(), compiled->forward->steps().size(),
                        compiled->forward->graph().outputs().size() - compiled->traced.roots.size(),
                        compiled->forward->arena_bytes(), compiled->from_cache ? "taken from the cache" : "compiled",
                        compiled->compile_milliseconds);
  } else if (!closing.segment->failure().empty()) {
    text += " runs eagerly: " + closing.segment->failure() + "\n";
  } else {
    text += " recorded, compiled when it is met again\n";
  }
  for (TraceId id : tree.path(closing.segment_begin, end)) {
    const TraceNode& node = tree[id];
    if (node.kind == TraceNode::Kind::end) continue;
    const std::string line = source_line(node.location);
    const std::string fate = node.kind == TraceNode::Kind::number ? "a number that changes: an input of the plan"
                             : compiled                           ? fate_of(node, known)
                                                                  : "eager so far";
    text += fmt::format("  {:<22} {:<14} {}{}\n", line.empty() ? "?" : line, row(node.op).name, fate,
                        tree[node.parent].first_child != id ? "  [another way was taken here before]" : "");
  }
  return text;
}

std::string code_of(const Graph& lowered, const std::string& what) {
  const CodegenOutput output = generate(print(lowered), true);
  return what == "llvm" ? output.llvm_ir : output.assembly;
}

std::string stage_of(const CompiledSegment& segment, const std::string& stage) {
  if (stage == "trace") return text_of(segment.traced.graph);
  if (stage == "prepare") return text_of(prepared_graph(segment.traced));
  const bool is_backward = stage.starts_with("backward-");
  const std::string what = is_backward ? stage.substr(9) : stage;
  if (what != "lower" && what != "llvm" && what != "assembly")
    throw UserError("dump: no stage is called " + stage +
                    "; there are trace, prepare, lower, llvm, assembly and backward-lower, backward-llvm, backward-assembly");
  if (is_backward && !segment.backward) return "";
  const LoweredGraphs graphs = lowered_graphs(segment.traced);
  const Graph& lowered = is_backward ? graphs.backward : graphs.forward;
  return what == "lower" ? text_of(lowered) : code_of(lowered, what);
}

}  // namespace

std::string explain_tree(const TraceTree& tree, const std::string& name) {
  std::string text = fmt::format("{}: {} recorded nodes, {} branches\n", name, tree.op_count(), tree.branches());
  for (TraceId id = 0; id < tree.size(); ++id)
    if (tree[id].kind == TraceNode::Kind::end) text += explain_segment(tree, id);
  return text;
}

std::string dump_tree(const TraceTree& tree, const std::string& stage) {
  std::string text;
  for (TraceId id = 0; id < tree.size(); ++id)
    if (tree[id].segment && tree[id].segment->compiled()) text += stage_of(*tree[id].segment->compiled(), stage);
  return text;
}

}  // namespace calque
