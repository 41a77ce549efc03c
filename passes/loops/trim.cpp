// Finds what of each loop is alive, and builds it anew without the rest.
#include "passes/loops/trim.h"

#include <algorithm>
#include <map>
#include <utility>

#include "passes/dce.h"
#include "passes/loops/blocks.h"
#include "passes/rewriter.h"

namespace calque::passes {

namespace {

/// The inputs of a block that the outputs marked `wanted` depend on.
std::vector<bool> inputs_read(const Graph& body, const std::vector<bool>& wanted) {
  std::vector<bool> live(body.value_count());
  for (size_t i = 0; i < wanted.size(); ++i)
    if (wanted[i]) live[body.outputs()[i]] = true;
  for (size_t id = body.nodes().size(); id-- > 0;) {
    const Node& node = body.node(static_cast<NodeId>(id));
    bool any = false;
    for (uint32_t i = 0; i < node.result_count; ++i) any |= live[node.result(i)];
    if (any)
      for (ValueId input : node.inputs) live[input] = true;
  }
  std::vector<bool> read;
  for (ValueId input : body.inputs()) read.push_back(live[input]);
  return read;
}

class Trimmer {
 public:
  Trimmer(Rewriter& rewrite, const Node& loop, std::span<const uint32_t> uses)
      : rewrite_(rewrite), loop_(loop), body_(*loop.body), form_(LoopForm::of(loop.attributes)) {
    for (size_t i = 0; i < body_.outputs().size(); ++i)
      wanted_.push_back(uses[loop.result(static_cast<uint32_t>(i))] > 0);
  }

  void run() {
    join_equal_results();
    for (bool changed = true; changed;) {
      changed = false;
      read_ = inputs_read(body_, wanted_);
      for (size_t i = 0; i < form_.carried; ++i)
        if (read_[i] && !wanted_[i]) wanted_[i] = changed = true;
    }
    for (size_t i = 0; i < form_.carried; ++i) read_[i] = wanted_[i];
    const bool whole = !std::ranges::count(wanted_, false) && !std::ranges::count(read_, false);
    if (whole) rewrite_.copy(loop_);
    else rebuild();
    for (const auto& [result, same] : joined_) rewrite_.set(loop_.result(result), rewrite_(loop_.result(same)));
  }

 private:
  void join_equal_results() {
    std::map<ValueId, uint32_t> known;
    for (size_t i = form_.carried; i < wanted_.size(); ++i) {
      if (!wanted_[i]) continue;
      const auto [entry, is_new] = known.try_emplace(body_.outputs()[i], static_cast<uint32_t>(i));
      if (is_new) continue;
      joined_.emplace_back(static_cast<uint32_t>(i), entry->second);
      wanted_[i] = false;
    }
  }

  void rebuild() {
    LoopForm form{form_.length, 0, 0, form_.reverse};
    std::vector<ValueId> operands;
    Graph body(body_.name());
    std::vector<ValueId> map(body_.value_count());
    for (size_t i = 0; i < read_.size(); ++i) {
      if (!read_[i]) continue;
      if (i < form_.carried) ++form.carried;
      else if (i < form_.carried + form_.scanned) ++form.scanned;
      operands.push_back(rewrite_(loop_.inputs[i]));
      map[body_.inputs()[i]] = body.add_input(body_.type(body_.inputs()[i]), body_.input_name(i));
    }
    fill(body, map);
    const ValueId first = rewrite_.graph().add_loop(operands, form, std::move(body), loop_.location).first_result;
    ValueId next = first;
    for (size_t i = 0; i < wanted_.size(); ++i)
      if (wanted_[i]) rewrite_.set(loop_.result(static_cast<uint32_t>(i)), next++);
  }

  void fill(Graph& body, std::vector<ValueId>& map) const {
    std::vector<bool> live(body_.value_count());
    for (size_t i = 0; i < wanted_.size(); ++i)
      if (wanted_[i]) live[body_.outputs()[i]] = true;
    std::vector<bool> keep(body_.nodes().size());
    for (size_t id = keep.size(); id-- > 0;) {
      const Node& node = body_.node(static_cast<NodeId>(id));
      for (uint32_t i = 0; i < node.result_count; ++i) keep[id] = keep[id] || live[node.result(i)];
      if (keep[id])
        for (ValueId input : node.inputs) live[input] = true;
    }
    for (size_t id = 0; id < keep.size(); ++id) {
      if (!keep[id]) continue;
      const Node& node = body_.node(static_cast<NodeId>(id));
      std::vector<ValueId> inputs;
      for (ValueId input : node.inputs) inputs.push_back(map[input]);
      const Node& added = append_copy(body, node, inputs);
      for (uint32_t i = 0; i < node.result_count; ++i) map[node.result(i)] = added.result(i);
    }
    std::vector<ValueId> outputs;
    for (size_t i = 0; i < wanted_.size(); ++i)
      if (wanted_[i]) outputs.push_back(map[body_.outputs()[i]]);
    body.set_outputs(std::move(outputs));
  }

  Rewriter& rewrite_;
  const Node& loop_;
  const Graph& body_;
  const LoopForm form_;
  std::vector<bool> wanted_;  // results
  std::vector<bool> read_;    // operands
  std::vector<std::pair<uint32_t, uint32_t>> joined_;
};

}  // namespace

Graph trim_loops(const Graph& graph) {
  if (!has_loops(graph)) return graph;
  const Graph alive = dce(graph);
  const std::vector<uint32_t> uses = alive.use_counts();
  Rewriter rewrite(alive);
  for (const Node& node : alive.nodes()) {
    if (node.op == Op::loop) Trimmer(rewrite, node, uses).run();
    else rewrite.copy(node);
  }
  return dce(rewrite.finish());
}

}  // namespace calque::passes
