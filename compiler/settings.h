// What the environment asks of Calque: every variable CALQUE_*, read once, and the table that documents them.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace calque {

/// What can be logged, one bit each: CALQUE_LOG=compile,cache or all.
enum class LogTopic : uint8_t { compile, cache, recompile, summary };
inline constexpr const char* kLogTopicNames[] = {"compile", "cache", "recompile", "summary"};

struct Settings {
  std::set<LogTopic> log;                          // CALQUE_LOG
  std::string dump_dir;                            // CALQUE_DUMP; empty: nothing is dumped
  bool cache_enabled = true;                       // CALQUE_CACHE
  std::string cache_dir;                           // CALQUE_CACHE_DIR; empty: see default_cache_folder
  uint64_t cache_max_bytes = uint64_t{512} << 20;  // CALQUE_CACHE_MAX_BYTES
  bool disable_compile = false;                    // CALQUE_DISABLE_COMPILE
  std::set<std::string> disabled_passes;           // CALQUE_DISABLE_PASSES
  bool verify = false;                             // CALQUE_VERIFY
#ifdef NDEBUG
  bool verify_ir = false;  // CALQUE_VERIFY_IR; on in builds with assertions
#else
  bool verify_ir = true;
#endif

  bool is_logged(LogTopic topic) const { return log.contains(topic); }
};

/// The settings of this process, read at the first call. What is wrong with them is then said in
/// warnings, once.
const Settings& settings();

/// The same from a given environment of `NAME=value` entries. Adds one sentence to `warnings` for each
/// unknown variable CALQUE_*, and for each value that means nothing (it is ignored).
Settings read_settings(std::span<const std::string> environment, std::vector<std::string>& warnings);

/// One row of the reference of variables.
struct EnvironmentVariable {
  const char* name;
  const char* values;   // what may stand behind the =
  const char* purpose;  // one sentence
};

/// All variables, also those that are read elsewhere (threads, instruction set, build), in the order to show
/// them.
std::span<const EnvironmentVariable> environment_variables();

}  // namespace calque
