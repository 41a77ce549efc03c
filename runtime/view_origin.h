// What a view remembers of the tensor that it was made of, so that gradients follow writes in place through either.
//
// A tensor that is no view is a base. Its history may be replaced by a write; its views then have to make theirs anew, which
// they do when somebody asks for it. A view made while gradients are not recorded is, for its history, a base, but marked:
// a write that needs a history is refused there.
#pragma once

#include <atomic>
#include <vector>

#include "ir/op/op.h"
#include "runtime/tensor_impl.h"

namespace calque {

struct AppliedView {
  Op op;
  Attributes attributes;
};

struct ViewOrigin {
  std::atomic<int32_t> references{1};
  Tensor parent;  // which may be a view itself
  AppliedView step;

  void retain() { references.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept;
};

/// Makes `view` a view of `parent`: result `index` of a view op, whose attributes are normalised. Does nothing where the
/// history ends (detach) or elements were copied.
void set_origin(TensorImpl& view, TensorImpl& parent, Op op, const Attributes& attributes, int index, bool recorded);

/// The tensor whose elements a view shows; the tensor itself when it is none.
TensorImpl& base_of(TensorImpl& tensor);
/// From the base to the view.
std::vector<AppliedView> path_from_base(const TensorImpl& view);

void refresh_view_history(TensorImpl& view);
/// Brings `requires_grad` and `producer` of a view up to date with writes to its base; to be called before they are read.
inline void refresh_history(TensorImpl& tensor) {
  if (tensor.origin) refresh_view_history(tensor);
}

}  // namespace calque
