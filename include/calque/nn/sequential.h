// Sequential: layers and functions, one after the other.
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "calque/nn/module.h"

#pragma GCC visibility push(default)

namespace calque::nn {

/// What a layer of Sequential has to be: called with a tensor, it gives one.
template <class F>
concept Layer = requires(F& layer, const Tensor& x) {
  { layer(x) } -> std::convertible_to<Tensor>;
};

/// Applies layers in order; without any, gives its input.
///
///     nn::Sequential net;
///     net.add<nn::Linear>(64, 128).add(relu).add<nn::Dropout>(0.1).add<nn::Linear>(128, 10);
///
/// A layer is named by its place, functions counted: the parameters here are 0.weight, 0.bias, 3.weight, 3.bias.
class Sequential : public Module {
 public:
  /// Makes a module of type M from `arguments`, and owns it.
  template <class M, class... Arguments>
    requires(std::derived_from<M, Module> && Layer<M>)
  Sequential& add(Arguments&&... arguments) {
    const auto module = std::make_shared<M>(std::forward<Arguments>(arguments)...);
    register_module(std::to_string(layers_.size()), *module);
    layers_.push_back([module](const Tensor& x) -> Tensor { return (*module)(x); });
    return *this;
  }
  /// A function such as `relu`, or a lambda; what it captures is its own affair.
  Sequential& add(Tensor (*function)(const Tensor&)) { return append(function); }
  template <Layer F>
    requires(!std::derived_from<std::decay_t<F>, Module>)
  Sequential& add(F&& function) {
    return append(std::forward<F>(function));
  }

  Tensor operator()(const Tensor& x) const {
    Tensor result = x;
    for (const auto& layer : layers_) result = layer(result);
    return result;
  }
  size_t size() const { return layers_.size(); }

 private:
  Sequential& append(std::function<Tensor(const Tensor&)> layer) {
    layers_.push_back(std::move(layer));
    return *this;
  }

  std::vector<std::function<Tensor(const Tensor&)>> layers_;
};

}  // namespace calque::nn

#pragma GCC visibility pop
