// Views and their bases.
#include "runtime/view_origin.h"

#include <algorithm>

#include "runtime/tape.h"

namespace calque {

void ViewOrigin::release() noexcept {
  if (references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  // Views of views may be a long chain: destroy them in a loop, not by recursion.
  static thread_local std::vector<ViewOrigin*>* dying = nullptr;
  if (dying) {
    dying->push_back(this);
    return;
  }
  std::vector<ViewOrigin*> list{this};
  dying = &list;
  while (!list.empty()) {
    ViewOrigin* origin = list.back();
    list.pop_back();
    delete origin;
  }
  dying = nullptr;
}

void set_origin(TensorImpl& view, TensorImpl& parent, Op op, const Attributes& attributes, int index, bool recorded) {
  if (view.storage.get() != parent.storage.get()) return;
  view.is_cut_off = !recorded;
  if (op == Op::detach || !recorded) return;
  AppliedView step{op, attributes};
  if (op == Op::split) {  // one piece of it is a slice
    const int64_t axis = attributes[1], size = view.shape[static_cast<int>(axis)];
    step = {Op::slice, Attributes::of(axis, index * size, (index + 1) * size)};
  }
  view.origin = Ref<ViewOrigin>::adopt(new ViewOrigin{{1}, Tensor::share(&parent), step});
  view.history_version = base_of(parent).history_version;
}

TensorImpl& base_of(TensorImpl& tensor) {
  TensorImpl* base = &tensor;
  while (base->origin) base = base->origin->parent.impl();
  return *base;
}

std::vector<AppliedView> path_from_base(const TensorImpl& view) {
  std::vector<AppliedView> path;
  for (const TensorImpl* at = &view; at->origin; at = at->origin->parent.impl()) path.push_back(at->origin->step);
  std::reverse(path.begin(), path.end());
  return path;
}

void refresh_view_history(TensorImpl& view) {
  const uint32_t current = base_of(view).history_version;
  std::vector<TensorImpl*> stale;
  for (TensorImpl* at = &view; at->origin; at = at->origin->parent.impl())
    if (at->history_version != current) stale.push_back(at);
  for (; !stale.empty(); stale.pop_back()) {
    TensorImpl& next = *stale.back();
    next.history_version = current;
    next.requires_grad = false;
    next.producer = {};
    TensorImpl* const parent[] = {next.origin->parent.impl()};
    Tensor result[] = {Tensor::share(&next)};
    record_on_tape(next.origin->step.op, parent, next.origin->step.attributes, result);
  }
}

}  // namespace calque
