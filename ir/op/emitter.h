// One interface to write programs against: gradient rules and composite bodies say what to compute; the runtime computes
// it at once, a graph writes it down, a shape checker only follows the types.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ir/op/attributes.h"
#include "ir/op/op.h"
#include "ir/op/type.h"

namespace calque {

class Emitter;

/// A value of the program that an Emitter builds. A null Value stands for "none" (a gradient that is zero).
struct Value {
  Emitter* emitter = nullptr;
  uint32_t id = 0;
  explicit operator bool() const { return emitter != nullptr; }
  bool operator==(const Value&) const = default;
};

class Emitter {
 public:
  virtual ~Emitter() = default;
  /// Appends one op; throws UserError when the inputs do not fit its shape rule.
  virtual std::vector<Value> emit(Op op, std::span<const Value> inputs, Attributes attributes) = 0;
  virtual Type type(Value value) = 0;
};

// One function for each op: `matmul(a, b)`, `sum(x, {0}, true)`, ... over values.
#define CALQUE_HANDLE Value
#include "ir/op/functions.inc"
#undef CALQUE_HANDLE

inline Type type_of(const Value& value) { return value.emitter->type(value); }

/// A 0-d constant of the dtype of `like`.
Value scalar(double value, const Value& like);
/// A constant filled with `value` of the type of `like`.
Value full_like(const Value& like, double value);
/// Sums `value` over the axes that broadcasting `target` to it repeated, giving exactly `target`.
Value reduce_to(const Value& value, const Shape& target);
/// The sum of two gradients, either of which may be null.
Value accumulate(const Value& a, const Value& b);

// Operators for rules that read as algebra. A number takes the dtype of the value beside it.
inline Value operator-(const Value& x) { return neg(x); }
#define CALQUE_VALUE_OPERATOR(symbol, function)                                                             \
  inline Value operator symbol(const Value& a, const Value& b) { return function(a, b); }                   \
  inline Value operator symbol(const Value& a, double b) { return function(a, scalar(b, a)); }              \
  inline Value operator symbol(double a, const Value& b) { return function(scalar(a, b), b); }
CALQUE_VALUE_OPERATOR(+, add)
CALQUE_VALUE_OPERATOR(-, sub)
CALQUE_VALUE_OPERATOR(*, mul)
CALQUE_VALUE_OPERATOR(/, div)
CALQUE_VALUE_OPERATOR(<, less)
CALQUE_VALUE_OPERATOR(<=, less_equal)
CALQUE_VALUE_OPERATOR(>, greater)
CALQUE_VALUE_OPERATOR(>=, greater_equal)
#undef CALQUE_VALUE_OPERATOR
inline Value where(const Value& mask, const Value& a, double b) { return where(mask, a, scalar(b, a)); }
inline Value where(const Value& mask, double a, const Value& b) { return where(mask, scalar(a, b), b); }

/// What a gradient rule sees: the op's inputs, results and the gradients of the results; what it gives: the gradients of
/// the inputs. A rule asks `needs(i)` before it computes anything for input i. Result gradients may be null (zero).
class GradientContext {
 public:
  GradientContext(const Attributes& attributes, std::span<const Value> inputs, std::span<const Value> results,
                  std::span<const Value> result_gradients, std::span<const bool> needed)
      : attributes_(attributes), inputs_(inputs), results_(results), result_gradients_(result_gradients),
        needed_(needed), gradients_(inputs.size()) {}

  const Attributes& attributes() const { return attributes_; }
  size_t input_count() const { return inputs_.size(); }
  const Value& input(int i) const { return inputs_[i]; }
  size_t result_count() const { return results_.size(); }
  const Value& result(int i = 0) const { return results_[i]; }
  const Value& result_gradient(int i = 0) const { return result_gradients_[i]; }
  bool needs(int i) const { return needed_[i]; }
  /// Gives input i its gradient, summed over broadcast axes; a null value is no gradient.
  void give(int i, const Value& gradient);
  std::span<const Value> gradients() const { return gradients_; }

 private:
  const Attributes& attributes_;
  std::span<const Value> inputs_, results_, result_gradients_;
  std::span<const bool> needed_;
  std::vector<Value> gradients_;
};

}  // namespace calque
