// Chooses the instruction-set level of this process from cpuid and CALQUE_ISA.
#include "runtime/kernels/isa.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include "runtime/log.h"

namespace calque::kernels {
namespace {

constexpr IsaLevel kLevels[kIsaLevelCount] = {IsaLevel::baseline, IsaLevel::avx2, IsaLevel::avx512};

IsaLevel best_supported() {
  IsaLevel best = IsaLevel::baseline;
  for (IsaLevel level : kLevels) {
    if (is_supported(level)) best = level;
  }
  return best;
}

IsaLevel choose() {
  const IsaLevel best = best_supported();
  const char* wanted = std::getenv("CALQUE_ISA");
  if (wanted == nullptr || *wanted == '\0') return best;
  for (IsaLevel level : kLevels) {
    if (std::strcmp(wanted, name(level)) != 0) continue;
    if (is_supported(level)) return level;
    warn(std::string("CALQUE_ISA=") + wanted + " is not supported by this machine; using " + name(best));
    return best;
  }
  warn(std::string("CALQUE_ISA=") + wanted + " is not one of baseline, avx2, avx512; using " + name(best));
  return best;
}

}  // namespace

bool is_supported(IsaLevel level) {
  // The builtin also asks the operating system, through xgetbv, whether it saves the wide registers.
  switch (level) {
    case IsaLevel::baseline:
      return true;
    case IsaLevel::avx2:
      return __builtin_cpu_supports("x86-64-v3");
    case IsaLevel::avx512:
      return __builtin_cpu_supports("x86-64-v4");
  }
  return false;
}

IsaLevel isa_level() {
  static const IsaLevel level = choose();
  return level;
}

const char* name(IsaLevel level) {
  switch (level) {
    case IsaLevel::baseline:
      return "baseline";
    case IsaLevel::avx2:
      return "avx2";
    case IsaLevel::avx512:
      return "avx512";
  }
  return "unknown";
}

}  // namespace calque::kernels
