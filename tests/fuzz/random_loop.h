// Random loops over time: a body made of ops, what it carries, and what the host does around it.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "calque/calque.h"

namespace calque::test {

/// One op of a body. Operands are numbers of values: states, then the steps of the sequences, then what ops before it made.
struct BodyOp {
  enum class Kind : uint8_t { add, sub, mul, tanh, sigmoid, maximum, scale, matmul, row_sum, layer_norm, select_larger, random, exchange };
  Kind kind;
  int a = 0, b = 0, weight = 0;
  double number = 1;
};

/// What each step writes into the first sequence.
enum class SequenceWrite : uint8_t {
  none,
  own_step,     // its own step, before reading it
  over_step,    // what it made, over its own step
  next_step,    // what it made is added to the next step: a state that is carried through memory
};

/// Steps in place of those of the first sequence that are tensors of their own, made outside of the function.
enum class OutsideSteps : uint8_t {
  none,
  plain,
  repeated,     // some are the tensor of the step before
  mixed,        // not all ask for a gradient
  transposed,   // how they lie in memory; they have a history
  first_state,  // the first is the first state as well
};

/// Which of the listed results are held.
enum class ListedHeld : uint8_t { all, last, all_but_thirds, views };

/// What makes a loop more than a plain one, or no loop at all.
struct HostHabits {
  bool reverse = false;           // from the last step to the first
  bool steps_are_tensors = false;  // the first sequence comes as a vector of its steps
  bool number_changes = false;    // a constant that is another one in each step
  bool first_differs = false, last_differs = false;
  bool tosses_coin = false;       // steps take one of two ways, by call and step
  bool reads = false;             // the host reads a value in every third step
  bool ends_by_data = false;      // the loop is left when a sum grows large
  bool reads_first = false;       // the host reads a value before the loop
  int goes_on = 0;                // so many iterations more, on the last step
  int maps = 0;                   // works, in one of five ways, on each of the first stack's values by itself
  bool writes_in_place = false;   // the first state is written to in every step
  bool keeps_one = false;         // a value of a step in the middle is a result
  bool without_gradients = false;  // one op runs inside a NoGradGuard
  int most_steps = 1000;          // t < T && t < most_steps
  int inner_steps = 0;            // a loop inside the body, on the first state
  int back = 1;                   // the first state is that of so many steps before
  int stride = 1;
  bool both_ways = false;         // once more, from the first states, the other way
  bool counts = false;            // a counter of all steps of all calls decides what some of them do
  bool shares_start = false;      // two states begin as one tensor
  OutsideSteps outside_steps = OutsideSteps::none;
  ListedHeld listed_held = ListedHeld::all;
  SequenceWrite write = SequenceWrite::none;
  bool writes_argument = false;   // else a copy of it, made by the function
  bool is_one_row = false;        // of columns that several threads may share; else some rows of a few
};

/// The gradient that the function takes itself, of all its results so far.
enum class GradientInside : uint8_t {
  none,
  by_inputs,
  by_values,  // and by values made on the way: of a step in the middle, and the states behind a loop
  twice,      // and the gradient of its squares
  each_step,  // of each step, which moves the first state
};

struct RandomLoop {
  int states = 1, sequences = 1, weights = 1;
  std::vector<BodyOp> body;
  std::vector<int> next;     // value that becomes each state
  std::vector<int> stacked;  // values whose steps are stacked into a result
  std::vector<int> listed;   // values whose steps are results of their own
  HostHabits habits;
  GradientInside gradient = GradientInside::none;
  bool second_loop = false;  // once more, over the first stack and from the last states
};

/// Whether a carried value is another name of a second one: handed on twice, or from one state to the other.
bool carries_alias(const RandomLoop& loop);

RandomLoop random_loop(std::mt19937& random);
/// A line for each part, which parse_loop() reads again; throws UserError for a line that says nothing.
std::string print_loop(const RandomLoop& loop);
RandomLoop parse_loop(const std::string& text);

/// f64 tensors: sequences [T,B,H], states [B,H], weights [H,H].
struct LoopInputs {
  std::vector<Tensor> sequences, states, weights;
  std::vector<Tensor> steps;         // of OutsideSteps
  std::vector<Tensor> step_leaves;   // what they were made from
};
/// Each element times 1 and a few times `noise`.
LoopInputs loop_inputs(const RandomLoop& loop, int64_t steps, int call, bool with_gradients, double noise = 0);

/// What the host knows beside the arguments.
struct HostState {
  int call = 0;
  int64_t counter = 0;  // of steps, which goes on from call to call
};

/// The function that a user would have written.
std::vector<Tensor> run_loop(const RandomLoop& loop, const LoopInputs& inputs, HostState& host);

}  // namespace calque::test
