// `calque info`: what this program is and what it found on this machine.
#include <fmt/format.h>

#include <cstdlib>
#include <string>

#include "cli/command.h"
#include "cli/version.h"
#include "runtime/kernels/isa.h"
#include "runtime/thread_pool.h"

namespace calque::cli {

namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

/// Where compiled code is kept, by the rule of the cache; empty means memory only.
std::string cache_folder() {
  if (const std::string own = environment("CALQUE_CACHE_DIR"); !own.empty()) return own;
  if (const std::string xdg = environment("XDG_CACHE_HOME"); !xdg.empty()) return xdg + "/calque";
  if (const std::string home = environment("HOME"); !home.empty()) return home + "/.cache/calque";
  return "";
}

int print_info() {
  const std::string cache = cache_folder();
  fmt::print("version          calque {}\n", kVersion);
  fmt::print("instruction set  {}\n", kernels::name(kernels::isa_level()));
  fmt::print("threads          {}\n", ThreadPool::instance().num_threads());
  fmt::print("cache folder     {}\n", cache.empty() ? "none: compiled code is kept in memory only" : cache);
  return 0;
}

}  // namespace

void add_info(CLI::App& program, Action& action) {
  CLI::App* command = program.add_subcommand("info", "Version, instruction set, threads and cache folder");
  command->callback([&action] { action = print_info; });
}

}  // namespace calque::cli
