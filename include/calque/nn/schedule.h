// Learning-rate schedules: pure functions of the number of the step, from 0 on, that give a factor of the rate.
//
// `adam.set_learning_rate(3e-3 * optim::cosine(adam.steps(), 10'000))` before each step(). A training that goes on from a
// checkpoint has its rate again without anything being saved. Factors multiply: warm_up(step, 100) * cosine(step, 10'000).
#pragma once

#include <cstdint>

#pragma GCC visibility push(default)

namespace calque::optim {

// Throw UserError for a negative step, a period, length or total below 1, a factor that is not finite, and a warm-up that is longer than
// the whole.

/// factor^(step / period), the division rounded down: constant for `period` steps at a time.
double step_decay(int64_t step, int64_t period, double factor = 0.1);
/// From 1 at step 0 down to `last` at step `total` and from there on, along half a cosine (Loshchilov, Hutter: SGDR, stochastic gradient
/// descent with warm restarts. ICLR 2017, without restarts).
double cosine(int64_t step, int64_t total, double last = 0);
/// From 1 / length at step 0 to 1 at step length - 1, and 1 from there on: the first step already moves.
double warm_up(int64_t step, int64_t length);
/// warm_up over the first `length` steps, then in a straight line from 1 at step `length` down to `last` at step `total` and
/// from there on.
double warm_up_linear(int64_t step, int64_t length, int64_t total, double last = 0);

}  // namespace calque::optim

#pragma GCC visibility pop
