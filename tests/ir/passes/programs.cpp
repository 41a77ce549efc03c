// Builds the programs with the same functions of values that gradient rules are written in.
#include "tests/ir/passes/programs.h"

#include <utility>
#include <vector>

#include "ir/op/error.h"

namespace calque::test {

namespace {

/// A graph being written: inputs first, then functions of values.
class Program {
 public:
  Program(std::string name, DType dtype) : graph_(std::move(name)), emitter_(graph_), dtype_(dtype) {}
  Value input(const Shape& shape, std::string name) {
    return emitter_.value(graph_.add_input({dtype_, shape}, std::move(name)));
  }
  Value index_input(const Shape& shape, std::string name) {
    return emitter_.value(graph_.add_input({DType::i64, shape}, std::move(name)));
  }
  Graph finish(std::initializer_list<Value> outputs) {
    std::vector<ValueId> ids;
    for (const Value& output : outputs) ids.push_back(output.id);
    graph_.set_outputs(std::move(ids));
    return std::move(graph_);
  }

 private:
  Graph graph_;
  GraphEmitter emitter_;
  DType dtype_;
};

struct State {
  Value h, c;
};

State lstm_step(const Value& gates, const Value& c) {
  const std::vector<Value> parts = split(gates, 4, 1);
  const Value next = sigmoid(parts[1]) * c + sigmoid(parts[0]) * tanh(parts[2]);
  return {sigmoid(parts[3]) * tanh(next), next};
}

struct LstmInputs {
  Value x, h, c, wx, wh, b;
  LstmInputs(Program& p, int64_t rows, int64_t input, int64_t hidden)
      : x(p.input({rows, input}, "x")),
        h(p.input({rows, hidden}, "h")),
        c(p.input({rows, hidden}, "c")),
        wx(p.input({input, 4 * hidden}, "wx")),
        wh(p.input({hidden, 4 * hidden}, "wh")),
        b(p.input({4 * hidden}, "b")) {}
};

}  // namespace

Graph layer_norm_lstm(DType dtype, int64_t rows, int64_t input, int64_t hidden) {
  Program p("cell", dtype);
  const LstmInputs in(p, rows, input, hidden);
  const State next = lstm_step(layer_norm(matmul(in.x, in.wx) + matmul(in.h, in.wh) + in.b), in.c);
  return p.finish({next.h, next.c});
}

Graph lstm(DType dtype, int64_t rows, int64_t input, int64_t hidden) {
  Program p("lstm", dtype);
  const LstmInputs in(p, rows, input, hidden);
  const State next = lstm_step(matmul(in.x, in.wx) + matmul(in.h, in.wh) + in.b, in.c);
  return p.finish({next.h, next.c});
}

Graph unrolled_lstm(DType dtype, int64_t steps, int64_t rows, int64_t input, int64_t hidden) {
  Program p("unrolled", dtype);
  const LstmInputs in(p, steps * rows, input, hidden);
  State state{slice(in.h, 0, 0, rows), slice(in.c, 0, 0, rows)};
  for (int64_t step = 0; step < steps; ++step) {
    const Value x = slice(in.x, 0, step * rows, (step + 1) * rows);
    state = lstm_step(matmul(x, in.wx) + matmul(state.h, in.wh) + in.b, state.c);
  }
  return p.finish({state.h});
}

Graph gru(DType dtype, int64_t rows, int64_t input, int64_t hidden) {
  Program p("gru", dtype);
  const Value x = p.input({rows, input}, "x"), h = p.input({rows, hidden}, "h"),
              wx = p.input({input, 3 * hidden}, "wx"), wh = p.input({hidden, 3 * hidden}, "wh"),
              bx = p.input({3 * hidden}, "bx"), bh = p.input({3 * hidden}, "bh");
  const std::vector<Value> xs = split(matmul(x, wx) + bx, 3, 1), hs = split(matmul(h, wh) + bh, 3, 1);
  const Value r = sigmoid(xs[0] + hs[0]), z = sigmoid(xs[1] + hs[1]), n = tanh(xs[2] + r * hs[2]);
  return p.finish({(1.0 - z) * n + z * h});
}

Graph mlp_layer(DType dtype, int64_t rows, int64_t input, int64_t hidden) {
  Program p("layer", dtype);
  const Value x = p.input({rows, input}, "x"), w = p.input({input, hidden}, "w"), b = p.input({hidden}, "b");
  return p.finish({relu(matmul(x, w) + b)});
}

Graph classifier(DType dtype, int64_t rows, int64_t input, int64_t classes) {
  Program p("classifier", dtype);
  const Value x = p.input({rows, input}, "x"), w = p.input({input, classes}, "w"),
              b = p.input({classes}, "b"), targets = p.index_input({rows}, "targets");
  return p.finish({cross_entropy(matmul(x, w) + b, targets)});
}

namespace {

/// Picks ops at random until enough of them fit; what does not fit throws UserError and is forgotten.
class RandomProgram {
 public:
  RandomProgram(std::mt19937& random, int nodes) : random_(random), graph_("random"), emitter_(graph_) {
    const Shape shapes[] = {{4, 6}, {4, 1}, {6}, {}, {1, 6}, {2, 4, 6}, {2, 1, 6}, {6, 4}, {4, 4}, {3}};
    const int inputs = 2 + pick(4);
    for (int i = 0; i < inputs; ++i)
      add_value(emitter_.value(
          graph_.add_input({i == 3 ? DType::i32 : DType::f32, shapes[pick(std::size(shapes))]})));
    while (static_cast<int>(graph_.nodes().size()) < nodes) {
      try {
        add_node();
      } catch (const UserError&) {
        // the shapes do not fit this op: another is picked
      }
    }
    std::vector<ValueId> outputs;
    const int count = 1 + pick(4);
    for (int i = 0; i < count; ++i) outputs.push_back(any().id);
    graph_.set_outputs(std::move(outputs));
  }
  Graph take() { return std::move(graph_); }

 private:
  int pick(size_t count) { return static_cast<int>(random_() % count); }
  void add_value(const Value& value) { values_.push_back(value); }
  /// Later values more often, so that programs grow deep.
  Value any() {
    const size_t recent = std::min<size_t>(values_.size(), 6);
    return random_() % 2 ? values_[pick(values_.size())] : values_[values_.size() - 1 - pick(recent)];
  }
  int axis(const Value& x) { return type_of(x).shape.rank() == 0 ? 0 : pick(type_of(x).shape.rank()); }

  void add_node() {
    const Value x = any(), y = any();
    switch (pick(12)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return add_elementwise(x, y);
      case 4:
        return add_value(pick(2) ? sum(x, {axis(x)}, pick(2)) : max(x, {axis(x)}, pick(2)));
      case 5:
        return add_value(pick(4) ? sum(x, {}, pick(2)) : mean(x, {axis(x)}, pick(2)));
      case 6:
        return add_view(x);
      case 7:
        return add_value(matmul(x, y));
      case 8:
        return add_value(concat(std::vector<Value>{x, y, x}, axis(x)));
      case 9:
        return add_value(pad(x, axis(x), pick(3), pick(3)));
      case 10:
        return add_value(pick(2) ? layer_norm(x) : softmax(x));
      default:
        return add_value(scalar(pick(3) - 1.0, x));
    }
  }

  void add_elementwise(const Value& x, const Value& y) {
    const Op op = static_cast<Op>(pick(static_cast<int>(Op::where) + 1));
    if (op == Op::where) return add_value(where(less(x, y), x, y));
    const Value both[] = {x, y};
    add_value(emitter_.emit(op, std::span(both).first(row(op).inputs), {})[0]);
  }

  void add_view(const Value& x) {
    const Shape shape = type_of(x).shape;
    switch (pick(7)) {
      case 0:
        return add_value(reshape(x, Shape{shape.element_count()}));
      case 1:
        return add_value(permute(x, {1, 0}));
      case 2:
        return add_value(expand(x, {2, 4, 6}));
      case 3:
        return add_value(expand(x, {4, 6}));
      case 4:
        return add_value(slice(x, axis(x), 1, 3));
      case 5: {
        for (const Value& part : split(x, 2, axis(x))) add_value(part);
        return;
      }
      default:
        return add_value(detach(x));
    }
  }

  std::mt19937& random_;
  Graph graph_;
  GraphEmitter emitter_;
  std::vector<Value> values_;
};

}  // namespace

Graph random_program(std::mt19937& random, int nodes) { return RandomProgram(random, nodes).take(); }

}  // namespace calque::test
