// Reductions of several axes become chains of reductions of one axis.
#include "passes/canonical_reductions.h"

#include <vector>

#include "passes/rewriter.h"

namespace calque::passes {

namespace {

int64_t product(std::span<const int64_t> sizes) {
  int64_t count = 1;
  for (int64_t size : sizes) count *= size;
  return count;
}

/// The shape under which reducing `axis` means the same and fuses best, and the axis in it. What lies behind
/// each step of the axis, and so the tree, stays.
struct Canonical {
  Shape shape;
  int axis;
};

Canonical canonical(const Shape& shape, int axis) {
  const std::span<const int64_t> dims = shape.dims();
  const int64_t before = product(dims.first(axis)), behind = product(dims.subspan(axis + 1));
  if (behind == 1) return {Shape(dims.first(axis + 1)), axis};
  if (before == 1) return {Shape{shape[axis], behind}, 0};
  return {shape, axis};
}

class Reducer {
 public:
  Reducer(Rewriter& rewrite, const Node& node) : rewrite_(rewrite), node_(node) {}

  ValueId operator()(ValueId value) {
    const std::span<const int64_t> axes = node_.attributes.list(1);
    Shape kept = rewrite_.graph().type(value).shape;
    for (size_t i = axes.size(); i-- > 0;) {
      const Canonical form = canonical(kept, static_cast<int>(axes[i]));
      value = rewrite_.add(node_.op, {{reshaped(value, form.shape)}},
                           Attributes::of(true, Ints({int64_t{form.axis}})), node_.location);
      kept.set(static_cast<int>(axes[i]), 1);
    }
    return reshaped(value, rewrite_.source().type(node_.result()).shape);
  }

 private:
  ValueId reshaped(ValueId value, const Shape& shape) {
    if (rewrite_.graph().type(value).shape == shape) return value;
    return rewrite_.add(Op::reshape, {{value}}, Attributes::of(Ints(shape)), node_.location);
  }

  Rewriter& rewrite_;
  const Node& node_;
};

}  // namespace

Graph canonical_reductions(const Graph& graph) {
  Rewriter rewrite(graph);
  for (const Node& node : graph.nodes()) {
    if (row(node.op).kind == OpKind::reduction && !node.attributes.list(1).empty())
      rewrite.set(node.result(), Reducer(rewrite, node)(rewrite(node.inputs[0])));
    else
      rewrite.copy(node);
  }
  return rewrite.finish();
}

}  // namespace calque::passes
