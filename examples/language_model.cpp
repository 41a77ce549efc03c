// A character language model: a layer-norm LSTM, written by hand, learns a text. The whole training step (loop over time, loss,
// gradients, clipping, Adam) is one compiled function; beside it, the same step runs op by op.
//
//     build/dev/bin/language_model [TEXT [STEPS]]        (without TEXT: half a sonnet)
#include <calque/calque.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

namespace cq = calque;

constexpr int64_t kUnits = 128, kStreams = 8, kLength = 25;
constexpr const char* kSonnet =  // Shakespeare's eighteenth, its first half
    "Shall I compare thee to a summer's day?\nThou art more lovely and more temperate:\n"
    "Rough winds do shake the darling buds of May,\nAnd summer's lease hath all too short a date;\n"
    "Sometime too hot the eye of heaven shines,\nAnd often is his gold complexion dimm'd;\n"
    "And every fair from fair sometime declines,\nBy chance or nature's changing course untrimm'd;\n";

struct State {
  cq::Tensor h, c;  // [B,H]
};
State zero_state(int64_t batch) { return {cq::zeros({batch, kUnits}), cq::zeros({batch, kUnits})}; }

struct Model : cq::nn::Module {
  explicit Model(int64_t vocabulary) : embedding(vocabulary, kUnits), output(kUnits, vocabulary) {
    register_module("embedding", embedding);
    register_module("input", input);
    register_module("recurrent", recurrent);
    register_module("norm", norm);
    register_module("output", output);
  }
  /// One step of the LSTM: x [B,H] and the state before -> the state after.
  State cell(const cq::Tensor& x, const State& s) const {
    const auto [i, f, g, o] = cq::split<4>(norm(input(x) + recurrent(s.h)));
    const auto c = cq::sigmoid(f) * s.c + cq::sigmoid(i) * cq::tanh(g);
    return {cq::sigmoid(o) * cq::tanh(c), c};
  }
  cq::nn::Embedding embedding;
  cq::nn::Linear input{kUnits, 4 * kUnits}, recurrent{kUnits, 4 * kUnits}, output;
  cq::nn::LayerNorm norm{4 * kUnits};
};

struct StepResult {
  cq::Tensor loss;
  State state;
};
using Step = std::function<StepResult(const cq::nn::TextBatch&, const State&)>;

/// A whole training step.
Step step_of(const Model& model, cq::optim::Adam& adam) {
  return [&model, &adam](const cq::nn::TextBatch& batch, const State& before) -> StepResult {
    const auto x = cq::reshape(model.embedding(batch.inputs), {batch.steps, -1, kUnits});
    State s = before;
    std::vector<cq::Tensor> outputs;
    for (int64_t t = 0; t < batch.steps; ++t) {
      s = model.cell(x[t], s);
      outputs.push_back(s.h);
    }
    const auto loss = cq::cross_entropy(model.output(cq::concat(outputs, 0)), batch.targets);
    std::vector<cq::Tensor> parameters = model.parameters();
    const auto gradients = cq::grad(loss, parameters);
    for (size_t i = 0; i < parameters.size(); ++i) parameters[i].set_grad(gradients[i]);
    cq::optim::clip_grad_norm(parameters, 1.0);
    adam.step();
    adam.zero_grad();
    return {loss.detach(), {s.h.detach(), s.c.detach()}};
  };
}

/// Trains, and returns the milliseconds that a step took, those that record and compile among them.
double train(const Step& step, const cq::nn::TextBatches& batches, int64_t steps, const char* label) {
  State state;
  const auto start = std::chrono::steady_clock::now();
  for (int64_t n = 0; n < steps; ++n) {
    const cq::nn::TextBatch batch = batches[n];
    if (batch.starts_anew) state = zero_state(kStreams);
    const StepResult result = step(batch, state);
    state = result.state;
    if (n % 40 == 39) std::printf("%-9s step %4d  loss %.4f\n", label, int(n + 1), result.loss.item());
  }
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count() / double(steps);
}

/// Goes on from the prompt, each character drawn as the model says.
std::string sample(const Model& model, const cq::nn::Vocabulary& vocabulary, std::string text, size_t length) {
  const cq::NoGradGuard guard;
  State s = zero_state(1);
  for (size_t i = 0; i < length; ++i) {
    s = model.cell(model.embedding(cq::from_vector(vocabulary.encode(text.substr(i, 1)))), s);
    if (i + 1 < text.size()) continue;  // still within the prompt
    const auto chances = cq::softmax(model.output(s.h) / 0.5).to_vector<float>();
    double left = cq::rand({}, cq::DType::f64).item();
    size_t next = 0;
    while (next + 1 < chances.size() && (left -= chances[next]) >= 0) ++next;
    text += vocabulary.decode(int64_t(next));
  }
  return text;
}

int main(int argc, char** argv) try {
  const std::string text = argc > 1 ? cq::nn::read_text(argv[1]) : kSonnet;
  const int64_t steps = argc > 2 ? std::stol(argv[2]) : 200;
  const cq::nn::Vocabulary vocabulary(text);
  const cq::nn::TextBatches batches(vocabulary.encode(text), kStreams, kLength);
  double milliseconds[2];
  for (const bool is_compiled : {false, true}) {
    cq::manual_seed(1);
    Model model(vocabulary.size());
    cq::optim::Adam adam(model.parameters(), {.learning_rate = 4e-3});
    const Step step = is_compiled ? cq::compile(step_of(model, adam)) : step_of(model, adam);  // the only difference
    milliseconds[is_compiled] = train(step, batches, steps, is_compiled ? "compiled" : "eager");
    if (is_compiled) std::printf("\n%s\n", sample(model, vocabulary, text.substr(0, 5), 300).c_str());
  }
  std::printf("%.2f ms a step eager, %.2f compiled\n", milliseconds[0], milliseconds[1]);
} catch (const std::exception& error) {
  std::fprintf(stderr, "language_model: %s\n", error.what());
  return 1;
}
