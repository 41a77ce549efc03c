// A character language model around any recurrent cell, and one step of its training.
#pragma once

#include <algorithm>
#include <functional>
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

/// What a batch gives, from the state before it: the mean loss (in nats) and the state behind it.
struct BatchResult {
  Tensor loss;
  CellState state;
};
using BatchFunction = std::function<BatchResult(const nn::TextBatch&, const CellState&)>;

/// The loop over a batch's steps, around a cell that may be compiled.
template <class AnyCell>
auto loop_over(const LanguageModel& model, AnyCell cell) {
  return [&model, cell](const nn::TextBatch& batch, const CellState& state) mutable {
    BatchResult result{{}, state};
    result.loss = loss_of(model, cell, batch, result.state);
    return result;
  };
}

/// `forward` (loop_over, or compile() of it) and the backward pass, which leaves gradients at the model's parameters. What it gives
/// has no history: gradients end where the batch began.
template <class Forward>
auto gradients_over(const LanguageModel& model, Forward forward) {
  return [&model, forward](const nn::TextBatch& batch, const CellState& state) mutable {
    const auto [loss, next] = forward(batch, state);
    std::vector<Tensor> parameters = model.parameters();
    const std::vector<Tensor> gradients = grad(loss, parameters);
    for (size_t i = 0; i < parameters.size(); ++i) parameters[i].set_grad(gradients[i]);
    return BatchResult{loss.detach(), {next.h.detach(), next.c.detach()}};
  };
}

/// A whole training step: forward, backward through the batch's steps, clipping, Adam.
template <class Forward>
auto step_over(const LanguageModel& model, Forward forward, optim::Adam& adam, double clip = 1.0) {
  return [&model, &adam, clip, run = gradients_over(model, forward)](const nn::TextBatch& batch, const CellState& state) mutable {
    BatchResult result = run(batch, state);
    optim::clip_grad_norm(model.parameters(), clip);
    adam.step();
    adam.zero_grad();
    return result;
  };
}

/// What compile() is put around.
enum class Compiling { nothing, cell, loop, step };

/// `around(forward)` is a training step, or what a step begins with.
template <class Around>
BatchFunction with_compiled(Compiling compiling, const LanguageModel& model, const Around& around) {
  const Cell cell = model.kind.cell;
  const CompileOptions options{.name = model.kind.name};
  switch (compiling) {
    case Compiling::cell: return around(loop_over(model, compile(cell, options)));
    case Compiling::loop: return around(compile(loop_over(model, cell), options));
    case Compiling::step: return compile(around(loop_over(model, cell)), options);
    default: return around(loop_over(model, cell));
  }
}

/// Calls of a compiled step until plans make all that may round otherwise than op by op.
inline constexpr int kFirstCalls = 3;

}  // namespace calque::cli
