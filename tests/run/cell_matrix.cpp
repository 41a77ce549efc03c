// The models.
#include "tests/run/cell_matrix.h"

#include <algorithm>
#include <cmath>

namespace calque::cell_matrix {

using cells::Cell, cells::find_cell, cells::gallery, cells::over_sequence, cells::Sequence, cells::Step;

namespace {

Tensors joined(Tensors all, const Tensors& rest) {
  all.insert(all.end(), rest.begin(), rest.end());
  return all;
}

/// The first or the second half of what belongs to two LSTMs.
Tensors half(const Tensors& of_both, int which) {
  const auto middle = of_both.begin() + static_cast<std::ptrdiff_t>(of_both.size() / 2);
  return which == 0 ? Tensors(of_both.begin(), middle) : Tensors(middle, of_both.end());
}

}  // namespace

Model model_of(const Cell& cell) {
  return {cell.name, [&cell] { return cell.make_weights(kInputs, kHidden); }, cell.make_state,
          [&cell](const Tensor& xs, const Tensors& state, const Tensors& weights) {
            const Sequence result = over_sequence(cell.step, xs, state, weights);
            return joined({result.outputs}, result.state);
          },
          cell.name == "adaptive_rnn"};
}

Model stacked_lstm() {
  const Cell& cell = find_cell("lstm");
  return {"stacked lstm",
          [&cell] { return joined(cell.make_weights(kInputs, kHidden), cell.make_weights(kHidden, kHidden)); },
          [&cell](const Tensors& weights, int64_t batch) {
            return joined(cell.make_state(half(weights, 0), batch), cell.make_state(half(weights, 1), batch));
          },
          [&cell](const Tensor& xs, const Tensors& state, const Tensors& weights) {
            const auto body = [&](const Tensors& before, const Tensor& x) {
              const Step<Tensors> first = cell.step(x, half(before, 0), half(weights, 0));
              const Step<Tensors> second = cell.step(first.output, half(before, 1), half(weights, 1));
              return std::pair(joined(first.state, second.state), second.output);
            };
            const auto [last, outputs] = scan(body, state, xs);
            return joined({outputs}, last);
          }};
}

Model bidirectional_lstm() {
  const Cell& cell = find_cell("lstm");
  return {"bidirectional lstm",
          [&cell] { return joined(cell.make_weights(kInputs, kHidden), cell.make_weights(kInputs, kHidden)); },
          [&cell](const Tensors& weights, int64_t batch) {
            return joined(cell.make_state(half(weights, 0), batch), cell.make_state(half(weights, 1), batch));
          },
          [&cell](const Tensor& xs, const Tensors& state, const Tensors& weights) {
            const auto way = [&](int which, ScanDirection direction) {
              return scan(
                  [&](const Tensors& before, const Tensor& x) {
                    const Step<Tensors> next = cell.step(x, before, half(weights, which));
                    return std::pair(next.state, next.output);
                  },
                  half(state, which), xs, direction);
            };
            const auto [last, there] = way(0, ScanDirection::forward);
            const auto [first, back] = way(1, ScanDirection::reverse);
            return joined({concat({there, back}, -1)}, joined(last, first));
          },
          false};
}

std::vector<Model> models() {
  std::vector<Model> all;
  for (const Cell& cell : gallery()) all.push_back(model_of(cell));
  all.push_back(stacked_lstm());
  all.push_back(bidirectional_lstm());
  return all;
}

std::vector<Model> standard_models() {
  return {model_of(find_cell("lstm")), model_of(find_cell("layernorm_lstm")), model_of(find_cell("gru"))};
}

Workload::Workload(const Model& model, int64_t steps, int64_t batch, Wants wants) {
  manual_seed(static_cast<uint64_t>(7 + steps));
  weights = model.make_weights();
  state = model.make_state(weights, batch);
  for (size_t i = 0; i < state.size(); ++i)
    if (state[i].rank() == 2) state[i] = state[i] + numbers(state[i].shape(), 0.03 * static_cast<double>(i), 0.01);
  xs = nn::normal({steps, batch, kInputs});
  if (wants == Wants::nothing) return;
  for (Tensor& tensor : weights) tensor.set_requires_grad();
  for (Tensor& tensor : state) tensor.set_requires_grad();
  xs.set_requires_grad();
}

Tensors Workload::leaves() const { return joined(joined(weights, state), {xs}); }

Tensors gradients_of(const Tensors& results, const Tensors& leaves) {
  Tensors outputs, seeds;
  for (const Tensor& result : results) {
    if (!result.requires_grad()) continue;
    outputs.push_back(result);
    seeds.push_back(result_weights(result));
  }
  return grad(std::span<const Tensor>(outputs), std::span<const Tensor>(leaves), {.output_gradients = seeds});
}

void check_near(const Tensors& ours, const Tensors& expected, double bound) {
  REQUIRE(ours.size() == expected.size());
  for (size_t i = 0; i < ours.size(); ++i) {
    INFO("tensor " << i);
    REQUIRE(ours[i].shape() == expected[i].shape());
    const std::vector<float> a = ours[i].to_vector<float>(), b = expected[i].to_vector<float>();
    double largest = 1e-6, difference = 0;
    for (size_t k = 0; k < a.size(); ++k) {
      largest = std::max(largest, std::abs(double{b[k]}));
      difference = std::max(difference, std::abs(double{a[k]} - double{b[k]}));
    }
    CHECK(difference <= bound * largest);
  }
}

}  // namespace calque::cell_matrix
