// Writes in place: elements, versions, and the history of what is written and of its views.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "calque/autograd.h"
#include "calque/ops.h"
#include "ir/op/error.h"
#include "runtime/dispatch.h"
#include "runtime/tape.h"
#include "runtime/view_origin.h"

namespace calque {

namespace {

Tensor follow(const std::vector<AppliedView>& path, Tensor tensor) {
  for (const AppliedView& step : path) tensor = run_op(step.op, {&tensor, 1}, step.attributes)[0];
  return tensor;
}

/// The history of a base after a write: the elements that a view shows come from a value, the others are as before.
class OverwriteNode final : public TapeNode {
 public:
  OverwriteNode(TensorImpl& base, std::vector<AppliedView> path, const Tensor& value)
      : TapeNode(1), type_(base.type()), path_(std::move(path)) {
    add_edge(base);
    add_edge(*value.impl());
  }

  void backward(std::span<const Tensor> result_gradients, GradientReceiver& receiver, bool) override {
    const Tensor& gradient = result_gradients[0];
    if (!gradient) return;
    if (edges()[kBase]) receiver.give(kBase, without_overwritten(gradient));
    if (edges()[kValue]) receiver.give(kValue, follow(path_, gradient));
  }

 private:
  static constexpr int kBase = 0, kValue = 1;

  Tensor without_overwritten(const Tensor& gradient) const {
    if (path_.empty()) return zeros(type_.shape, type_.dtype);
    // Which elements the view shows: those whose numbers it shows.
    const int64_t count = type_.shape.element_count();
    const Tensor numbers = follow(path_, reshape(arange(count), type_.shape));
    const auto keep = std::make_unique<bool[]>(static_cast<size_t>(count));
    std::fill_n(keep.get(), count, true);
    for (int64_t number : numbers.to_vector<int64_t>()) keep[number] = false;
    const Tensor mask = from_span(std::span<const bool>(keep.get(), static_cast<size_t>(count)), type_.shape);
    return where(mask, gradient, scalar(0.0, gradient));
  }

  Type type_;
  std::vector<AppliedView> path_;
};

/// One write to one tensor. While it lives, this thread's observer has run what was pending and sees nothing.
class Write {
 public:
  Write(Tensor& target, const char* name) : name_(name), handle_(target), target_(*target.impl()) {
    // Whatever is pending may be an operand.
    border("a write in place");
    observer_ = std::exchange(thread_state.observer, nullptr);
    try {
      materialize(target_);
      check_writable();
    } catch (...) {
      thread_state.observer = observer_;
      throw;
    }
  }
  ~Write() { thread_state.observer = observer_; }
  Write(const Write&) = delete;
  Write& operator=(const Write&) = delete;

  void assign(const Tensor& source) {
    const Type from{source.dtype(), source.shape()};
    if (from.dtype != target_.dtype || broadcast_shapes(from.shape, target_.shape, name_) != target_.shape) refuse(from);
    const bool records = needs_history(source);
    const Tensor value = from.shape == target_.shape ? source : expand(source, target_.shape);
    put(value);
    if (records) set_history(value);
  }

  /// target = function(target, operand), which is the elementwise row `op`.
  void update(Op op, Tensor (*function)(const Tensor&, const Tensor&), const Tensor& operand) {
    const bool records = needs_history(operand), is_own = operand.impl() == &target_;
    if (!records && run_into_target(op, operand)) return;
    // The gradient of the operand may read the target as it was.
    const Tensor old = records && (is_own || operand.requires_grad()) ? copy_with_history() : handle_;
    replace(function(old, is_own ? old : operand), records);
  }

  void clamp(double low, double high) {
    const bool records = needs_history(handle_);
    const Tensor old = records ? copy_with_history() : handle_;
    replace(minimum(maximum(old, scalar(low, old)), scalar(high, old)), records);
  }

 private:
  [[noreturn]] void refuse(const Type& given) const {
    throw UserError(fmt::format("{}: {} does not fit into {}", name_, to_string(given), to_string(target_.type())));
  }

  void check_writable() {
    const TensorImpl& base = base_of(target_);
    if (is_grad_enabled() && base.requires_grad && !base.producer)
      throw UserError(fmt::format("{}: {} that requires grad is written in place; do it inside a NoGradGuard", name_,
                                  &base == &target_ ? "a leaf" : "a view of a leaf"));
    for (int axis = 0; axis < target_.shape.rank(); ++axis)
      if (target_.strides[axis] == 0 && target_.shape[axis] > 1)
        throw UserError(fmt::format("{}: an expanded tensor shows one element in many places and cannot be written; write to "
                                    "a copy or to what was expanded", name_));
  }

  /// Whether the write is one for the tape.
  bool needs_history(const Tensor& operand) {
    if (!is_grad_enabled() || !is_floating(target_.dtype)) return false;
    TensorImpl& base = base_of(target_);
    if (!base.requires_grad && !operand.requires_grad()) return false;
    if (base.is_cut_off)
      throw UserError(fmt::format("{}: the view was made inside a NoGradGuard and has no part in the history of its base; "
                                  "make it while gradients are recorded", name_));
    return true;
  }

  /// The target as an operand, with elements that the write leaves alone.
  Tensor copy_with_history() {
    refresh_history(target_);
    const Tensor copy = empty(target_.type());
    kernels::copy(target_.view(), copy.impl()->view());
    if (target_.producer) set_producer(*copy.impl(), target_.producer, target_.result_index);
    return copy;
  }

  /// The kernel writes straight into the target where that is safe; else false, and nothing happened.
  bool run_into_target(Op op, const Tensor& operand) {
    materialize(*operand.impl());
    const TensorImpl& other = *operand.impl();
    const bool is_same_view = other.offset == target_.offset && other.shape == target_.shape && other.strides == target_.strides;
    if (other.storage.get() == target_.storage.get() && !is_same_view) return false;
    if (!handle_.is_contiguous() || other.dtype != target_.dtype) return false;
    const Type types[] = {target_.type(), other.type()};
    Attributes none;
    if (infer(op, types, none)[0] != target_.type()) return false;
    const std::array<kernels::View, 2> inputs{target_.view(), other.view()};
    const kernels::View result = writable();
    kernels::eager_kernel(op)(inputs, none, {&result, 1});
    return true;
  }

  void replace(const Tensor& value, bool records) {
    const Type type{value.dtype(), value.shape()};
    if (type != target_.type()) refuse(type);
    put(value);
    if (!records) return;
    if (target_.origin || !value.requires_grad()) return set_history(value);
    set_producer(target_, value.impl()->producer, value.impl()->result_index);
    ++target_.history_version;
  }

  void put(const Tensor& value) {
    kernels::View elements = view_of(value);
    Tensor copy;  // the value may overlap what is written
    if (value.impl() != &target_ && value.impl()->storage.get() == target_.storage.get()) {
      copy = empty(value.impl()->type());
      kernels::copy(elements, copy.impl()->view());
      elements = copy.impl()->view();
    }
    kernels::copy(elements, writable());
  }

  void set_history(const Tensor& value) {
    TensorImpl& base = base_of(target_);
    set_producer(base, Ref<TapeNode>::adopt(new OverwriteNode(base, path_from_base(target_), value)), 0);
    ++base.history_version;
  }

  kernels::View writable() { return writable_view_of(target_, "a write in place"); }

  const char* name_;
  Tensor handle_;
  TensorImpl& target_;
  Observer* observer_ = nullptr;
};

/// A plain number of the dtype of the target, which a fraction would not survive beside integers.
Tensor number_for(double number, const Tensor& target, const char* name) {
  if (!is_floating(target.dtype()) && number != std::floor(number))
    throw UserError(fmt::format("{}: the number {} does not fit into {}", name, number, to_string(target.impl()->type())));
  return scalar(number, target);
}

void check_handles(const Tensor& target, const Tensor& operand, const char* name) {
  if (!target || !operand) throw UserError(fmt::format("{}: an empty handle is used as a tensor", name));
}

}  // namespace

Tensor& Tensor::assign_(const Tensor& source) {
  check_handles(*this, source, "assign_");
  Write(*this, "assign_").assign(source);
  return *this;
}

Tensor& Tensor::fill_(double value) {
  check_handles(*this, *this, "fill_");
  Write write(*this, "fill_");
  write.assign(number_for(value, *this, "fill_"));
  return *this;
}

Tensor& Tensor::clamp_(double low, double high) {
  check_handles(*this, *this, "clamp_");
  Write(*this, "clamp_").clamp(low, high);
  return *this;
}

#define CALQUE_UPDATE(op)                                                                    \
  Tensor& Tensor::op##_(const Tensor& operand) {                                             \
    check_handles(*this, operand, #op "_");                                                  \
    Write(*this, #op "_").update(Op::op, static_cast<Tensor (*)(const Tensor&, const Tensor&)>(calque::op), operand); \
    return *this;                                                                            \
  }                                                                                          \
  Tensor& Tensor::op##_(double operand) {                                                    \
    check_handles(*this, *this, #op "_");                                                    \
    Write write(*this, #op "_");                                                             \
    write.update(Op::op, static_cast<Tensor (*)(const Tensor&, const Tensor&)>(calque::op), number_for(operand, *this, #op "_")); \
    return *this;                                                                            \
  }
CALQUE_UPDATE(add)
CALQUE_UPDATE(sub)
CALQUE_UPDATE(mul)
CALQUE_UPDATE(div)
#undef CALQUE_UPDATE

}  // namespace calque
