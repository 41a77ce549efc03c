// What a cell of this gallery is: a plain function of one step, structs of its weights and its state, and one
// line that registers them by name. A cell of your own is one more file here: tests compare it with eager
// execution, and `./dev bench rnn --cell NAME` measures it.
#pragma once

#include <cmath>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "calque/calque.h"
#include "calque/reflect.h"

namespace calque::cells {

/// What one step gives: its output [B,...] and the state that the next step starts from.
template <class State>
struct Step {
  Tensor output;
  State state;
};

using Tensors = std::vector<Tensor>;

/// A registered cell, whatever its structs are: weights and state are lists of their members, in order.
struct Cell {
  std::string name;
  /// Of the weights, in order. One that begins with `wx` is a matrix that multiplies the step's input; other
  /// matrices [K,N] multiply what depends on the state. (Limits of the machine are counted from this.)
  std::vector<std::string> weight_names;
  std::function<Tensors(int64_t inputs, int64_t hidden)> make_weights;
  /// The state before the first step of `batch` sequences.
  std::function<Tensors(const Tensors& weights, int64_t batch)> make_state;
  /// x [B,I], the state before and the weights -> output and the state after.
  std::function<Step<Tensors>(const Tensor& x, const Tensors& state, const Tensors& weights)> step;
};

/// Every cell of the gallery, in order of names.
const std::vector<Cell>& gallery();
/// The cell of that name. Throws UserError naming those there are.
const Cell& find_cell(const std::string& name);
void add_to_gallery(Cell cell);

/// The members of a struct of tensors, in order.
template <class Struct>
Tensors members_of(const Struct& value) {
  Tensors list;
  detail::for_each_member(value, [&](const Tensor& member) { list.push_back(member); });
  return list;
}
template <class Struct>
Struct struct_of(const Tensors& list) {
  Struct value;
  size_t next = 0;
  detail::for_each_member(value, [&](Tensor& member) { member = list.at(next++); });
  return value;
}

/// Puts a cell into the gallery when the program starts: one static object at the end of its file.
struct Registered {
  template <class Weights, class State>
  Registered(std::string name, std::vector<std::string> weight_names,
             Weights (*weights)(int64_t inputs, int64_t hidden),
             State (*state)(const Weights& w, int64_t batch),
             Step<State> (*step)(const Tensor& x, const State& s, const Weights& w)) {
    if (weight_names.size() != detail::kMemberCount<Weights>)
      throw std::logic_error(name + ": each weight has one name");
    add_to_gallery(
        {std::move(name), std::move(weight_names),
         [=](int64_t inputs, int64_t hidden) { return members_of(weights(inputs, hidden)); },
         [=](const Tensors& w, int64_t batch) { return members_of(state(struct_of<Weights>(w), batch)); },
         [=](const Tensor& x, const Tensors& s, const Tensors& w) {
           Step<State> next = step(x, struct_of<State>(s), struct_of<Weights>(w));
           return Step<Tensors>{std::move(next.output), members_of(next.state)};
         }});
  }
};

/// A matrix or vector uniform within +-1/sqrt(hidden), as recurrent layers usually start.
inline Tensor initial(const Shape& shape, int64_t hidden) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(hidden));
  return nn::uniform(shape, -bound, bound);
}

/// A sequence's outputs [T,B,...], and the state after its last step.
struct Sequence {
  Tensor outputs;
  Tensors state;
};

/// The cell over a sequence xs [T,B,I], either way, from the given state. `step` is the cell's own or what compile() made of it.
template <class StepFunction>
Sequence over_sequence(StepFunction& step, const Tensor& xs, const Tensors& state, const Tensors& weights,
                       ScanDirection direction = ScanDirection::forward) {
  auto [last, outputs] = scan(
      [&](const Tensors& state, const Tensor& x) {
        Step<Tensors> next = step(x, state, weights);
        return std::pair(std::move(next.state), std::move(next.output));
      },
      state, xs, direction);
  return {std::move(outputs), std::move(last)};
}

}  // namespace calque::cells
