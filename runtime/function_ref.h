// A non-owning reference to a callable: two pointers, no allocation, cheaper to pass than std::function.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace calque {

template <class Signature>
class FunctionRef;

// Refers to the callable it was made from, which must outlive every call: meant for parameters, not for
// members.
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F, class = std::enable_if_t<!std::is_same_v<std::remove_cvref_t<F>, FunctionRef> &&
                                              std::is_object_v<std::remove_reference_t<F>> &&
                                              std::is_invocable_r_v<R, F&, Args...>>>
  FunctionRef(F&& f) noexcept  // implicit on purpose: callers pass lambdas
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }) {}

  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

}  // namespace calque
