// Checkpoints: a training goes on with the same bits from fresh objects; what does not fit changes nothing.
#include "calque/nn/checkpoint.h"

#include <catch2/catch.hpp>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "calque/autograd.h"
#include "calque/compile.h"
#include "calque/nn.h"

using namespace calque;
using Catch::Matchers::Contains;

namespace {

/// A small training with all that a checkpoint has to hold: parameters, moments, dropout's numbers, a place in the data, a carried
/// state and a rate that a schedule changes.
struct Training {
  explicit Training(bool is_compiled) : optimizer(prepared(net).parameters()) {
    forward = [this](const Tensor& x) { return net(x); };
    if (is_compiled) forward = compile(forward);
    checkpoint.add("model", net).add("optimizer", optimizer).add("random", generator).add("default_random", default_generator());
    checkpoint.add("step", step).add("carried", carried);
  }
  static nn::Sequential& prepared(nn::Sequential& net) {
    manual_seed(1);
    return net.add<nn::Linear>(4, 8).add(tanh).add<nn::Dropout>(0.3).add<nn::Linear>(8, 2);
  }
  void advance(int64_t steps) {
    for (const int64_t last = step + steps; step < last; ++step) {
      optimizer.set_learning_rate(0.02 * optim::cosine(step, 40));
      const Tensor x = randn({6, 4}, DType::f32, generator) + static_cast<double>(step % 3);
      const Tensor y = forward(x);
      carried = (carried ? 0.9 * carried + y : y).detach();
      (mean(square(y - 1.0)) + mean(carried * y)).backward();
      optimizer.step();
      optimizer.zero_grad();
    }
  }

  nn::Sequential net;
  optim::AdamW optimizer;
  Generator generator{7};
  int64_t step = 0;
  Tensor carried;
  std::function<Tensor(const Tensor&)> forward;
  nn::Checkpoint checkpoint;
};

std::vector<float> all_numbers(const NamedTensors& tensors) {
  std::vector<float> result;
  for (const auto& [name, tensor] : tensors)
    for (const double value : cast(tensor, DType::f64).to_vector<double>()) result.push_back(static_cast<float>(value));
  return result;
}

/// The name of a file that is removed again.
struct Path {
  std::string name = (std::filesystem::temp_directory_path() / ("calque-checkpoint-" + std::to_string(getpid()))).string();
  ~Path() { std::filesystem::remove(name); }
};

}  // namespace

TEST_CASE("N steps are N/2 steps, saved, loaded into fresh objects, and N/2 more, in every bit") {
  const bool is_compiled = GENERATE(false, true);
  const Path path;
  Training whole(is_compiled);
  whole.advance(40);
  const std::vector<float> expected = all_numbers(whole.checkpoint.state());
  {
    Training half(is_compiled);
    half.advance(20);
    half.checkpoint.save(path.name, {{"written by", "a test"}});
  }
  manual_seed(99);
  Training rest(is_compiled);
  CHECK(rest.checkpoint.load(path.name).at("written by") == "a test");
  CHECK(rest.step == 20);
  rest.advance(20);
  CHECK(all_numbers(rest.checkpoint.state()) == expected);
}

TEST_CASE("a checkpoint that does not fit changes nothing") {
  Training training(false);
  training.advance(3);
  const NamedTensors whole = training.checkpoint.state();
  training.advance(2);
  const std::vector<float> before = all_numbers(training.checkpoint.state());
  const auto refused = [&](const NamedTensors& tensors, const char* named) {
    CHECK_THROWS_WITH(training.checkpoint.load_state(tensors), Contains(named));
    CHECK(all_numbers(training.checkpoint.state()) == before);
  };
  for (const auto& [name, tensor] : whole) {
    INFO(name);
    NamedTensors without, damaged;
    for (const auto& entry : whole) {
      if (entry.first != name) without.push_back(entry);
      damaged.emplace_back(entry.first, entry.first == name ? zeros({5, 1, 5}) : entry.second);
    }
    if (name != "carried") refused(without, name.substr(0, name.find('.')).c_str());
    refused(damaged, name.substr(0, name.find('.')).c_str());
  }
  NamedTensors extra = whole;
  extra.emplace_back("other", zeros({1}));
  refused(extra, "belong to no part");
  extra.back().first = "step.other";
  refused(extra, "step");
  training.checkpoint.load_state(whole);
  CHECK(training.step == 3);
}

TEST_CASE("a variable may be empty when saved, and when loaded") {
  Tensor from, to = ones({2});
  nn::Checkpoint a, b;
  a.add("x", from);
  b.add("x", to);
  b.load_state(a.state());
  CHECK(!to);
  from = ones({3}).set_requires_grad() * 2.0;
  b.load_state(a.state());
  CHECK(to.to_vector<float>() == std::vector<float>{2, 2, 2});
  CHECK(!to.requires_grad());
}

TEST_CASE("names in a checkpoint are distinct and without dots") {
  int64_t number = 0;
  nn::Checkpoint checkpoint;
  checkpoint.add("step", number);
  CHECK_THROWS_AS(checkpoint.add("step", number), UserError);
  CHECK_THROWS_AS(checkpoint.add("", number), UserError);
  CHECK_THROWS_AS(checkpoint.add("a.b", number), UserError);
}
