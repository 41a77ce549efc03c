// Recurrent cells and layers in plain ops: LSTM and GRU with the parameters of PyTorch, so that weights can be carried over.
//
// Weights are [gates * hidden, inputs] and used transposed; gates follow each other as i, f, g, o (LSTM) and r, z, n (GRU);
// there is a bias for the product with the input and one for that with the state. All begin uniform within
// +-1 / sqrt(hidden). A cell of your own is a function such as those of examples/ and cli/cells.h; it is compiled as these are.
#pragma once

#include <string>
#include <vector>

#include "calque/nn/module.h"
#include "calque/ops.h"

#pragma GCC visibility push(default)

namespace calque::nn {

/// Of a cell: h and c [B,H]. Of a layer: both [layers * directions, B,H], the backward direction after the forward one.
struct LstmState {
  Tensor h, c;
};

/// Where a GRU's reset gate stands in n = tanh(x W_n + b_in + ...).
enum class ResetGate : uint8_t {
  after_product,   // r * (h U_n + b_hn), as in PyTorch, cuDNN and ONNX with linear_before_reset = 1
  before_product,  // (r * h) U_n + b_hn, as Cho et al. wrote it, and ONNX by default
};

/// What LstmCell and GruCell share.
class RecurrentCell : public Module {
 public:
  const Tensor weight_ih, weight_hh, bias_ih, bias_hh;

 protected:
  RecurrentCell(const char* kind, int64_t inputs, int64_t hidden, int64_t gates);
  ~RecurrentCell() = default;
  void check(const Tensor& x, std::initializer_list<Tensor> states) const;
  Tensor zeros_for(int64_t batch) const;

 private:
  const char* kind_;
};

/// One step of long short-term memory (Hochreiter, Schmidhuber 1997; forget gate of Gers, Schmidhuber, Cummins 2000).
class LstmCell : public RecurrentCell {
 public:
  /// Throws UserError for sizes below 1.
  LstmCell(int64_t inputs, int64_t hidden) : RecurrentCell("LstmCell", inputs, hidden, 4) {}
  /// x [B,inputs] and the state before -> the state after. Throws UserError where shapes do not fit.
  LstmState operator()(const Tensor& x, const LstmState& state) const;
  /// All zero, for `batch` rows.
  LstmState zero_state(int64_t batch) const { return {zeros_for(batch), zeros_for(batch)}; }
};

/// One step of a gated recurrent unit (Cho et al. 2014): h' = (1 - z) * n + z * h.
class GruCell : public RecurrentCell {
 public:
  /// Throws UserError for sizes below 1.
  GruCell(int64_t inputs, int64_t hidden, ResetGate reset = ResetGate::after_product)
      : RecurrentCell("GruCell", inputs, hidden, 3), reset_(reset) {}
  /// x [B,inputs] and h [B,hidden] before -> h after. Throws UserError where shapes do not fit.
  Tensor operator()(const Tensor& x, const Tensor& h) const;
  /// All zero, for `batch` rows.
  Tensor zero_state(int64_t batch) const { return zeros_for(batch); }

 private:
  ResetGate reset_;
};

struct RecurrentOptions {
  int64_t layers = 1;          // each above the first reads the outputs of the one below
  bool bidirectional = false;  // a second set of weights reads the steps from the last to the first
  double dropout = 0;          // of the outputs of each layer but the last, in training mode
};

/// What Lstm and Gru share: parameters named `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, then `_l0_reverse`, `_l1`
/// and so on.
class Recurrent : public Module {
 public:
  int64_t hidden() const { return hidden_; }
  const RecurrentOptions& options() const { return options_; }

 protected:
  Recurrent(const char* kind, int64_t inputs, int64_t hidden, int64_t gates, const RecurrentOptions& options);
  ~Recurrent() = default;

  int64_t directions() const { return options_.bidirectional ? 2 : 1; }
  Tensor zero_states(int64_t batch) const;
  void check(const Tensor& x, std::initializer_list<Tensor> states) const;
  /// The outputs of the last layer; `step(from_input, weight_hh transposed, bias_hh, place)` gives one output of the layer and
  /// direction at `place`, from the product of one step's input.
  template <class Step>
  Tensor run(const Tensor& x, Step step) const;

 private:
  struct Weights {
    Tensor weight_ih, weight_hh, bias_ih, bias_hh;
  };
  template <class Step>
  Tensor walk(const Tensor& x, int64_t place, Step step) const;

  const char* kind_;
  int64_t inputs_, hidden_;
  RecurrentOptions options_;
  std::vector<Weights> weights_;  // of each layer and direction, in turn
};

struct LstmResult {
  Tensor output;    // [T,B,directions * H]: h of the last layer at every step
  LstmState state;  // after the last step of every layer and direction
};

/// LSTM layers over a sequence.
class Lstm : public Recurrent {
 public:
  /// Throws UserError for sizes below 1 and a dropout outside of [0, 1].
  Lstm(int64_t inputs, int64_t hidden, const RecurrentOptions& options = {});
  /// x [T,B,inputs], T >= 1. Throws UserError where shapes do not fit.
  LstmResult operator()(const Tensor& x, const LstmState& initial) const;
  /// From zero_state().
  LstmResult operator()(const Tensor& x) const;
  LstmState zero_state(int64_t batch) const;
};

struct GruResult {
  Tensor output;  // [T,B,directions * H]
  Tensor h;       // [layers * directions, B,H]
};

/// GRU layers over a sequence.
class Gru : public Recurrent {
 public:
  /// Throws UserError for sizes below 1 and a dropout outside of [0, 1].
  Gru(int64_t inputs, int64_t hidden, const RecurrentOptions& options = {}, ResetGate reset = ResetGate::after_product);
  /// x [T,B,inputs], T >= 1, and h [layers * directions, B,H]. Throws UserError where shapes do not fit.
  GruResult operator()(const Tensor& x, const Tensor& initial) const;
  /// From zero_state().
  GruResult operator()(const Tensor& x) const;
  Tensor zero_state(int64_t batch) const;

 private:
  ResetGate reset_;
};

}  // namespace calque::nn

#pragma GCC visibility pop
