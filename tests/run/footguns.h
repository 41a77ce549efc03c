// Small programs that would fool a tracer which believes its first trace: one table, run in every mode of
// compile().
//
// Each program does something that a recorded list of ops does not show: it counts, remembers, rebinds,
// aliases, writes, throws, or lets another thread do so. footguns_test.cpp runs each plainly and compiled and
// compares every bit.
#pragma once

#include <functional>
#include <vector>

#include "tests/run/match_harness.h"

namespace calque {

using Function = std::function<Tensors(const Tensors&)>;

/// Calls the function once on two matrices that differ from call to call; gives the results, and the
/// arguments afterwards.
inline Tensors drive_on_two_matrices(const Function& function, int call) {
  Tensors in = two_matrices(call), all = function(in);
  all.insert(all.end(), in.begin(), in.end());
  return all;
}

/// A program with fresh state of its own: what is compiled, and what calls it and looks at what came of it.
struct Program {
  using Drive = std::function<Tensors(const Function&, int call)>;
  Program(Function body, Drive drive = drive_on_two_matrices)
      : body(std::move(body)), drive(std::move(drive)) {}
  Function body;
  Drive drive;
};

/// What compile(pure, ...) makes of a program that states too much by calling itself pure.
enum class PureFate {
  matched,   // refused: it does something that no plan can do, so its code runs at every call
  entered,   // guarded: the key, registered state or the checks of the plan tell its calls apart
  reported,  // at an audit, once, with the line; its code runs at every call from then on
  skipped,   // by contract: what it does on the host beside its ops is not done in calls that are entered
};

struct Footgun {
  const char* name;
  const char* trap;  // what a tracer would get wrong
  PureFate pure;
  std::function<Program()> make;
  int calls = 6;
  int plans = 1;  // at least so many segments run as compiled code
};
using Footguns = std::vector<Footgun>;

Footguns footguns_of_host_state();
Footguns footguns_of_numbers();
Footguns footguns_of_holding();
Footguns footguns_of_writes();
Footguns footguns_of_shapes();
Footguns footguns_of_gradients();
Footguns footguns_of_errors();
Footguns footguns_of_threads();

}  // namespace calque
