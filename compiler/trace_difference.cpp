// Describes differences between recorded ways.
#include "compiler/trace_difference.h"

#include <fmt/format.h>

#include "compiler/symbolizer.h"
#include "ir/graph/printer.h"

namespace calque {

namespace {

std::string describe(const TraceNode& node) {
  if (node.kind == TraceNode::Kind::end) return "the end of the function or of a segment of it";
  return at_line(row(node.op).name, node.location);
}

bool is_full(const TraceNode& node) {
  return node.kind == TraceNode::Kind::number || (node.kind == TraceNode::Kind::op && node.op == Op::full);
}

std::string describe_number(double before, double now, const void* location) {
  return fmt::format("{} became {}",
                     at_line(fmt::format("the constant {}", print_number(before)).c_str(), location),
                     print_number(now));
}

/// What distinguishes two nodes that follow one parent.
std::string describe_pair(const TraceNode& before, const TraceNode& now, double number_before,
                          double number_now) {
  if (is_full(before) && is_full(now)) return describe_number(number_before, number_now, now.location);
  if (before.kind == now.kind && before.op == now.op) {
    if (!(before.attributes == now.attributes))
      return fmt::format("{} has the attributes {} instead of {}", describe(now),
                         print_attributes(now.op, now.attributes),
                         print_attributes(before.op, before.attributes));
    return fmt::format(
        "{} takes other operands (tensors of another type or layout, or from elsewhere) than before",
        describe(now));
  }
  return fmt::format("{} instead of {}", describe(now), describe(before));
}

/// The value of a `full`: a constant of the way, or the next of the numbers.
double value_of(const TraceNode& node, std::span<const Number> numbers, size_t& next) {
  if (node.kind == TraceNode::Kind::number) return next < numbers.size() ? numbers[next++].value : 0;
  return node.op == Op::full && node.attributes.size() > 0 ? node.attributes.number(0) : 0;
}

}  // namespace

std::string at_line(const char* what, const void* location) {
  const std::string line = source_line(location);
  return line.empty() ? what : fmt::format("{} at {}", what, line);
}

std::string describe_new_way(const TraceTree& tree, TraceId cursor, const OpCall* asked) {
  const std::string now =
      asked ? at_line(row(asked->op).name, asked->location) : "the end of the function or of a segment of it";
  std::string known;
  for (TraceId id = tree[cursor].first_child; id != kNoTrace; id = tree[id].next_sibling) {
    const TraceNode& node = tree[id];
    if (asked && node.op == asked->op && node.kind == TraceNode::Kind::op &&
        node.location == asked->location) {
      const bool same = node.attributes == asked->attributes;
      return fmt::format("{} {} than recorded before", now,
                         same ? "takes tensors of other types, layouts or origins" : "has other attributes");
    }
    if (known.empty()) known = describe(node);
  }
  return known.empty() ? now + " is new" : fmt::format("{} is new where {} was recorded", now, known);
}

std::string describe_most_varied(const TraceTree& tree) {
  TraceId parent = 0;
  size_t most = 0;
  const auto children = [&](TraceId id) {
    std::vector<TraceId> ids;
    for (TraceId child = tree[id].first_child; child != kNoTrace; child = tree[child].next_sibling)
      ids.push_back(child);
    return ids;
  };
  for (TraceId id = 0; id < tree.size(); ++id)
    if (const size_t count = children(id).size(); count > most) {
      most = count;
      parent = id;
    }
  const std::vector<TraceId> ways = children(parent);
  if (ways.empty()) return "";
  const TraceNode& first = tree[ways[0]];
  bool same_op = true, same_attributes = true;
  for (const TraceId id : ways) {
    same_op &= tree[id].kind == first.kind && tree[id].op == first.op && tree[id].location == first.location;
    same_attributes &= tree[id].attributes == first.attributes;
  }
  if (!same_op)
    return fmt::format("What kept changing: which of {} ops comes; {} was the first", ways.size(),
                       describe(first));
  return fmt::format("What kept changing: {} of {}",
                     same_attributes ? "sizes, layouts or origins of the operands" : "attributes",
                     describe(first));
}

std::string describe_difference(const TraceTree& tree, TraceId root, TraceId before, TraceId now,
                                std::span<const Number> numbers_before, std::span<const Number> numbers_now) {
  const std::vector<TraceId> a = tree.path(root, before), b = tree.path(root, now);
  size_t next_a = 0, next_b = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const TraceNode &node_a = tree[a[i]], &node_b = tree[b[i]];
    const double number_a = value_of(node_a, numbers_before, next_a),
                 number_b = value_of(node_b, numbers_now, next_b);
    if (a[i] != b[i]) return describe_pair(node_a, node_b, number_a, number_b);
    // Compared as bits: a NaN equals itself.
    if (std::bit_cast<uint64_t>(number_a) != std::bit_cast<uint64_t>(number_b))
      return describe_number(number_a, number_b, node_b.location);
  }
  if (a.size() == b.size()) return "";
  return a.size() < b.size() ? describe(tree[b[a.size()]]) + " was not there before"
                             : describe(tree[a[b.size()]]) + " is not reached any more";
}

}  // namespace calque
