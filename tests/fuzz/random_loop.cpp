// Makes and runs random loops.
#include "tests/fuzz/random_loop.h"

#include <algorithm>

namespace calque::test {

namespace {

using Kind = BodyOp::Kind;
using Tensors = std::vector<Tensor>;
constexpr int kKinds = static_cast<int>(Kind::exchange) + 1;

int64_t batch_of(const RandomLoop& loop) { return loop.habits.is_one_row ? 1 : 2; }
int64_t hidden_of(const RandomLoop& loop) { return loop.habits.is_one_row ? 48 : 5; }

class Maker {
 public:
  explicit Maker(std::mt19937& random) : random_(random) {}

  RandomLoop make() {
    loop_.states = 1 + below(3);
    loop_.sequences = 1 + below(2);
    loop_.weights = 1 + below(2);
    const int ops = 1 + below(12);
    for (int i = 0; i < ops; ++i) loop_.body.push_back(op(loop_.states + loop_.sequences + i));
    const int values = loop_.states + loop_.sequences + ops;
    for (int i = 0; i < loop_.states; ++i) loop_.next.push_back(one_in(5) ? below(values) : late(values));
    for (int i = below(3); i > 0; --i) loop_.stacked.push_back(late(values));
    if (one_in(6)) loop_.listed.push_back(late(values));
    loop_.second_loop = !loop_.stacked.empty() && one_in(4);
    if (!one_in(3)) habits();
    if (one_in(3)) loop_.gradient = static_cast<GradientInside>(1 + below(4));
    // A plan gives second gradients, and those by values that it made, only as long as all that it read is unchanged.
    const bool by_values = loop_.gradient == GradientInside::by_values;
    if (loop_.habits.writes_in_place && by_values) loop_.gradient = GradientInside::by_inputs;
    if (loop_.habits.write != SequenceWrite::none && loop_.gradient != GradientInside::none) loop_.gradient = GradientInside::by_inputs;
    loop_.habits.is_one_row = one_in(3);
    return loop_;
  }

 private:
  int below(int bound) { return static_cast<int>(random_() % static_cast<uint32_t>(bound)); }
  bool one_in(int n) { return below(n) == 0; }
  /// More often a value that was made late.
  int late(int values) { return std::max(below(values), below(values)); }

  BodyOp op(int values) {
    BodyOp op{static_cast<Kind>(below(kKinds)), late(values), late(values), below(loop_.weights), 1};
    if (op.kind == Kind::random && !one_in(4)) op.kind = Kind::mul;
    op.number = 0.25 * (1 + below(5));
    return op;
  }

  void habits() {
    HostHabits& habits = loop_.habits;
    for (int count = 1 + below(2); count > 0; --count) switch (below(26)) {
        case 0: habits.reverse = true; break;
        case 1: habits.steps_are_tensors = true; break;
        case 2: habits.number_changes = true; break;
        case 3: habits.first_differs = true; break;
        case 4: habits.last_differs = true; break;
        case 5: habits.tosses_coin = true; break;
        case 6: habits.reads = true; break;
        case 7: habits.ends_by_data = true; break;
        case 8: habits.writes_in_place = true; break;
        case 9: habits.keeps_one = true; break;
        case 10: habits.without_gradients = true; break;
        case 11: habits.most_steps = 2 + below(6); break;
        case 12: habits.inner_steps = 2 + below(4); break;
        case 13: habits.both_ways = true; break;
        case 14: habits.counts = true; break;
        case 15: habits.shares_start = true; break;
        case 16:
          habits.write = static_cast<SequenceWrite>(1 + below(3));
          habits.writes_argument = one_in(2);
          break;
        case 17:
        case 18:
        case 19: habits.outside_steps = static_cast<OutsideSteps>(1 + below(5)); [[fallthrough]];
        case 20:
          habits.listed_held = one_in(2) ? ListedHeld::all : static_cast<ListedHeld>(1 + below(3));
          if (loop_.listed.empty()) loop_.listed.push_back(below(loop_.states + loop_.sequences + static_cast<int>(loop_.body.size())));
          break;
        case 21: habits.reads_first = true; break;
        case 22: habits.goes_on = 1 + below(8); break;
        case 23:
        case 24: habits.maps = 1 + below(5); break;
        default:
          if (one_in(2)) habits.back = 2 + below(4);
          else habits.stride = 2 + below(2);
      }
  }

  std::mt19937& random_;
  RandomLoop loop_;
};

/// Keeps values small, so that a long loop stays finite.
Tensor bounded(const Tensor& value) { return clamp(value, -3.0, 3.0); }

Tensor apply(const BodyOp& op, const Tensors& values, const Tensors& weights) {
  const Tensor &a = values[static_cast<size_t>(op.a)], &b = values[static_cast<size_t>(op.b)];
  switch (op.kind) {
    case Kind::add: return bounded(a + b);
    case Kind::sub: return bounded(a - b);
    case Kind::mul: return a * b * 0.3;
    case Kind::tanh: return tanh(a);
    case Kind::sigmoid: return sigmoid(a);
    case Kind::maximum: return maximum(a, b);
    case Kind::scale: return a * op.number;
    case Kind::matmul: return bounded(matmul(a, weights[static_cast<size_t>(op.weight)]));
    case Kind::row_sum: return bounded(a - sum(b, {-1}, true) * 0.1);
    case Kind::layer_norm: return layer_norm(a) * 0.5;
    case Kind::select_larger: return where(a > b, a * 0.5, b);
    case Kind::random: return a + (rand(a.shape(), a.dtype()) - 0.5) * op.number;
    case Kind::exchange: {  // columns come from elsewhere
      const int64_t width = a.size(1), part = 1 + static_cast<int64_t>(op.number * 100) % (width - 1);
      return concat({slice(a, 1, part, width), slice(b, 1, 0, part)}, 1);
    }
  }
  return a;
}

class Runner {
 public:
  Runner(const RandomLoop& loop, const LoopInputs& inputs, HostState& host)
      : loop_(loop), habits_(loop.habits), inputs_(inputs), host_(host) {}

  Tensors run() {
    sequences_ = inputs_.sequences;
    if (habits_.write != SequenceWrite::none && !habits_.writes_argument) sequences_[0] = sequences_[0] * 1.0;
    begin();
    run_once();
    if (habits_.both_ways) {
      results_.insert(results_.end(), states_.begin(), states_.end());
      is_reverse_ = !is_reverse_;
      begin();
      run_once();
    }
    if (loop_.second_loop && !results_.empty() && results_[0].size(0) > 0) {
      sequences_[0] = results_[0];
      run_once();
    }
    results_.insert(results_.end(), states_.begin(), states_.end());
    if (loop_.gradient != GradientInside::none && loop_.gradient != GradientInside::each_step) take_gradient();
    return results_;
  }

 private:
  void begin() {
    states_ = inputs_.states;
    if (habits_.outside_steps == OutsideSteps::first_state && !inputs_.steps.empty()) states_[0] = inputs_.steps[0];
    if (habits_.writes_in_place) states_[0] = states_[0] * 1.0;
    if (habits_.shares_start) states_.back() = states_[0];
  }

  void run_once() {
    const int64_t steps = sequences_[0].size(0);
    if (habits_.steps_are_tensors && steps > 0) steps_ = split(sequences_[0], steps, 0);
    std::vector<Tensors> stacks(loop_.stacked.size());
    Tensors listed;
    std::vector<Tensor> history(static_cast<size_t>(habits_.back), states_[0]);
    if (habits_.reads_first && sum(states_[0]).item() > 1e9) states_[0] = states_[0] * 0.5;
    const int64_t regular = (std::min<int64_t>(steps, habits_.most_steps) + habits_.stride - 1) / habits_.stride;
    for (int64_t done = 0; done < (regular > 0 ? regular + habits_.goes_on : 0); ++done) {
      const int64_t i = std::min(done, regular - 1) * habits_.stride;
      const int64_t step = is_reverse_ ? steps - 1 - i : i;
      const Tensors values = body(step, done, i + habits_.stride >= steps, history[static_cast<size_t>(done % habits_.back)]);
      if (habits_.write == SequenceWrite::over_step) sequences_[0][step].assign_(values.back());
      const int64_t next = is_reverse_ ? step - 1 : step + 1;
      if (habits_.write == SequenceWrite::next_step && next >= 0 && next < steps) sequences_[0][next].add_(values.back() * 0.25);
      if (habits_.ends_by_data && sum(abs(values.back())).item() > 12) break;
      for (size_t k = 0; k < stacks.size(); ++k) stacks[k].push_back(values[static_cast<size_t>(loop_.stacked[k])]);
      for (int value : loop_.listed) listed.push_back(values[static_cast<size_t>(value)]);
      if (habits_.keeps_one && done == 1 + host_.call % 3) listed.push_back(values.back());
      for (size_t k = 0; k < states_.size(); ++k) states_[k] = values[static_cast<size_t>(loop_.next[k])];
      if (loop_.gradient == GradientInside::by_values && done == 2) on_the_way_.push_back(values.back());
      if (loop_.gradient == GradientInside::each_step) descend(values);
      history[static_cast<size_t>(done % habits_.back)] = states_[0];
    }
    if (loop_.gradient == GradientInside::by_values) on_the_way_.push_back(states_.back());
    for (const Tensors& stack_of : stacks)
      if (!stack_of.empty()) results_.push_back(stack(stack_of));
    if (habits_.maps > 0 && !stacks.empty() && stacks[0].size() > 1) results_.push_back(stack(mapped(stacks[0])));
    for (size_t i = 0; i < listed.size(); ++i) {
      if (habits_.listed_held == ListedHeld::last && i + 1 < listed.size()) continue;
      if (habits_.listed_held == ListedHeld::all_but_thirds && i % 3 == 1) continue;
      results_.push_back(habits_.listed_held == ListedHeld::views ? unsqueeze(listed[i], {0}) : listed[i]);
    }
  }

  /// No value waits for another.
  Tensors mapped(const Tensors& values) const {
    Tensors made;
    for (size_t i = 0; i < values.size(); ++i) {
      const Tensor &value = values[i], &mirrored = values[values.size() - 1 - i];
      switch (habits_.maps) {
        case 1: made.push_back(mean(square(value))); break;
        case 2: made.push_back(bounded(matmul(value, inputs_.weights[0])) * value); break;
        case 3: made.push_back(softmax(value, 1) - tanh(mirrored)); break;
        case 4: made.push_back(tanh(i > 0 ? value - values[i - 1] : value)); break;
        default: made.push_back(concat({flip(value, {1}), mirrored}, 1) * sum(inputs_.weights[0])); break;
      }
    }
    return made;
  }

  static Tensor squares_of(const Tensors& tensors) {
    Tensor total = full({}, 0.0, DType::f64);
    for (const Tensor& tensor : tensors)
      if (tensor.requires_grad()) total = total + sum(tensor * tensor);
    return total;
  }
  /// By the state that the step began with, which is that of all steps before.
  void descend(const Tensors& values) {
    const Tensor loss = squares_of({values.back()});
    if (!loss.requires_grad() || !values[0].requires_grad()) return;
    states_[0] = states_[0] - bounded(grad({loss}, {values[0]})[0]) * 0.1;
  }
  void take_gradient() {
    const Tensor loss = squares_of(results_);
    if (!loss.requires_grad()) return;
    Tensors by;
    const bool is_by_steps = habits_.outside_steps == OutsideSteps::mixed;
    for (const Tensors& all : {inputs_.sequences, inputs_.states, inputs_.weights, is_by_steps ? inputs_.steps : Tensors(), on_the_way_})
      for (const Tensor& tensor : all)
        if (tensor.requires_grad()) by.push_back(tensor);
    const bool is_twice = loop_.gradient == GradientInside::twice;
    const Tensors first = grad(loss, by, {.create_graph = is_twice});
    results_.insert(results_.end(), first.begin(), first.end());
    const Tensor slope = squares_of(first) + loss;
    if (!is_twice) return;
    const Tensors second = grad(slope, by);
    results_.insert(results_.end(), second.begin(), second.end());
  }

  Tensor step_of(size_t sequence, int64_t step) const {
    const auto last_from = [step](const Tensors& steps) { return steps[std::min(static_cast<size_t>(step), steps.size() - 1)]; };
    if (sequence == 0 && habits_.outside_steps != OutsideSteps::none && !inputs_.steps.empty()) return last_from(inputs_.steps);
    if (sequence == 0 && habits_.steps_are_tensors) return squeeze(steps_[static_cast<size_t>(step)], {0});
    return sequences_[sequence][std::min(step, sequences_[sequence].size(0) - 1)];
  }

  /// All values of one step.
  Tensors body(int64_t step, int64_t done, bool is_last, const Tensor& first_state) {
    Tensors values = states_;
    values[0] = habits_.back > 1 ? first_state : states_[0];
    if (habits_.writes_in_place) values[0].mul_(0.75);
    for (int i = 0; i < habits_.inner_steps; ++i) values[0] = tanh(values[0] * 0.9) + states_.back() * 0.1;
    if (habits_.first_differs && done == 0) values[0] = values[0] * 2.0;
    if (habits_.last_differs && is_last) values[0] = sigmoid(values[0]);
    if (habits_.number_changes) values[0] = values[0] * (1.0 / static_cast<double>(done + 1));
    if (habits_.tosses_coin && (done * 7 + host_.call * 5) % 3 == 0) values[0] = values[0] - 0.25;
    if (habits_.counts && ++host_.counter % 5 == 0) values[0] = values[0] + 0.125;
    if (habits_.reads && done % 3 == 1 && sum(values[0]).item() > 0) values[0] = values[0] * 0.5;
    if (habits_.write == SequenceWrite::own_step) sequences_[0][step].mul_(0.5);
    for (size_t k = 0; k < sequences_.size(); ++k) values.push_back(step_of(k, step));
    for (size_t k = 0; k < loop_.body.size(); ++k) {
      if (habits_.without_gradients && k == loop_.body.size() / 2) {
        const NoGradGuard no_grad;
        values.push_back(apply(loop_.body[k], values, inputs_.weights));
      } else {
        values.push_back(apply(loop_.body[k], values, inputs_.weights));
      }
    }
    return values;
  }

  const RandomLoop& loop_;
  const HostHabits& habits_;
  const LoopInputs& inputs_;
  HostState& host_;
  bool is_reverse_ = habits_.reverse;
  Tensors states_, sequences_, steps_, results_, on_the_way_;
};

Tensor filled(const Shape& shape, double start, bool with_gradients, double noise, double scale = 1) {
  std::vector<double> values(static_cast<size_t>(shape.element_count()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = scale * (0.11 * static_cast<double>((i * 5 + 3) % 17) - 0.8 + start) * (1 + noise * static_cast<double>(i % 7));
  Tensor tensor = from_vector(values, shape);
  if (with_gradients) tensor.set_requires_grad();
  return tensor;
}

void add_steps(LoopInputs& inputs, const RandomLoop& loop, int64_t steps, int call, bool with_gradients, double noise) {
  const OutsideSteps kind = loop.habits.outside_steps;
  const int64_t batch = batch_of(loop), hidden = hidden_of(loop);
  if (kind == OutsideSteps::none) return;
  for (int64_t step = 0; step < steps; ++step) {
    const bool asks = with_gradients && !(kind == OutsideSteps::mixed && step % 4 == 1);
    const bool lies_transposed = kind == OutsideSteps::transposed;
    const Shape shape = lies_transposed ? Shape{hidden, batch} : Shape{batch, hidden};
    const Tensor made = filled(shape, 0.02 * static_cast<double>(step) + 0.01 * call, asks, noise);
    if (kind == OutsideSteps::repeated && step % 5 == 3) inputs.steps.push_back(inputs.steps.back());
    else inputs.steps.push_back(lies_transposed ? permute(made, {1, 0}) : made);
    inputs.step_leaves.push_back(made);
  }
}

}  // namespace

RandomLoop random_loop(std::mt19937& random) { return Maker(random).make(); }

bool carries_alias(const RandomLoop& loop) {
  std::vector<int> next = loop.next;
  std::ranges::sort(next);
  const auto is_of_another = [&](size_t state) { return loop.next[state] < loop.states && loop.next[state] != static_cast<int>(state); };
  for (size_t state = 0; state < loop.next.size(); ++state)
    if (is_of_another(state)) return true;
  return std::ranges::adjacent_find(next) != next.end();
}

LoopInputs loop_inputs(const RandomLoop& loop, int64_t steps, int call, bool with_gradients, double noise) {
  const int64_t batch = batch_of(loop), hidden = hidden_of(loop);
  LoopInputs inputs;
  for (int i = 0; i < loop.sequences; ++i)
    inputs.sequences.push_back(filled({steps, batch, hidden}, 0.07 * i + 0.01 * call,
                                      with_gradients && !(i == 0 && loop.habits.writes_argument), noise));  // no leaf is written
  for (int i = 0; i < loop.states; ++i)
    inputs.states.push_back(filled({batch, hidden}, 0.2 - 0.1 * i + 0.02 * call, with_gradients, noise));
  for (int i = 0; i < loop.weights; ++i)
    inputs.weights.push_back(filled({hidden, hidden}, 0.05 * i - 0.03 * call, with_gradients, noise, 5.0 / static_cast<double>(hidden)));
  add_steps(inputs, loop, steps, call, with_gradients, noise);
  return inputs;
}

Tensors run_loop(const RandomLoop& loop, const LoopInputs& inputs, HostState& host) { return Runner(loop, inputs, host).run(); }

}  // namespace calque::test
