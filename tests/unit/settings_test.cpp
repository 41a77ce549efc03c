// Settings: what each variable sets, and that what means nothing is pointed out.
#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "compiler/settings.h"

using namespace calque;

namespace {

struct Result {
  Settings settings;
  std::vector<std::string> warnings;
};

Result read(const std::vector<std::string>& environment) {
  Result result;
  result.settings = read_settings(environment, result.warnings);
  return result;
}

}  // namespace

TEST_CASE("an empty environment gives the defaults") {
  const Result result = read({});
  CHECK(result.warnings.empty());
  CHECK(result.settings.log.empty());
  CHECK(result.settings.cache_enabled);
  CHECK(result.settings.cache_max_bytes == 512u << 20);
  CHECK_FALSE(result.settings.verify);
  CHECK_FALSE(result.settings.disable_compile);
}

TEST_CASE("each variable is read") {
  const Result result =
      read({"HOME=/home/me", "CALQUE_LOG=compile, cache", "CALQUE_DUMP=/tmp/a=b", "CALQUE_CACHE=0",
            "CALQUE_CACHE_DIR=/c", "CALQUE_CACHE_MAX_BYTES=1000", "CALQUE_DISABLE_COMPILE=1",
            "CALQUE_DISABLE_PASSES=cse,,dce", "CALQUE_VERIFY=on", "CALQUE_VERIFY_IR=1", "CALQUE_ISA=avx2",
            "CALQUE_NUM_THREADS=2", "CALQUE_JOBS=1", "CALQUE_TEST_KIND=unit"});
  CHECK(result.warnings.empty());
  const Settings& settings = result.settings;
  CHECK(settings.is_logged(LogTopic::compile));
  CHECK(settings.is_logged(LogTopic::cache));
  CHECK_FALSE(settings.is_logged(LogTopic::summary));
  CHECK(settings.dump_dir == "/tmp/a=b");
  CHECK_FALSE(settings.cache_enabled);
  CHECK(settings.cache_dir == "/c");
  CHECK(settings.cache_max_bytes == 1000);
  CHECK(settings.disable_compile);
  CHECK(settings.disabled_passes == std::set<std::string>{"cse", "dce"});
  CHECK(settings.verify);
  CHECK(settings.verify_ir);
  CHECK(read({"CALQUE_LOG=all"}).settings.log.size() == 4);
  CHECK_FALSE(read({"CALQUE_VERIFY_IR=0"}).settings.verify_ir);
}

TEST_CASE("unknown variables are pointed out with the nearest known one") {
  const auto warning = [](const char* entry) {
    const Result result = read({entry});
    REQUIRE(result.warnings.size() == 1);
    return result.warnings[0];
  };
  CHECK(warning("CALQUE_VERFY=1") ==
        "the environment variable CALQUE_VERFY is unknown; did you mean CALQUE_VERIFY?");
  CHECK(warning("CALQUE_THREADS=2").find("CALQUE_NUM_THREADS?") != std::string::npos);
  CHECK(warning("CALQUE_CACHEDIR=/c").find("CALQUE_CACHE_DIR?") != std::string::npos);
  CHECK(warning("CALQUE_LOG=compiel,cache") == "CALQUE_LOG has no topic compiel; did you mean compile?");
  CHECK(warning("CALQUE_DISABLE_PASSES=cs") ==
        "CALQUE_DISABLE_PASSES: there is no pass cs; did you mean cse?");
}

TEST_CASE("values that mean nothing are pointed out and ignored") {
  const Result result =
      read({"CALQUE_VERIFY=perhaps", "CALQUE_CACHE_MAX_BYTES=12MB", "CALQUE_CACHE=", "CALQUE_LOG="});
  CHECK(result.warnings.size() == 2);
  CHECK_FALSE(result.settings.verify);
  CHECK(result.settings.cache_enabled);
  CHECK(result.settings.cache_max_bytes == 512u << 20);
  CHECK(read({"CALQUE_CACHE_MAX_BYTES=99999999999999999999999"}).warnings.size() == 1);
}

TEST_CASE("every variable is documented once, in a sentence") {
  std::set<std::string> names;
  for (const EnvironmentVariable& variable : environment_variables()) {
    CHECK(names.insert(variable.name).second);
    CHECK(std::string(variable.name).starts_with("CALQUE_"));
    CHECK(std::string(variable.purpose).ends_with("."));
    CHECK(read({std::string(variable.name) + "="}).warnings.empty());
  }
}
