// What runs over a sequence: a cell of the gallery, or two of it, in layers or in both directions; with the
// tensors that it works on.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "calque/scan.h"
#include "examples/cells/cell.h"

namespace calque::bench {

using cells::Cell;
using cells::Tensors;

/// `lstm`, `stacked_lstm` (the second layer reads the outputs of the first) or `bidirectional_lstm` (outputs
/// side by side); and so for each cell.
struct Network {
  enum class Form : uint8_t { single, stacked, bidirectional };

  const Cell* cell = nullptr;
  Form form = Form::single;

  size_t parts() const { return form == Form::single ? 1 : 2; }
  /// Weights of part 0 are named as the cell's, those of part 1 `wx_1` and so on.
  std::vector<std::string> weight_names() const {
    std::vector<std::string> names = cell->weight_names;
    if (parts() == 2)
      for (const std::string& name : cell->weight_names) names.push_back(name + "_1");
    return names;
  }
  /// Whether the input of part `part` is what another part gave.
  bool reads_outputs(size_t part) const { return form == Form::stacked && part == 1; }
};

/// Throws UserError where the gallery has no such cell.
inline Network find_network(std::string_view name) {
  Network network;
  for (const auto& [prefix, form] :
       {std::pair(std::string_view("stacked_"), Network::Form::stacked),
        std::pair(std::string_view("bidirectional_"), Network::Form::bidirectional)})
    if (name.starts_with(prefix)) {
      network.form = form;
      name.remove_prefix(prefix.size());
    }
  network.cell = &cells::find_cell(std::string(name));
  return network;
}

inline Tensors joined(Tensors first, const Tensors& rest) {
  first.insert(first.end(), rest.begin(), rest.end());
  return first;
}

/// The tensors of one of two parts.
inline Tensors half(const Tensors& all, size_t part) {
  const auto middle = all.begin() + static_cast<ptrdiff_t>(all.size() / 2);
  return part == 0 ? Tensors(all.begin(), middle) : Tensors(middle, all.end());
}

/// The network over xs [T,B,I]; `step` is the cell's own or what compile() made of it.
template <class StepFunction>
cells::Sequence over_sequence(Network::Form form, StepFunction& step, const Tensor& xs, const Tensors& state,
                              const Tensors& weights) {
  if (form == Network::Form::single) return cells::over_sequence(step, xs, state, weights);
  const bool is_stacked = form == Network::Form::stacked;
  const cells::Sequence first = cells::over_sequence(step, xs, half(state, 0), half(weights, 0));
  const cells::Sequence second =
      cells::over_sequence(step, is_stacked ? first.outputs : xs, half(state, 1), half(weights, 1),
                           is_stacked ? ScanDirection::forward : ScanDirection::reverse);
  return {is_stacked ? second.outputs : concat({first.outputs, second.outputs}, -1),
          joined(first.state, second.state)};
}

/// A network with the tensors that it works on: xs [T,B,I], its weights and first state, by the names in
/// files.
struct Data {
  Network network;
  Tensors weights, state;
  Tensor xs;

  static Data make(const Network& network, int64_t batch, int64_t inputs, int64_t hidden, int64_t steps) {
    manual_seed(1);
    const Cell& cell = *network.cell;
    Data data{network, cell.make_weights(inputs, hidden), {}, nn::normal({steps, batch, inputs})};
    data.state = cell.make_state(data.weights, batch);
    if (network.parts() == 1) return data;
    const int64_t width = data.state[0].size(1);  // of an output
    const Tensors more = cell.make_weights(network.reads_outputs(1) ? width : inputs, hidden);
    data.state = joined(data.state, cell.make_state(more, batch));
    data.weights = joined(data.weights, more);
    return data;
  }
  NamedTensors named() const {
    NamedTensors tensors = {{"xs", xs}};
    const std::vector<std::string> names = network.weight_names();
    for (size_t i = 0; i < weights.size(); ++i) tensors.emplace_back(names[i], weights[i]);
    for (size_t i = 0; i < state.size(); ++i) tensors.emplace_back(fmt::format("state{}", i), state[i]);
    return tensors;
  }
  static Data read(const Network& network, const NamedTensors& tensors) {
    Data data{network, {}, {}, find(tensors, "xs")};
    if (!data.xs) throw UserError("the file has no xs [T,B,I]");
    for (const std::string& name : network.weight_names()) {
      data.weights.push_back(find(tensors, name));
      if (!data.weights.back())
        throw UserError("the file has no weight " + name + " of " + network.cell->name);
    }
    while (const Tensor part = find(tensors, fmt::format("state{}", data.state.size())))
      data.state.push_back(part);
    return data;
  }
};

}  // namespace calque::bench
