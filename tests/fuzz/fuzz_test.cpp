// Random programs: eager execution, the reference interpreter and compiled code give the same bits, forward and backward.
// CALQUE_FUZZ_PROGRAMS=<n> says how many, CALQUE_FUZZ_SEED=<n> from which seed on. A program that fails is cut down, printed,
// and written as IR text beside the executable; what was found once lives in tests/fuzz/regressions.
#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "runtime/kernels/isa.h"
#include "tests/fuzz/engines.h"

using namespace calque;
using namespace calque::test;

namespace {

/// Taken out of the environment, since the library warns of variables that it does not know.
int64_t take_from_environment(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  const int64_t number = text ? std::strtoll(text, nullptr, 10) : otherwise;
  unsetenv(name);
  return number;
}

// Before the library reads its settings, once. A cache that an earlier run filled would hide faults of the compiler.
const int64_t program_count = take_from_environment("CALQUE_FUZZ_PROGRAMS", 1000);
const int64_t first_seed = take_from_environment("CALQUE_FUZZ_SEED", 1);
[[maybe_unused]] const int without_cache = setenv("CALQUE_CACHE", "0", 1);

/// Takes away what can go while the program still fails.
RandomProgram shrunk(RandomProgram program, uint32_t seed) {
  const auto fails = [&](const RandomProgram& candidate) { return !difference(candidate, seed).empty(); };
  for (bool smaller = true; smaller;) {
    smaller = false;
    const auto take = [&](RandomProgram candidate) {
      if (!fails(candidate)) return false;
      program = std::move(candidate);
      return smaller = true;
    };
    for (size_t i = program.graph.outputs().size(); i-- > 0 && program.graph.outputs().size() > 1;)
      take(without_output(program, i));
    for (NodeId id = static_cast<NodeId>(program.graph.nodes().size()); id-- > 0;) take(without_node(program, id));
    RandomProgram without_inputs = without_unused_inputs(program);
    if (without_inputs.graph.inputs().size() < program.graph.inputs().size()) take(std::move(without_inputs));
    for (RandomProgram& candidate : without_host_steps(program)) take(std::move(candidate));
  }
  return program;
}

std::filesystem::path write_failure(const RandomProgram& program, uint32_t seed) {
  const std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  const std::filesystem::path path = folder / ("fuzz_failure_" + std::to_string(seed) + ".cq");
  std::ofstream(path) << print_program(program);
  return path;
}

}  // namespace

TEST_CASE("random programs: eager, interpreter and compiled agree in every bit") {
  constexpr int kMostFailures = 5;
  FuzzCounts counts;
  int failures = 0;
  for (int64_t i = 0; i < program_count && failures < kMostFailures; ++i) {
    const uint32_t seed = static_cast<uint32_t>(first_seed + i);
    std::mt19937 random(seed);
    const RandomProgram program = random_program(random, 30);
    const std::string text = print_program(program);
    if (print_program(parse_program(text)) != text) FAIL_CHECK("the program does not survive printing:\n" << text);
    if (difference(program, seed, &counts).empty()) continue;
    ++failures;
    const RandomProgram small = shrunk(program, seed);
    FAIL_CHECK("seed " << seed << ": " << difference(small, seed) << "\n" << print_program(small) << "written to "
                       << write_failure(small, seed).string());
  }
  std::cout << program_count << " programs: " << counts.plan_runs << " runs of plans, " << counts.gradients
            << " gradients compared\n";
  // Otherwise everything was compared with itself.
  const uint64_t least = static_cast<uint64_t>(program_count);
  if (kernels::isa_level() != kernels::IsaLevel::baseline) CHECK(counts.plan_runs >= least);
  CHECK(counts.gradients >= least / 4);
}

TEST_CASE("programs that once failed") {
  const std::filesystem::path folder = std::filesystem::path(__FILE__).parent_path() / "regressions";
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
  while (!small.graph.nodes().empty()) small = without_node(small, static_cast<NodeId>(small.graph.nodes().size() - 1));
  CHECK(small.graph.outputs().size() == program.graph.outputs().size());
  CHECK(small.steps.empty());
  CHECK(small.requires_grad.size() == small.graph.inputs().size());
  for (size_t i = 0; i < program.graph.outputs().size(); ++i)
    CHECK(small.graph.type(small.graph.outputs()[i]) == program.graph.type(program.graph.outputs()[i]));
  small = without_unused_inputs(small);
  for (uint32_t uses : small.graph.use_counts()) CHECK(uses > 0);
}
