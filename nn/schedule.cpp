// The schedules' formulas, in double.
#include "calque/nn/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "ir/op/error.h"

namespace calque::optim {

namespace {

void require(const char* schedule, bool holds, const char* rule, int64_t got) {
  if (!holds) throw UserError(std::string(schedule) + ": " + rule + ", got " + std::to_string(got));
}

void check(const char* schedule, int64_t step, int64_t length, double factor) {
  require(schedule, step >= 0, "a step is 0 or more", step);
  require(schedule, length >= 1, "a number of steps is 1 or more", length);
  if (!std::isfinite(factor)) throw UserError(std::string(schedule) + ": the factor is not a finite number");
}

/// How far `step` is on the way from `first` to `last`, within 0 and 1.
double way(int64_t step, int64_t first, int64_t last) {
  return step >= last ? 1.0 : static_cast<double>(step - first) / static_cast<double>(last - first);
}

}  // namespace

double step_decay(int64_t step, int64_t period, double factor) {
  check("step_decay", step, period, factor);
  return std::pow(factor, static_cast<double>(step / period));
}

double cosine(int64_t step, int64_t total, double last) {
  check("cosine", step, total, last);
  return last + (1 - last) * 0.5 * (1 + std::cos(std::numbers::pi * way(step, 0, total)));
}

double warm_up(int64_t step, int64_t length) {
  check("warm_up", step, length, 1);
  return step >= length ? 1.0 : static_cast<double>(step + 1) / static_cast<double>(length);
}

double warm_up_linear(int64_t step, int64_t length, int64_t total, double last) {
  check("warm_up_linear", step, total, last);
  require("warm_up_linear", length >= 0 && length < total, "the warm-up is shorter than the whole", length);
  return step < length ? warm_up(step, length) : 1 + (last - 1) * way(step, length, total);
}

}  // namespace calque::optim
