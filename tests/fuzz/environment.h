// Numbers that say how much to fuzz.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace calque::test {

/// Taken out of the environment, since the library warns of variables that it does not know.
inline int64_t take_from_environment(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  const int64_t number = text ? std::strtoll(text, nullptr, 10) : otherwise;
  unsetenv(name);
  return number;
}

}  // namespace calque::test
