// Sizes of slots are bound, attributes follow from them, results from the shape rules of the ops.
#include "compiler/resize.h"

#include "ir/op/error.h"
#include "runtime/inline_array.h"
#include "runtime/views.h"

namespace calque {

const SizedSlot* sized_slot(const TraceNode& node, size_t slot) {
  if (!node.sizes) return nullptr;
  for (const SizedSlot& sized : node.sizes->slots)
    if (sized.slot == slot) return &sized;
  return nullptr;
}

namespace {

using Types = InlineArray<Type, 8>;

bool bind_dims(TraceTree& tree, const SlotRecord& record, const SizedSlot* sized, const Shape& shape) {
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const SizeSymbol symbol = sized ? sized->dims[axis] : kNoSize;
    if (symbol == kNoSize ? shape[axis] != record.shape[axis] : shape[axis] < kLeastSize) return false;
    if (symbol != kNoSize) tree.set_size(symbol, shape[axis]);
  }
  return true;
}

Strides strides_at(const SlotRecord& record, const SizedSlot* sized, const Shape& shape, std::span<const int64_t> sizes) {
  if (sized && sized->is_dense) return row_major_strides(shape);
  Strides strides = record.strides;
  if (sized)
    for (const auto& [axis, expression] : sized->strides) strides[axis] = expression.value(sizes);
  return strides;
}

Attributes attributes_at(const TraceNode& node, std::span<const int64_t> sizes) {
  Attributes attributes = node.attributes;
  if (node.sizes)
    for (const SizedWord& word : node.sizes->words) attributes.set(word.word, word.value(sizes));
  return attributes;
}

/// Shapes and strides of the results, as eager execution gives them. False where the op does not take these operands, or
/// its strides are not known.
bool set_results(TraceNode& node, std::span<const Type> types, const Strides& base_strides) {
  // What a composite gives is its body's business; all but views are in row-major order.
  if (row(node.op).kind == OpKind::composite)
    for (const ResultRecord& result : node.results)
      if (!is_row_major(result.shape, result.strides)) return false;
  Attributes attributes = node.attributes;
  std::vector<Type> inferred;
  try {
    inferred = infer(node.op, types, attributes);
  } catch (const UserError&) {
    return false;
  }
  if (inferred.size() != node.results.size()) return false;
  for (size_t i = 0; i < inferred.size(); ++i) {
    ResultRecord& result = node.results[i];
    result.shape = inferred[i].shape;
    ViewMap map;
    const bool is_view = row(node.op).kind == OpKind::view && map_view(node.op, attributes, types[0].shape, base_strides,
                                                                       static_cast<int>(i), result.shape, map);
    result.strides = is_view ? map.strides : row_major_strides(result.shape);
  }
  return true;
}

/// Sets the records of one segment to sizes, from its beginning on.
class WayResizer {
 public:
  explicit WayResizer(TraceTree& tree) : tree_(tree) {}

  void run(std::span<const TraceId> path) {
    for (TraceId id : path) {
      TraceNode& node = tree_[id];
      bind_slots(node);
      if (node.kind == TraceNode::Kind::op) resize_op(node);
    }
  }

 private:
  struct Laid {
    Type type;
    Strides strides;
  };

  void bind_slots(TraceNode& node) {
    for (size_t i = 0; i < node.new_slots.size(); ++i) {
      SlotRecord& record = node.new_slots[i];
      const SizedSlot* sized = sized_slot(node, i);
      for (int axis = 0; sized && axis < record.shape.rank(); ++axis)
        if (sized->dims[axis] != kNoSize) record.shape.set(axis, tree_.sizes()[sized->dims[axis]]);
      record.strides = strides_at(record, sized, record.shape, tree_.sizes());
      slots_.push_back({{record.dtype, record.shape}, record.strides});
    }
  }

  void resize_op(TraceNode& node) {
    node.attributes = attributes_at(node, tree_.sizes());
    std::vector<Type> types;
    Strides base_strides{};
    for (const TraceOperand& operand : node.inputs) {
      const Laid& laid = operand.is_slot ? slots_[operand.index] : values_[operand.index];
      if (types.empty()) base_strides = laid.strides;
      types.push_back(laid.type);
    }
    set_results(node, types, base_strides);
    for (const ResultRecord& result : node.results) values_.push_back({{result.dtype, result.shape}, result.strides});
  }

  TraceTree& tree_;
  std::vector<Laid> slots_, values_;
};

}  // namespace

namespace {

bool bind_slots(TraceTree& tree, const TraceNode& node, std::span<const TensorImpl* const> fresh) {
  for (size_t i = 0; i < fresh.size(); ++i)
    if (!bind_dims(tree, node.new_slots[i], sized_slot(node, i), fresh[i]->shape)) return false;
  for (size_t i = 0; i < fresh.size(); ++i) {
    const Strides strides = strides_at(node.new_slots[i], sized_slot(node, i), fresh[i]->shape, tree.sizes());
    if (!std::equal(strides.begin(), strides.begin() + fresh[i]->shape.rank(), fresh[i]->strides.begin())) return false;
  }
  return true;
}

void hold_sizes(TraceNode& node, std::span<const TensorImpl* const> fresh) {
  for (size_t i = 0; i < fresh.size(); ++i) {
    node.new_slots[i].shape = fresh[i]->shape;
    node.new_slots[i].strides = fresh[i]->strides;
  }
}

}  // namespace

bool resize_apart(TraceTree& tree, TraceId id, std::span<const Tensor> results) {
  TraceNode& node = tree[id];
  std::vector<const TensorImpl*> fresh;
  for (const Tensor& result : results) fresh.push_back(result.impl());
  for (size_t i = 0; i < fresh.size(); ++i)
    if (!node.new_slots[i].fits_but_for_sizes(*fresh[i])) return false;
  if (!bind_slots(tree, node, fresh)) return false;
  hold_sizes(node, fresh);
  return true;
}

bool resize(TraceTree& tree, TraceId id, std::span<const TensorImpl* const> fresh, const OpCall& call, int64_t iteration) {
  TraceNode& node = tree[id];
  if (!bind_slots(tree, node, fresh)) return false;
  const Attributes attributes = attributes_at(node, tree.sizes());
  if (!(attributes_in(node, attributes, iteration) == call.attributes)) return false;
  node.attributes = attributes;
  Types types(call.inputs.size());
  for (size_t i = 0; i < types.size(); ++i) types[i] = call.inputs[i]->type();
  if (!set_results(node, {types.data(), types.size()}, call.inputs.empty() ? Strides{} : call.inputs[0]->strides))
    return false;
  hold_sizes(node, fresh);
  node.generation = tree.generation();
  return true;
}

ResizedWay resized_way(const TraceTree& tree, TraceId end) {
  const StraightWay straight(tree, tree[end].segment_begin, end);
  ResizedWay way{straight.tree(), straight.begin(), straight.end()};
  WayResizer(way.tree).run(way.tree.path(way.begin, way.end));
  return way;
}

ResizedWay resized_way(const TraceTree& tree, TraceId end, const BoundSizes& sizes) {
  TraceTree sized = tree;
  for (const auto& [symbol, value] : sizes) sized.set_size(symbol, value);
  return resized_way(sized, end);
}

}  // namespace calque
