// The program's version: that of the project, which CMake passes on.
#pragma once

namespace calque::cli {

inline constexpr const char* kVersion = CALQUE_VERSION;

}  // namespace calque::cli
