// Each is one function, whose loop is one line.
#include "tests/run/unrolled_programs.h"

#include <optional>

#include "calque/calque.h"
#include "tests/run/match_harness.h"

namespace calque {

namespace {

template <class Body>
std::function<std::string()> after_calls(Body body, Tensors in, int calls = 3) {
  return [=] {
    auto compiled = compile(body);
    for (int call = 0; call < calls; ++call) compiled(in);
    return compiled.explain();
  };
}

Tensors two() { return {numbers({8, 4, 9}), numbers({4, 9})}; }

Tensors many(int count) {
  Tensors all;
  for (int i = 0; i < count; ++i) all.push_back(numbers({4, 9}, -1.0 + 0.01 * i));
  return all;
}

Tensors both(const Tensor& a, const Tensor& b) { return {a, b}; }

Tensors steps_and_a_row() {
  Tensors all = many(8);
  all.push_back(numbers({1, 9}));
  all.push_back(numbers({4, 9}));
  return all;
}

/// Some of them ask for gradients, in no order.
Tensors leaves_and_others() {
  Tensors all;
  for (int i = 0; i < 9; ++i) all.push_back(i % 3 == 0 || i == 4 ? leaf({4, 9}) : numbers({4, 9}));
  return all;
}

}  // namespace

const std::vector<UnrolledProgram>& unrolled_programs() {
  static const std::vector<UnrolledProgram> programs{
      {"a number squared", __LINE__ + 5,
       "no loop of the way: 8 times 4 ops from full at @: an attribute changes from step to step [step-attribute], full at @; the plan has one",
       after_calls(
           [](const Tensors& x) -> Tensors {
             Tensor y = x[1];
             for (int t = 0; t < 8; ++t) y = tanh(y * (0.5 * t * t)) + x[1];
             return {y};
           },
           two())},
      {"an index in no order", __LINE__ + 5,
       "no loop of the way: 8 times 5 ops from slice at @: an attribute changes from step to step [step-attribute], slice at @; the plan has one",
       after_calls(
           [](const Tensors& x) -> Tensors {
             Tensor y = x[1];
             for (int t = 0; t < 8; ++t) y = tanh(y * x[0][t * t % 7]) + x[1];
             return {y};
           },
           two())},
      {"operands from here and there", __LINE__ + 5,
       "no loop of the way: 8 times 3 ops from mul at @: an operand comes from elsewhere [step-operand], add at @; the plan has one",
       after_calls(
           [](const Tensors& x) -> Tensors {
             Tensors y{x[1]};
             for (size_t t = 0; t < 8; ++t) y.push_back(tanh(y.back() * x[1]) + y[t * t % 7 % (t + 1)]);
             return {y.back()};
           },
           two())},
      {"more operands each time", __LINE__ + 5,
       "no loop of the way: 8 times 4 ops from concat at @: the number of operands differs [step-operand-count], concat at @",
       after_calls(
           [](const Tensors& x) -> Tensors {
             Tensors y{x[1]};
             for (int t = 0; t < 8; ++t) y.push_back(tanh(sum(concat(y, 0)) * x[1]));
             return {y.back()};
           },
           two())},
      {"sizes that grow", __LINE__ + 5,
       "no loop of the way: 8 times 4 ops from concat at @: sizes differ from step to step [step-shape], concat at @",
       after_calls(
           [](const Tensors& x) -> Tensors {
             Tensor y = x[1];
             for (int t = 0; t < 8; ++t) y = tanh(concat(both(y, x[1]), 0)) * 0.5;
             return {y};
           },
           two())},
      {"three steps, the first from before", __LINE__ + 5,
       "no loop of the way: 3 times 5 ops from slice at @: fewer than three steps are alike [few-steps]; the plan has one",
       after_calls(
           [](const Tensors& x) -> Tensors {
             Tensor y = exp(x[1]) + x[1];
             for (int t = 0; t < 3; ++t) y = tanh(y * x[0][t]) + x[1];
             return {y};
           },
           two())},
      {"another step of another size behind the loop", __LINE__ + 5,
       "no loop of the way: 8 times 3 ops from mul at @: what follows begins like another step [loop-tail]; the plan has one",
       after_calls(
           [](const Tensors& x) -> Tensors {
             Tensor y = x[9];
             for (size_t t = 0; t < 8; ++t) y = tanh(y * x[t]) + x[9];
             return {sum(y * x[8])};
           },
           steps_and_a_row())},
      {"slots of two kinds", __LINE__ + 5,
       "no loop of the way: 8 times 3 ops from mul at @: a tensor from outside is of another kind [step-slot], mul at @; the plan has one",
       after_calls(
           [](const Tensors& x) -> Tensors {
             Tensor y = x[8];
             for (size_t t = 0; t < 8; ++t) y = tanh(y * x[t]) + x[8];
             return {y};
           },
           leaves_and_others())},
      {"gradients now and then", __LINE__ + 6,
       "no loop of the way: 8 times 3 ops from mul at @: gradients are recorded in some steps only [step-history], mul at @",
       after_calls(
           [](const Tensors& x) -> Tensors {
             Tensor y = x[1];
             const auto no_grad = [](bool off) { return off ? std::make_optional<NoGradGuard>() : std::nullopt; };
             for (int t = 0; t < 8; ++t) if (const auto guard = no_grad(t * t % 3 == 1); true) y = tanh(y * x[0]) + x[0];
             return {y};
           },
           {leaf({4, 9}), leaf({4, 9})})},
      {"a number from call to call", __LINE__ + 6,
       "no loop of the way: 8 times 4 ops from full at @: a number that changes [number], full at @; the plan has one",
       after_calls(
           [](const Tensors& x) -> Tensors {
             static double number = 0;
             Tensor y = x[1];
             for (int t = 0; t < 8; ++t) y = tanh(y * (number += 0.1 + 0.01 * t * t)) + x[1];
             return {y};
           },
           two(), 12)},
      {"a stack of layers", __LINE__ + 5,
       "no loop of the plan: 4 times 3 ops from matmul at @: another weight in each step [step-weight], matmul at @",
       after_calls(
           [](const Tensors& x) -> Tensors {
             Tensor y = x[4];
             for (size_t t = 0; t < 4; ++t) y = tanh(matmul(y, x[t]) + x[4]);
             return {y};
           },
           {numbers({9, 9}), numbers({9, 9}), numbers({9, 9}), numbers({9, 9}), numbers({4, 9})})},
      {"two ops", __LINE__ + 5,
       "no loop of the plan: 4 times 2 ops from tanh at @: fewer than three ops in a step [few-ops]",
       after_calls(
           [](const Tensors& x) -> Tensors {
             Tensor y = x[1];
             for (int t = 0; t < 4; ++t) y = tanh(y) * x[1];
             return {y};
           },
           two())},
      {"nothing handed on", __LINE__ + 5,
       "no loop of the plan: 4 times 3 ops from mul at @: no step reads what the one before made [independent-steps]",
       after_calls(
           [](const Tensors& x) -> Tensors {
             Tensors y;
             for (size_t t = 0; t < 4; ++t) y.push_back(x[t] * x[4]), y.push_back(tanh(x[t])), y.push_back(x[t] + x[4]);
             return y;
           },
           {numbers({4, 9}), numbers({4, 9}), numbers({4, 9}), numbers({4, 9}), numbers({4, 9})})},
      {"many tensors, each by itself", __LINE__ + 5,
       "no loop of the plan: 8 times 3 ops from mul at @: no step reads what the one before made [independent-steps]",
       after_calls(
           [](const Tensors& x) -> Tensors {
             Tensors y;
             for (const Tensor& each : x) y.push_back(tanh(each * x[0]) + each);
             return y;
           },
           many(8))},
      {"all axes taken", __LINE__ + 5,
       "no loop of the plan: 4 times 3 ops from mul at @: no axis is left for the steps [step-rank], mul at @",
       after_calls(
           [](const Tensors& x) -> Tensors {
             Tensor y = x[1];
             for (int t = 0; t < 4; ++t) y = tanh(y * x[0]) + x[0];
             return {y};
           },
           {numbers({1, 2, 1, 2, 1, 2}), numbers({1, 2, 1, 2, 1, 2})})},
      {"online learning", __LINE__ + 5,
       "no loop of the plan: 4 times 11 ops from slice at @: a gradient is taken in each step [step-gradient], grad at @",
       after_calls(
           [](const Tensors& x) -> Tensors {
             Tensor w = x[1] * 2.0;
             for (int t = 0; t < 4; ++t) w = w - grad({sum(tanh(w * x[0][t]))}, {w})[0] * 0.1;
             return {w};
           },
           {numbers({8, 4, 9}), leaf({4, 9})})},
      {"fourteen loops", __LINE__ + 6,
       "no loop of the way: 19 times 3 ops from mul at @: more loops than are kept [most-loops]; the plan has one",
       after_calls(
           [](const Tensors& x) -> Tensors {
             Tensor y = x[1];
             for (int i = 0; i < 14; ++i, y = exp(-y))
               for (int t = 0; t < 3 + i % 5 + i; ++t) y = tanh(y * x[1]) + x[1];
             return {y};
           },
           two())},
      {"two steps, then two more", __LINE__ + 5,
       "no loop of the way: 4 times 3 ops from mul at @: its steps were recorded in several calls [recorded-in-parts]; the plan has one",
       [] {
         auto compiled = compile([](const Tensor& x, int steps) {
           Tensor y = x;
           for (int t = 0; t < steps; ++t) y = tanh(y * x) + x;
           return exp(y);
         });
         for (int steps : {2, 2, 4, 4}) compiled(numbers({4, 9}), steps);
         return compiled.explain();
       }},
  };
  return programs;
}

}  // namespace calque
