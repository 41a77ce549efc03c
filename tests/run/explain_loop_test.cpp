// explain() of loops: what each step saves for gradients, and why a stretch that looks like a loop is none.
#include <algorithm>
#include <string>
#include <vector>

#include "calque/calque.h"
#include "tests/run/loop_programs.h"
#include "tests/run/match_harness.h"
#include "tests/run/unrolled_programs.h"

using namespace calque;
using namespace calque::loop_programs;

namespace {

/// Lines of an explanation that begin like this.
std::vector<std::string> lines_of(const std::string& text, const std::string& begin) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (text.compare(at, begin.size(), begin) == 0) lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

bool any_has(const std::vector<std::string>& lines, const std::string& part) {
  return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) { return line.find(part) != line.npos; });
}

/// Each is of all steps, with the bytes of one, and with a line of the cell.
void check_saved(const std::string& text, int64_t steps) {
  const std::vector<std::string> saved = lines_of(text, "  saved f64[" + std::to_string(steps) + ",");
  CHECK(saved.size() >= 2);
  for (const std::string& line : saved) {
    INFO(line);
    CHECK(line.find(", " + std::to_string(steps) + " steps of ") != line.npos);
    CHECK(line.find("loop_programs.cpp:") != line.npos);
  }
  // Both states of the cell, of [3,16] f64 each, by the lines that make the next.
  CHECK(any_has(saved, "mul, a state as each step finds it"));
  CHECK(any_has(saved, "add, a state as each step finds it"));
  CHECK(any_has(saved, "[" + std::to_string(steps) + ",3,16], 4.6 kB, 12 steps of 384 B: "));
}

}  // namespace

TEST_CASE("explain lists what each step of a loop saves for a gradient outside, states among it") {
  if (!can_compile()) return;
  const Tensors w = weights();
  auto compiled = compile(lstm);
  for (int call = 0; call < 3; ++call) sum(compiled(sequence(12), state(0.3), state(-0.2), w)[0]).backward();
  const std::string text = compiled.explain();
  INFO(text);
  check_saved(text, 12);
  CHECK(text.find(", for grad at ") == text.npos);
}

TEST_CASE("explain lists what each step of a loop saves for a gradient inside, states among it") {
  if (!can_compile()) return;
  const Tensors w = weights();
  auto compiled = compile([&](const Tensor& xs) {
    const Tensor losses[] = {sum(lstm(xs, state(0.3), state(-0.2), w)[0])};
    return grad(losses, w);
  });
  for (int call = 0; call < 3; ++call) compiled(sequence(12));
  const std::string text = compiled.explain();
  INFO(text);
  check_saved(text, 12);
  for (const std::string& line : lines_of(text, "  saved "))
    CHECK(line.find(", for grad at explain_loop_test.cpp:") != line.npos);
}

TEST_CASE("explain says of each stretch that looks like a loop and is none where it is, how long, and why") {
  if (!can_compile()) return;
  for (const UnrolledProgram& program : unrolled_programs()) {
    const std::string text = program.explanation();
    INFO(program.name << ", line " << program.line << "\n" << text);
    std::string said = "  " + program.said;
    const std::string place = "unrolled_programs.cpp:" + std::to_string(program.line);
    for (size_t at; (at = said.find('@')) != said.npos;) said.replace(at, 1, place);
    const std::vector<std::string> lines = lines_of(text, "  no loop of ");
    CHECK(std::count(lines.begin(), lines.end(), said) == program.times);
  }
}

TEST_CASE("explain says nothing of loops that rolled") {
  if (!can_compile()) return;
  const Tensors w = weights();
  for (const Loop& loop : loops()) {
    if (loop.loops == 0) continue;
    auto compiled = compile(loop.run);
    for (int call = 0; call < 2; ++call) compiled(sequence(9), state(0.3), state(-0.2), w);
    const std::string text = compiled.explain();
    INFO(loop.name << "\n" << text);
    CHECK(lines_of(text, "  no loop of the plan").empty());
    // Numbers that do not grow evenly are a sequence of the plan.
    CHECK(lines_of(text, "  no loop of the way").size() == (loop.name == std::string("numbers change") ? 1 : 0));
  }
}
