// The main program of every test executable: skips visibly what this machine cannot run, then runs Catch.
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace {

constexpr int kSkipped = 77;  // SKIP_RETURN_CODE in tests/CMakeLists.txt

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// Whether this machine executes the level: x86-64-v3 for avx2, x86-64-v4 for avx512.
bool machine_has(std::string_view level) {
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  if (level == "avx512") return v4;
  if (level == "avx2") return v3;
  return true;
}

bool machine_has_gpu() { return dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL) != nullptr; }

}  // namespace

int main(int argc, char** argv) {
  const std::string_view level = environment("CALQUE_ISA");
  if (!machine_has(level)) {
    std::printf("SKIP: this machine lacks the instruction-set level %.*s\n", int(level.size()), level.data());
    return kSkipped;
  }
  if (environment("CALQUE_TEST_KIND") == "gpu" && !machine_has_gpu()) {
    std::puts("SKIP: this machine has no CUDA driver (libcuda.so.1)");
    return kSkipped;
  }
  // Catch returns the number of failures, and 77 of them must not read as a skip.
  return Catch::Session().run(argc, argv) == 0 ? 0 : 1;
}
