// A character language model around any recurrent cell, and one step of its training.
#pragma once

#include <algorithm>
#include <functional>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "calque/autograd.h"
#include "calque/compile.h"
#include "cli/cells.h"

namespace calque::cli {

/// A cell by name, and what its weights look like.
struct CellKind {
  const char* name;
  Cell cell;
  int64_t gates;
  bool has_layer_norm;
};

inline constexpr CellKind kCellKinds[] = {
    {"layernorm_lstm", layernorm_lstm, 4, true}, {"lstm", lstm, 4, false}, {"gru", gru, 3, false}};

/// Throws UserError for a name that no cell has.
inline const CellKind& cell_kind(const std::string& name) {
  for (const CellKind& kind : kCellKinds)
    if (name == kind.name) return kind;
  throw UserError("there is no cell named " + name + "; there are layernorm_lstm, lstm and gru");
}

/// Embedding [V,H] -> cell, step by step -> linear layer to V logits.
struct LanguageModel : nn::Module {
  LanguageModel(const CellKind& kind, int64_t vocabulary, int64_t hidden)
      : kind(kind),
        hidden(hidden),
        embedding(vocabulary, hidden),
        weights(hidden, hidden, kind.gates, kind.has_layer_norm),
        output(hidden, vocabulary) {
    register_module("embedding", embedding);
    register_module("cell", weights);
    register_module("output", output);
  }
  CellState zero_state(int64_t batch) const { return {zeros({batch, hidden}), zeros({batch, hidden})}; }

  const CellKind& kind;
  const int64_t hidden;
  nn::Embedding embedding;
  CellWeights weights;
  nn::Linear output;
};

/// The `steps` pieces [B,...] of x [steps*B,...], in order. Cut in two levels, since split makes at most 64 pieces.
inline std::vector<Tensor> pieces_of_steps(const Tensor& x, int64_t steps) {
  constexpr int64_t kMostPieces = 64;
  const int64_t rows = x.size(0) / steps;
  std::vector<Tensor> result;
  for (int64_t first = 0; first < steps; first += kMostPieces) {
    const int64_t count = std::min(kMostPieces, steps - first);
    for (Tensor& piece : split(slice(x, 0, first * rows, (first + count) * rows), count, 0))
      result.push_back(std::move(piece));
  }
  return result;
}

/// Mean cross entropy (in nats) of all targets of a batch. `cell` is the model's cell, or compile() of it.
/// `state` is carried on.
template <class AnyCell>
Tensor loss_of(const LanguageModel& model, AnyCell& cell, const nn::TextBatch& batch, CellState& state) {
  const Tensor embedded = model.embedding(batch.inputs);  // [T*B,H]
  std::vector<Tensor> outputs;
  for (const Tensor& x : pieces_of_steps(embedded, batch.steps)) {
    state = cell(x, state.h, state.c, model.weights);
    outputs.push_back(state.h);
  }
  return cross_entropy(model.output(concat(outputs, 0)), batch.targets);
}

/// What a batch gives, from the state before it: the loss, the state behind it, and, where the function takes them itself, the
/// gradients of the model's parameters.
struct BatchResult {
  Tensor loss;
  CellState state;
  std::vector<Tensor> gradients;
};
using BatchFunction = std::function<BatchResult(const nn::TextBatch&, const CellState&)>;

/// How much of the program is compiled.
enum class Compiling { nothing, cell, loop, step };

/// The loop over a batch's steps, around a cell that may be compiled.
template <class AnyCell>
auto loop_over(const LanguageModel& model, AnyCell cell) {
  return [&model, cell](const nn::TextBatch& batch, const CellState& state) mutable {
    BatchResult result{{}, state, {}};
    result.loss = loss_of(model, cell, batch, result.state);
    return result;
  };
}

/// The same and the backward pass: all of a step but the update. Nothing of it has a history.
template <class AnyCell>
auto gradients_over(const LanguageModel& model, AnyCell cell) {
  return [&model, run = loop_over(model, cell)](const nn::TextBatch& batch, const CellState& state) mutable {
    BatchResult result = run(batch, state);
    result.gradients = grad({&result.loss, 1}, model.parameters());
    return BatchResult{result.loss.detach(), {result.state.h.detach(), result.state.c.detach()}, std::move(result.gradients)};
  };
}

inline BatchFunction batch_function(const LanguageModel& model, Compiling compiling) {
  const Cell cell = model.kind.cell;
  const std::string name = model.kind.name;
  switch (compiling) {
    case Compiling::cell: return loop_over(model, compile(cell, {.name = name}));
    case Compiling::loop: return compile(loop_over(model, cell), {.name = name});
    case Compiling::step: return compile(gradients_over(model, cell), {.name = name});
    default: return loop_over(model, cell);
  }
}

/// Brings the gradients of a batch to where the optimiser looks for them.
inline void deposit_gradients(const LanguageModel& model, const BatchResult& result) {
  if (result.gradients.empty()) return result.loss.backward();
  std::vector<Tensor> parameters = model.parameters();
  for (size_t i = 0; i < parameters.size(); ++i) parameters[i].set_grad(result.gradients[i]);
}

/// One update: forward, backward through the batch's steps, clipping, Adam. Returns the loss in bits per
/// character.
inline double train_step(LanguageModel& model, const BatchFunction& run, const nn::TextBatch& batch, CellState& state,
                         optim::Adam& adam, double clip = 1.0) {
  const BatchResult result = run(batch, state);
  deposit_gradients(model, result);
  state = {result.state.h.detach(), result.state.c.detach()};  // gradients end where the batch began
  optim::clip_grad_norm(model.parameters(), clip);
  adam.step();
  adam.zero_grad();
  return result.loss.item() / std::numbers::ln2;
}

}  // namespace calque::cli
