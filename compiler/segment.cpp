// Compiling and running a segment.
#include "compiler/segment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "compiler/log.h"
#include "compiler/region.h"
#include "compiler/replay.h"
#include "ir/op/error.h"
#include "runtime/views.h"

namespace calque {

bool Segment::covers(std::span<TensorImpl* const> live, uint32_t first_value) const {
  if (!compiled_) return false;
  return std::all_of(live.begin(), live.end(), [&](const TensorImpl* impl) {
    return std::binary_search(held_.begin(), held_.end(), impl->value_id - first_value);
  });
}

bool Segment::compile(const TraceTree& tree, TraceId begin, TraceId end, std::span<TensorImpl* const> live,
                      uint32_t first_value, const std::string& name, CompileStats& stats) {
  if (!failure_.empty()) return false;
  first_value_ = first_value;
  std::vector<uint32_t> held = held_;
  for (const TensorImpl* impl : live) held.push_back(impl->value_id - first_value);
  std::sort(held.begin(), held.end());
  held.erase(std::unique(held.begin(), held.end()), held.end());
  try {
    compiled_ = compile_segment(make_segment_graph(tree, begin, end, held, name), name);
    held_ = std::move(held);
  } catch (const std::exception& error) {
    failure_ = error.what();
    warn_once("compile " + name + failure_,
              fmt::format("{} runs eagerly: it could not be compiled: {}", name, failure_));
    return false;
  }
  ++(compiled_->from_cache ? stats.cache_hits : stats.compilations);
  return true;
}

namespace {

/// The held value as a tensor: its root, or the views of it made anew.
Tensor follow(const HeldValue& held, const Tensor& root) {
  Tensor tensor = root;
  for (const ViewStep& view : held.views) {
    TensorImpl* impl = TensorImpl::create();
    impl->dtype = view.type.dtype;
    impl->shape = view.type.shape;
    Tensor made = Tensor::adopt(impl);
    make_view(view.op, view.attributes, *tensor.impl(), view.index, *impl);
    tensor = made;
  }
  return tensor;
}

}  // namespace

void Segment::run(std::span<const Tensor> slots, std::span<TensorImpl* const> live, CompileStats& stats) {
  const std::vector<Tensor> outputs = compiled_->forward->run(slots);
  ++stats.plan_runs;
  stats.kernel_launches += compiled_->forward->kernel_count();
  const std::vector<HeldValue>& held = compiled_->traced.held;
  Ref<TapeNode> node;
  // Also where no gradient flows on (a floor): what has a history is no leaf.
  if (std::any_of(held.begin(), held.end(), [](const HeldValue& value) { return value.requires_grad; })) {
    const std::span<const Tensor> saved = std::span(outputs).subspan(compiled_->traced.roots.size());
    node = make_region_node(compiled_, slots, saved);
  }
  for (TensorImpl* impl : live) {
    const uint32_t value = impl->value_id - first_value_;
    const size_t index = std::lower_bound(held_.begin(), held_.end(), value) - held_.begin();
    const Tensor& root = held[index].root_is_slot ? slots[held[index].root] : outputs[held[index].root];
    const Tensor made = follow(held[index], root);
    if (impl->is_pending()) {
      impl->strides = made.impl()->strides;
      impl->offset = made.impl()->offset;
      impl->storage = made.impl()->storage;
      if (held[index].requires_grad) set_producer(*impl, node, static_cast<int>(index));
    }
    if (!expected_.empty()) check_expected(*made.impl(), value);
  }
  expected_.clear();
}

void Segment::check_expected(const TensorImpl& made, uint32_t value) const {
  const auto compare = [&]<class T>(T) {
    TensorImpl dense;
    dense.shape = made.shape;
    dense.set_contiguous_strides();
    std::vector<T> a(made.shape.element_count()), b(a.size());
    kernels::copy(expected_[value].impl()->view(), {a.data(), made.dtype, dense.shape, dense.strides});
    kernels::copy(made.view(), {b.data(), made.dtype, dense.shape, dense.strides});
    for (size_t i = 0; i < a.size(); ++i)
      if (std::memcmp(&a[i], &b[i], sizeof(T)) != 0 && !(a[i] != a[i] && b[i] != b[i]))
        throw InternalError(fmt::format("verify: value {} of the segment differs at element {}: eager {}, compiled {}",
                                        value, i, a[i], b[i]));
  };
  switch (made.dtype) {
    case DType::f32: return compare(float{});
    case DType::f64: return compare(double{});
    case DType::i64: return compare(int64_t{});
    case DType::i32: return compare(int32_t{});
    case DType::boolean: return compare(uint8_t{});
  }
}

}  // namespace calque
