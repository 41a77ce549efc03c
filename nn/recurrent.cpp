// The steps of LSTM and GRU, and their walk over layers, directions and time.
#include "calque/nn/recurrent.h"

#include <algorithm>
#include <cmath>

#include "calque/nn/random.h"

namespace calque::nn {

namespace {

void check_sizes(const char* kind, int64_t inputs, int64_t hidden) {
  if (inputs < 1 || hidden < 1)
    throw UserError(std::string(kind) + ": inputs and hidden must be 1 or more, got " + std::to_string(inputs) + " and " +
                    std::to_string(hidden));
}

Tensor initial(const Shape& shape, int64_t hidden) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(hidden));
  return uniform(shape, -bound, bound);
}

void check_shape(const char* kind, const char* what, const Tensor& tensor, const Shape& expected) {
  if (tensor && tensor.shape() == expected) return;
  throw UserError(std::string(kind) + ": " + what + " must be " + to_string(expected) + ", got " +
                  (tensor ? to_string(tensor.shape()) : "no tensor"));
}

/// From the product of the input, with its bias.
LstmState lstm_step(const Tensor& from_input, const LstmState& state, const Tensor& weight, const Tensor& bias) {
  const auto [i, f, g, o] = split<4>(from_input + (matmul(state.h, weight) + bias));
  const Tensor c = sigmoid(f) * state.c + sigmoid(i) * tanh(g);
  return {sigmoid(o) * tanh(c), c};
}

Tensor gru_step(const Tensor& from_input, const Tensor& h, const Tensor& weight, const Tensor& bias, ResetGate reset) {
  const auto [xr, xz, xn] = split<3>(from_input);
  if (reset == ResetGate::after_product) {
    const auto [hr, hz, hn] = split<3>(matmul(h, weight) + bias);
    const Tensor z = sigmoid(xz + hz), n = tanh(xn + sigmoid(xr + hr) * hn);
    return (1.0 - z) * n + z * h;
  }
  const int64_t hidden = h.size(1);
  const auto [hr, hz] = split<2>(matmul(h, slice(weight, 1, 0, 2 * hidden)) + slice(bias, 0, 0, 2 * hidden));
  const Tensor z = sigmoid(xz + hz), kept = sigmoid(xr + hr) * h;
  const Tensor n = tanh(xn + (matmul(kept, slice(weight, 1, 2 * hidden, 3 * hidden)) + slice(bias, 0, 2 * hidden, 3 * hidden)));
  return (1.0 - z) * n + z * h;
}

}  // namespace

RecurrentCell::RecurrentCell(const char* kind, int64_t inputs, int64_t hidden, int64_t gates)
    : weight_ih((check_sizes(kind, inputs, hidden), register_parameter("weight_ih", initial({gates * hidden, inputs}, hidden)))),
      weight_hh(register_parameter("weight_hh", initial({gates * hidden, hidden}, hidden))),
      bias_ih(register_parameter("bias_ih", initial({gates * hidden}, hidden))),
      bias_hh(register_parameter("bias_hh", initial({gates * hidden}, hidden))),
      kind_(kind) {}

void RecurrentCell::check(const Tensor& x, std::initializer_list<Tensor> states) const {
  if (!x || x.rank() != 2)
    throw UserError(std::string(kind_) + ": x must be [B, inputs], got " + (x ? to_string(x.shape()) : "no tensor"));
  check_shape(kind_, "x", x, {x.size(0), weight_ih.size(1)});
  for (const Tensor& state : states) check_shape(kind_, "the state", state, {x.size(0), weight_hh.size(1)});
}

Tensor RecurrentCell::zeros_for(int64_t batch) const { return zeros({batch, weight_hh.size(1)}); }

LstmState LstmCell::operator()(const Tensor& x, const LstmState& state) const {
  check(x, {state.h, state.c});
  return lstm_step(matmul(x, transpose(weight_ih)) + bias_ih, state, transpose(weight_hh), bias_hh);
}

Tensor GruCell::operator()(const Tensor& x, const Tensor& h) const {
  check(x, {h});
  return gru_step(matmul(x, transpose(weight_ih)) + bias_ih, h, transpose(weight_hh), bias_hh, reset_);
}

Recurrent::Recurrent(const char* kind, int64_t inputs, int64_t hidden, int64_t gates, const RecurrentOptions& options)
    : kind_(kind), inputs_(inputs), hidden_(hidden), options_(options) {
  check_sizes(kind, inputs, hidden);
  if (options.layers < 1) throw UserError(std::string(kind) + ": there must be 1 layer or more");
  if (!(options.dropout >= 0 && options.dropout <= 1))
    throw UserError(std::string(kind) + ": the probability of dropout is not within 0 and 1");
  for (int64_t place = 0; place < options.layers * directions(); ++place) {
    const int64_t layer = place / directions(), width = layer == 0 ? inputs : hidden * directions();
    const std::string suffix = "_l" + std::to_string(layer) + (place % directions() == 1 ? "_reverse" : "");
    const auto parameter = [&](const char* name, const Shape& shape) {
      return register_parameter(name + suffix, initial(shape, hidden));
    };
    Weights& weights = weights_.emplace_back();
    weights.weight_ih = parameter("weight_ih", {gates * hidden, width});
    weights.weight_hh = parameter("weight_hh", {gates * hidden, hidden});
    weights.bias_ih = parameter("bias_ih", {gates * hidden});
    weights.bias_hh = parameter("bias_hh", {gates * hidden});
  }
}

Tensor Recurrent::zero_states(int64_t batch) const { return zeros({options_.layers * directions(), batch, hidden_}); }

void Recurrent::check(const Tensor& x, std::initializer_list<Tensor> states) const {
  if (!x || x.rank() != 3 || x.size(0) < 1)
    throw UserError(std::string(kind_) + ": x must be [T, B, inputs] with a step or more, got " +
                    (x ? to_string(x.shape()) : "no tensor"));
  check_shape(kind_, "x", x, {x.size(0), x.size(1), inputs_});
  for (const Tensor& state : states)
    check_shape(kind_, "the state", state, {options_.layers * directions(), x.size(1), hidden_});
}

/// The outputs [T,B,H] of one layer in one direction.
template <class Step>
Tensor Recurrent::walk(const Tensor& x, int64_t place, Step step) const {
  const int64_t steps = x.size(0), batch = x.size(1);
  const Weights& weights = weights_[static_cast<size_t>(place)];
  // The inputs of all steps are there: one product for all.
  const Tensor rows = matmul(reshape(x, {steps * batch, x.size(2)}), transpose(weights.weight_ih)) + weights.bias_ih;
  const Tensor from_inputs = reshape(rows, {steps, batch, rows.size(1)});
  const Tensor recurrent = transpose(weights.weight_hh);
  const bool is_reverse = place % directions() == 1;
  std::vector<Tensor> outputs(static_cast<size_t>(steps));
  for (int64_t i = 0; i < steps; ++i) {
    const int64_t t = is_reverse ? steps - 1 - i : i;
    outputs[static_cast<size_t>(t)] = step(select(from_inputs, 0, t), recurrent, weights.bias_hh, static_cast<size_t>(place));
  }
  return stack(outputs);
}

template <class Step>
Tensor Recurrent::run(const Tensor& x, Step step) const {
  Tensor outputs = x;
  for (int64_t layer = 0; layer < options_.layers; ++layer) {
    const Tensor inputs = layer == 0 ? x : dropout(outputs, options_.dropout, is_training());
    std::vector<Tensor> sides;
    for (int64_t side = 0; side < directions(); ++side) sides.push_back(walk(inputs, layer * directions() + side, step));
    outputs = sides.size() == 1 ? sides[0] : concat(sides, 2);
  }
  return outputs;
}

namespace {

/// The states of all layers and directions, [places,B,H], one by one.
std::vector<Tensor> states_of(const Tensor& states) {
  std::vector<Tensor> result;
  for (int64_t place = 0; place < states.size(0); ++place) result.push_back(select(states, 0, place));
  return result;
}

}  // namespace

Lstm::Lstm(int64_t inputs, int64_t hidden, const RecurrentOptions& options) : Recurrent("Lstm", inputs, hidden, 4, options) {}

LstmResult Lstm::operator()(const Tensor& x, const LstmState& initial) const {
  check(x, {initial.h, initial.c});
  std::vector<Tensor> h = states_of(initial.h), c = states_of(initial.c);
  const Tensor output = run(x, [&](const Tensor& from_input, const Tensor& weight, const Tensor& bias, size_t place) {
    const LstmState next = lstm_step(from_input, {h[place], c[place]}, weight, bias);
    h[place] = next.h, c[place] = next.c;
    return next.h;
  });
  return {output, {stack(h), stack(c)}};
}

LstmResult Lstm::operator()(const Tensor& x) const {
  check(x, {});
  return (*this)(x, zero_state(x.size(1)));
}

LstmState Lstm::zero_state(int64_t batch) const { return {zero_states(batch), zero_states(batch)}; }

Gru::Gru(int64_t inputs, int64_t hidden, const RecurrentOptions& options, ResetGate reset)
    : Recurrent("Gru", inputs, hidden, 3, options), reset_(reset) {}

GruResult Gru::operator()(const Tensor& x, const Tensor& initial) const {
  check(x, {initial});
  std::vector<Tensor> h = states_of(initial);
  const Tensor output = run(x, [&](const Tensor& from_input, const Tensor& weight, const Tensor& bias, size_t place) {
    h[place] = gru_step(from_input, h[place], weight, bias, reset_);
    return h[place];
  });
  return {output, stack(h)};
}

GruResult Gru::operator()(const Tensor& x) const {
  check(x, {});
  return (*this)(x, zero_state(x.size(1)));
}

Tensor Gru::zero_state(int64_t batch) const { return zero_states(batch); }

}  // namespace calque::nn
