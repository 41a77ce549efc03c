// `calque bench-step`: the demo's training step behind a line protocol, so that a benchmark can alternate it
// with others.
#include <fmt/format.h>

#include <chrono>
#include <iostream>
#include <memory>
#include <sstream>

#include "calque/compile.h"
#include "cli/command.h"
#include "cli/training.h"

namespace calque::cli {

namespace {

struct BenchOptions {
  std::string mode = "loop", cell = "layernorm_lstm";
  double learning_rate = 3e-3;
};

/// The model, its optimiser and the batches of one session, all from one file.
class BenchSession {
 public:
  BenchSession(const BenchOptions& options, const std::string& path) : kind_(cell_kind(options.cell)) {
    const SafetensorsFile file = load_safetensors(path);
    NamedTensors weights;
    for (const auto& [name, tensor] : file.tensors)
      if (name != "inputs" && name != "targets") weights.emplace_back(name, tensor);
    inputs_ = pieces_of(file, "inputs");
    targets_ = pieces_of(file, "targets");
    const Tensor embedding = find(weights, "embedding.weight");
    if (!embedding || embedding.rank() != 2) throw UserError(path + " has no embedding.weight [V,H]");
    model_ = std::make_unique<LanguageModel>(kind_, embedding.size(0), embedding.size(1));
    model_->load_state(weights);
    compiling_ = options.mode == "eager"  ? Compiling::nothing
                 : options.mode == "cell" ? Compiling::cell
                 : options.mode == "loop" ? Compiling::loop
                                          : Compiling::step;
    adam_ = std::make_unique<optim::Adam>(model_->parameters(), optim::AdamOptions{.learning_rate = options.learning_rate});
    train_on_ = with_compiled(compiling_, *model_, [&](auto forward) { return step_over(*model_, forward, *adam_); });
    state_ = model_->zero_state(streams());
  }

  /// Milliseconds and the loss (in nats) of one update.
  std::pair<double, double> step() {
    const auto start = std::chrono::steady_clock::now();
    const BatchResult result = train_on_(piece(next_++), state_);
    state_ = result.state;
    const double loss = result.loss.item();
    return {std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count(),
            loss};
  }

  /// Gradients of the first piece from a zero state, without an update. Returns the loss.
  double save_gradients(const std::string& path) {
    const BatchFunction run = with_compiled(compiling_, *model_, [&](auto forward) { return gradients_over(*model_, forward); });
    BatchResult result;
    for (int i = 0; i < kFirstCalls; ++i) result = run(piece(0), model_->zero_state(streams()));
    NamedTensors gradients;
    for (const auto& [name, parameter] : model_->named_parameters())
      gradients.emplace_back(name, parameter.grad());
    model_->zero_grad();
    save_safetensors(path, gradients);
    return result.loss.item();
  }

 private:
  static Tensor pieces_of(const SafetensorsFile& file, const char* name) {
    const Tensor tensor = find(file.tensors, name);
    if (!tensor || tensor.rank() != 3 || tensor.dtype() != DType::i64 || tensor.element_count() == 0)
      throw UserError(fmt::format("{} must be i64 [pieces,steps,streams]", name));
    return tensor;
  }
  int64_t streams() const { return inputs_.size(2); }
  nn::TextBatch piece(int64_t number) const {
    const int64_t index = number % inputs_.size(0), steps = inputs_.size(1);
    const auto flat = [&](const Tensor& pieces) {
      return reshape(select(pieces, 0, index), {steps * streams()});
    };
    return {flat(inputs_), flat(targets_), steps, false};
  }

  const CellKind& kind_;
  Tensor inputs_, targets_;
  std::unique_ptr<LanguageModel> model_;
  Compiling compiling_ = Compiling::nothing;
  std::unique_ptr<optim::Adam> adam_;
  BatchFunction train_on_;
  CellState state_;
  int64_t next_ = 0;
};

void answer_steps(BenchSession& session, int64_t count) {
  std::string times, losses;
  for (int64_t i = 0; i < count; ++i) {
    const auto [milliseconds, loss] = session.step();
    times += fmt::format(" {:.6f}", milliseconds);
    losses += fmt::format(" {:.9g}", loss);
  }
  fmt::print("ms{} loss{}\n", times, losses);
}

int run_bench_step(const BenchOptions& options) {
  std::unique_ptr<BenchSession> session;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command, path;
    int64_t count = 0;
    words >> command;
    if (command == "load" && words >> path) {
      session = std::make_unique<BenchSession>(options, path);
      fmt::print("ok\n");
    } else if (command == "gradients" && words >> path && session) {
      fmt::print("loss {:.9g}\n", session->save_gradients(path));
    } else if (command == "steps" && words >> count && count > 0 && session) {
      answer_steps(*session, count);
    } else if (command == "quit") {
      break;
    } else {
      throw UserError(
          "bench-step understands `load FILE`, then `steps N`, `gradients FILE` and `quit`; got: " + line);
    }
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

void add_bench_step(CLI::App& program, Action& action) {
  const auto options = std::make_shared<BenchOptions>();
  CLI::App* command = program.add_subcommand(
      "bench-step", "The demo's training step for benchmarks, driven by lines of text");
  command->add_option("--mode", options->mode, "what is compiled: nothing (eager), the cell, the loop over time, or the whole step")
      ->check(CLI::IsMember({"eager", "cell", "loop", "step"}))
      ->type_name("MODE");
  command->add_option("--cell", options->cell, "layernorm_lstm, lstm or gru")
      ->check(CLI::IsMember({"layernorm_lstm", "lstm", "gru"}))
      ->type_name("CELL");
  command->add_option("--lr", options->learning_rate, "Adam's learning rate")
      ->check(CLI::PositiveNumber)
      ->type_name("X");
  add_threads_option(*command);
  command->footer(
      "Reads lines from the standard input and answers each with one line:\n"
      "  load FILE       safetensors with the weights, and inputs and targets i64 [pieces,steps,streams]  -> "
      "ok\n"
      "  steps N         N updates on the next pieces, state carried  -> ms T1 T2 ... loss L1 L2 ... (nats)\n"
      "  gradients FILE  of the first piece from a zero state, as safetensors  -> loss L\n"
      "  quit            ends (so does the end of the input)\n"
      "bench/demo.py drives it.");
  command->callback([options, &action] { action = [options] { return run_bench_step(*options); }; });
}

}  // namespace calque::cli
