// `calque info`: what this program is and what it found on this machine.
#include <fmt/format.h>

#include <cstdlib>
#include <string>

#include "cli/command.h"
#include "cli/version.h"
#include "compiler/cache.h"
#include "compiler/settings.h"
#include "runtime/kernels/isa.h"
#include "runtime/thread_pool.h"

namespace calque::cli {

namespace {

/// Its name and value, what it is for and what it may be.
void print_variable(const EnvironmentVariable& variable) {
  const char* const value = std::getenv(variable.name);
  fmt::print("  {}{}\n      {}\n      {}\n", variable.name, value ? fmt::format("={}", value) : "",
             variable.purpose, variable.values);
}

int print_info() {
  const std::string cache = disk_cache().folder();
  fmt::print("version          calque {}\n", kVersion);
  fmt::print("instruction set  {}\n", kernels::name(kernels::isa_level()));
  fmt::print("threads          {}\n", ThreadPool::instance().num_threads());
  fmt::print("cache folder     {}\n", cache.empty() ? "none: compiled code is kept in memory only" : cache);
  fmt::print("\nvariables of the environment\n");
  for (const EnvironmentVariable& variable : environment_variables()) print_variable(variable);
  return 0;
}

}  // namespace

void add_info(CLI::App& program, Action& action) {
  CLI::App* command = program.add_subcommand(
      "info", "Version, instruction set, threads, cache folder, environment variables");
  command->callback([&action] { action = print_info; });
}

}  // namespace calque::cli
