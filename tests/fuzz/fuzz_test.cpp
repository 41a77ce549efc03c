// Random programs: eager execution, the reference interpreter and compiled code give the same bits, forward and backward.
// CALQUE_FUZZ_PROGRAMS=<n> says how many, CALQUE_FUZZ_SEED=<n> from which seed on. A program that fails is cut down, printed,
// and written as text into tests/fuzz/regressions, whose programs are run by every later test.
#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "runtime/kernels/isa.h"
#include "tests/fuzz/engines.h"
#include "tests/fuzz/environment.h"
#include "tests/fuzz/shrink.h"
#include "tests/support/sanitized.h"

using namespace calque;
using namespace calque::test;

namespace {

// Before the library reads its settings, once. A cache that an earlier run filled would hide faults of the compiler.
const int64_t program_count = take_from_environment("CALQUE_FUZZ_PROGRAMS", scaled(1000));
const int64_t first_seed = take_from_environment("CALQUE_FUZZ_SEED", 1);
[[maybe_unused]] const int without_cache = setenv("CALQUE_CACHE", "0", 1);

bool compiles() { return kernels::isa_level() != kernels::IsaLevel::baseline; }

/// Tests run in the root of the sources.
std::filesystem::path regressions() { return "tests/fuzz/regressions"; }

/// Among the programs that once failed, where the sources are; else beside the executable.
std::filesystem::path write_failure(const RandomProgram& program, uint32_t seed, const std::string& difference) {
  const std::string name = "seed_" + std::to_string(seed) + ".cq";
  for (const std::filesystem::path& folder :
       {regressions(), std::filesystem::read_symlink("/proc/self/exe").parent_path()}) {
    std::ofstream file(folder / name);
    file << "// " << difference.substr(0, difference.find('\n')) << "\n" << print_program(program);
    if (file.flush()) return folder / name;
  }
  return "nowhere: no folder can be written to";
}

}  // namespace

TEST_CASE("random programs: eager, interpreter and compiled agree in every bit") {
  constexpr int kMostFailures = 5;
  FuzzCounts counts;
  std::vector<int64_t> uses(kOpCount);
  int failures = 0;
  for (int64_t i = 0; i < program_count && failures < kMostFailures; ++i) {
    const uint32_t seed = static_cast<uint32_t>(first_seed + i);
    std::mt19937 random(seed);
    const RandomProgram program = random_program(random, 30);
    for (const Node& node : program.graph.nodes()) ++uses[static_cast<size_t>(node.op)];
    const std::string printed = print_program(program);
    if (print_program(parse_program(printed)) != printed) FAIL_CHECK("the program does not survive printing:\n" << printed);
    if (difference(program, seed, &counts).empty()) continue;
    ++failures;
    const RandomProgram small =
        shrunk(program, [&](const RandomProgram& candidate) { return !difference(candidate, seed).empty(); });
    const std::string text = difference(small, seed);
    FAIL_CHECK("seed " << seed << ": " << text << "\n" << print_program(small) << "written to "
                       << write_failure(small, seed, text).string());
  }
  std::cout << program_count << " programs: " << counts.plan_runs << " runs of plans, " << counts.gradients
            << " gradients compared, " << counts.near_gradients << " more within rounding, " << counts.refusals << " calls refused by every engine\n";
  if (program_count < 100) return;  // a look at a few seeds
  std::string never;
  int missing = 0;
  for (int op = 0; op < kOpCount; ++op) {
    if (uses[op] > 0 || row(static_cast<Op>(op)).ir_only) continue;
    never += std::string(" ") + row(static_cast<Op>(op)).name;
    ++missing;
  }
  if (missing > 0) std::cout << "never drawn:" << never << "\n";
  CHECK(missing <= kOpCount / 8);
  // Otherwise everything was compared with itself.
  const uint64_t least = static_cast<uint64_t>(program_count);
  if (compiles()) CHECK(counts.plan_runs >= least);
  CHECK(counts.gradients >= least / 4);
  CHECK(counts.refusals <= least / 2);
  CHECK(counts.other_refusals <= least / 20 + 8);
}

TEST_CASE("programs that once failed") {
  const std::filesystem::path folder = regressions();
  REQUIRE(std::filesystem::is_directory(folder));
  int programs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".cq") continue;
    INFO(entry.path().filename().string());
    std::stringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    const RandomProgram program = parse_program(text.str());
    for (uint32_t seed : {1u, 2u, 3u}) CHECK(difference(program, seed) == "");
    ++programs;
  }
  CHECK(programs > 0);
}

TEST_CASE("the shrinker keeps what matters and nothing else") {
  std::mt19937 random(11);
  const RandomProgram program = random_program(random, 30);
  REQUIRE(program.graph.nodes().size() > 3);
  RandomProgram small = program;
  while (!small.graph.nodes().empty()) small = without_nodes(small, {static_cast<NodeId>(small.graph.nodes().size() - 1)});
  CHECK(small.graph.outputs().size() == program.graph.outputs().size());
  CHECK(small.steps.empty());
  CHECK(small.requires_grad.size() == small.graph.inputs().size());
  for (size_t i = 0; i < program.graph.outputs().size(); ++i)
    CHECK(small.graph.type(small.graph.outputs()[i]) == program.graph.type(program.graph.outputs()[i]));
  small = without_unused_inputs(small);
  for (uint32_t uses : small.graph.use_counts()) CHECK(uses > 0);
}
