// LSTM and GRU against loops over plain numbers, written from the formulas of PyTorch's documentation, in double.
#include "calque/nn/recurrent.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "calque/autograd.h"
#include "calque/nn/random.h"
#include "tests/support/numbers_of.h"

using namespace calque;
using Catch::Matchers::Contains;
using test::numbers_of;

namespace {

using Doubles = std::vector<double>;

double sigma(double x) { return 1 / (1 + std::exp(-x)); }

/// The weights of one direction of one layer.
struct TextbookLayer {
  Doubles weight_ih, weight_hh, bias_ih, bias_hh;
  size_t inputs, hidden;

  TextbookLayer(const nn::Module& module, const std::string& suffix, size_t inputs, size_t hidden)
      : inputs(inputs), hidden(hidden) {
    const auto named = [&](const std::string& name) { return numbers_of(find(module.state(), name + suffix)); };
    weight_ih = named("weight_ih"), weight_hh = named("weight_hh"), bias_ih = named("bias_ih"), bias_hh = named("bias_hh");
  }
  double from_input(size_t row, const double* x) const {
    double sum = bias_ih[row];
    for (size_t k = 0; k < inputs; ++k) sum += weight_ih[row * inputs + k] * x[k];
    return sum;
  }
  double from_state(size_t row, const Doubles& h) const {
    double sum = bias_hh[row];
    for (size_t k = 0; k < hidden; ++k) sum += weight_hh[row * hidden + k] * h[k];
    return sum;
  }
  /// One row of a batch, one step.
  void lstm(const double* x, Doubles& h, Doubles& c) const {
    const Doubles before = h;
    const auto gate = [&](size_t which, size_t j) {
      return from_input(which * hidden + j, x) + from_state(which * hidden + j, before);
    };
    for (size_t j = 0; j < hidden; ++j) {
      c[j] = sigma(gate(1, j)) * c[j] + sigma(gate(0, j)) * std::tanh(gate(2, j));
      h[j] = sigma(gate(3, j)) * std::tanh(c[j]);
    }
  }
  void gru(const double* x, Doubles& h, nn::ResetGate reset) const {
    const Doubles before = h;
    Doubles r(hidden), kept(hidden);
    for (size_t j = 0; j < hidden; ++j) {
      r[j] = sigma(from_input(j, x) + from_state(j, before));
      kept[j] = r[j] * before[j];
    }
    for (size_t j = 0; j < hidden; ++j) {
      const double z = sigma(from_input(hidden + j, x) + from_state(hidden + j, before)), own = from_input(2 * hidden + j, x);
      const double n = reset == nn::ResetGate::after_product ? std::tanh(own + r[j] * from_state(2 * hidden + j, before))
                                                             : std::tanh(own + from_state(2 * hidden + j, kept));
      h[j] = (1 - z) * n + z * before[j];
    }
  }
};

void require_close(const Doubles& found, const Doubles& expected) {
  REQUIRE(found.size() == expected.size());
  for (size_t i = 0; i < found.size(); ++i) REQUIRE(found[i] == Approx(expected[i]).margin(2e-6).epsilon(1e-5));
}

constexpr size_t kInputs = 5, kHidden = 4, kBatch = 3, kLength = 7;

/// Puts each row's numbers of one step where they belong in a [T,B,width] array.
void put(Doubles& array, size_t t, size_t row, size_t width, size_t offset, const Doubles& values) {
  for (size_t j = 0; j < values.size(); ++j) array[(t * kBatch + row) * width + offset + j] = values[j];
}

/// `step(x, place, row)` gives h of one row after reading x; layer by layer, direction by direction, over x [T,B,inputs].
template <class Step>
Doubles walk(const Tensor& x, size_t layers, size_t directions, Step step) {
  Doubles inputs = numbers_of(x);
  size_t width = kInputs;
  for (size_t layer = 0; layer < layers; ++layer) {
    Doubles outputs(kLength * kBatch * directions * kHidden);
    for (size_t side = 0; side < directions; ++side)
      for (size_t i = 0; i < kLength; ++i) {
        const size_t t = side == 0 ? i : kLength - 1 - i;
        for (size_t row = 0; row < kBatch; ++row)
          put(outputs, t, row, directions * kHidden, side * kHidden,
              step(&inputs[(t * kBatch + row) * width], layer * directions + side, row));
      }
    inputs = outputs;
    width = directions * kHidden;
  }
  return inputs;
}

std::vector<TextbookLayer> textbooks(const nn::Module& module, size_t layers, size_t directions) {
  std::vector<TextbookLayer> result;
  for (size_t place = 0; place < layers * directions; ++place) {
    const size_t layer = place / directions;
    result.emplace_back(module, "_l" + std::to_string(layer) + (place % directions == 1 ? "_reverse" : ""),
                        layer == 0 ? kInputs : directions * kHidden, kHidden);
  }
  return result;
}

/// The states [places,B,H] as vectors by place and row.
std::vector<Doubles> rows_of(const Tensor& states) {
  const Doubles all = numbers_of(states);
  std::vector<Doubles> result;
  for (size_t at = 0; at < all.size(); at += kHidden) result.emplace_back(all.begin() + at, all.begin() + at + kHidden);
  return result;
}
Doubles joined(const std::vector<Doubles>& rows) {
  Doubles result;
  for (const Doubles& row : rows) result.insert(result.end(), row.begin(), row.end());
  return result;
}

}  // namespace

TEST_CASE("an LSTM cell computes the textbook's step") {
  manual_seed(1);
  const nn::LstmCell cell(kInputs, kHidden);
  const Tensor x = nn::normal({kBatch, kInputs}), h = nn::normal({kBatch, kHidden}), c = nn::normal({kBatch, kHidden});
  const nn::LstmState next = cell(x, {h, c});
  const TextbookLayer textbook(cell, "", kInputs, kHidden);
  std::vector<Doubles> hs = rows_of(h), cs = rows_of(c);
  for (size_t row = 0; row < kBatch; ++row) textbook.lstm(&numbers_of(x)[row * kInputs], hs[row], cs[row]);
  require_close(numbers_of(next.h), joined(hs));
  require_close(numbers_of(next.c), joined(cs));
}

TEST_CASE("a GRU cell computes the textbook's step, by either convention of the reset gate") {
  for (const nn::ResetGate reset : {nn::ResetGate::after_product, nn::ResetGate::before_product}) {
    manual_seed(2);
    const nn::GruCell cell(kInputs, kHidden, reset);
    const Tensor x = nn::normal({kBatch, kInputs}), h = nn::normal({kBatch, kHidden});
    const TextbookLayer textbook(cell, "", kInputs, kHidden);
    std::vector<Doubles> hs = rows_of(h);
    for (size_t row = 0; row < kBatch; ++row) textbook.gru(&numbers_of(x)[row * kInputs], hs[row], reset);
    require_close(numbers_of(cell(x, h)), joined(hs));
  }
}

TEST_CASE("LSTM layers in one and two directions are loops over textbook steps") {
  const size_t layers = GENERATE(1, 3), directions = GENERATE(1, 2);
  manual_seed(3);
  const nn::Lstm lstm(kInputs, kHidden, {.layers = static_cast<int64_t>(layers), .bidirectional = directions == 2});
  const int64_t places = layers * directions;
  const Tensor x = nn::normal({kLength, kBatch, kInputs}), h = nn::normal({places, kBatch, kHidden}),
               c = nn::normal({places, kBatch, kHidden});
  const auto [output, state] = lstm(x, {h, c});
  const std::vector<TextbookLayer> textbook = textbooks(lstm, layers, directions);
  std::vector<Doubles> hs = rows_of(h), cs = rows_of(c);
  const Doubles expected = walk(x, layers, directions, [&](const double* step_x, size_t place, size_t row) {
    const size_t at = place * kBatch + row;
    textbook[place].lstm(step_x, hs[at], cs[at]);
    return hs[at];
  });
  require_close(numbers_of(output), expected);
  require_close(numbers_of(state.h), joined(hs));
  require_close(numbers_of(state.c), joined(cs));
}

TEST_CASE("GRU layers in one and two directions are loops over textbook steps") {
  const size_t layers = GENERATE(1, 2), directions = GENERATE(1, 2);
  const nn::ResetGate reset = GENERATE(nn::ResetGate::after_product, nn::ResetGate::before_product);
  manual_seed(4);
  const nn::Gru gru(kInputs, kHidden, {.layers = static_cast<int64_t>(layers), .bidirectional = directions == 2}, reset);
  const Tensor x = nn::normal({kLength, kBatch, kInputs});
  const auto [output, h] = gru(x);
  const std::vector<TextbookLayer> textbook = textbooks(gru, layers, directions);
  std::vector<Doubles> hs(layers * directions * kBatch, Doubles(kHidden, 0.0));
  const Doubles expected = walk(x, layers, directions, [&](const double* step_x, size_t place, size_t row) {
    textbook[place].gru(step_x, hs[place * kBatch + row], reset);
    return hs[place * kBatch + row];
  });
  require_close(numbers_of(output), expected);
  require_close(numbers_of(h), joined(hs));
}

TEST_CASE("parameters have PyTorch's names, shapes and range") {
  const nn::Lstm lstm(5, 4, {.layers = 2, .bidirectional = true});
  std::vector<std::string> names;
  for (const auto& [name, parameter] : lstm.named_parameters()) {
    names.push_back(name);
    for (const float value : parameter.to_vector<float>()) REQUIRE(std::abs(value) <= 0.5f);
  }
  CHECK(names.size() == 16);
  CHECK(names[0] == "weight_ih_l0");
  CHECK(names[4] == "weight_ih_l0_reverse");
  CHECK(names[15] == "bias_hh_l1_reverse");
  CHECK(find(lstm.state(), "weight_ih_l0").shape() == Shape{16, 5});
  CHECK(find(lstm.state(), "weight_ih_l1").shape() == Shape{16, 8});
  CHECK(find(lstm.state(), "weight_hh_l1_reverse").shape() == Shape{16, 4});
}

TEST_CASE("dropout lies between the layers, in training only") {
  manual_seed(6);
  nn::Gru plain(kInputs, kHidden, {.layers = 2}), dropping(kInputs, kHidden, {.layers = 2, .dropout = 1});
  dropping.load_state(plain.state());
  const Tensor x = nn::normal({kLength, kBatch, kInputs});
  const auto with = dropping(x), without = plain(x);
  CHECK(numbers_of(select(with.h, 0, 0)) == numbers_of(select(without.h, 0, 0)));
  CHECK(numbers_of(with.output) != numbers_of(without.output));
  dropping.eval();
  CHECK(numbers_of(dropping(x).output) == numbers_of(without.output));
}

TEST_CASE("recurrent layers refuse shapes that do not fit, with both shapes") {
  const nn::Lstm lstm(kInputs, kHidden);
  CHECK_THROWS_WITH(lstm(zeros({7, 3, 6})), Contains("[7,3,5]") && Contains("[7,3,6]"));
  CHECK_THROWS_AS(lstm(zeros({3, 5})), UserError);
  CHECK_THROWS_AS(lstm(zeros({0, 3, 5})), UserError);
  CHECK_THROWS_AS(lstm(Tensor()), UserError);
  CHECK_THROWS_AS(lstm(zeros({7, 3, 5}), {zeros({1, 3, 4}), zeros({1, 2, 4})}), UserError);
  CHECK_THROWS_AS(lstm(zeros({7, 3, 5}), {zeros({1, 3, 4}), Tensor()}), UserError);
  const nn::GruCell cell(kInputs, kHidden);
  CHECK_THROWS_AS(cell(zeros({3, 6}), zeros({3, 4})), UserError);
  CHECK_THROWS_AS(cell(zeros({3, 5}), zeros({2, 4})), UserError);
  CHECK_THROWS_AS(nn::LstmCell(0, 4), UserError);
  CHECK_THROWS_AS(nn::Gru(5, 4, {.layers = 0}), UserError);
  CHECK_THROWS_AS(nn::Gru(5, 4, {.dropout = 2}), UserError);
}
