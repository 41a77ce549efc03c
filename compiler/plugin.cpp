// Finds and opens plugins.
#include "compiler/plugin.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <vector>

#include "ir/op/error.h"

namespace calque {

namespace {

namespace fs = std::filesystem;

/// The folder of the file that holds this function: of the library, or of the program it was linked into. The kernel
/// knows its whole path; the dynamic linker would give it as somebody wrote it, perhaps from another working folder.
fs::path own_folder() {
  const auto address = reinterpret_cast<uintptr_t>(&own_folder);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    uintptr_t begin = 0, end = 0;
    int path = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %*s %n", &begin, &end, &path) != 2) continue;
    if (address < begin || address >= end) continue;
    std::error_code error;
    const fs::path file = fs::canonical(line.substr(path), error);
    return error ? fs::path() : file.parent_path();
  }
  return {};
}

/// Beside the library or program (in a build); where they lie when installed: lib/calque beside lib/libcalque.so, and
/// ../lib/calque from bin/calque. Never anything that depends on the working folder.
std::vector<fs::path> folders() {
  const fs::path own = own_folder();
  if (own.empty()) return {};
  std::vector<fs::path> result = {own, own / "calque", (own / CALQUE_PLUGINS_FROM_PROGRAM).lexically_normal()};
  result.erase(std::unique(result.begin(), result.end()), result.end());
  return result;
}

fs::path find(const std::string& file) {
  std::vector<std::string> tried;
  for (const fs::path& folder : folders()) {
    std::error_code error;
    if (fs::is_regular_file(folder / file, error)) return folder / file;
    tried.push_back(folder.string());
  }
  throw EnvironmentError(fmt::format("the plugin {} is not in any of {}", file, fmt::join(tried, ", ")));
}

}  // namespace

Plugin::Plugin(const std::string& file) : path_(find(file).string()) {
  handle_ = dlopen(path_.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle_) return;
  const char* reason = dlerror();
  throw EnvironmentError(fmt::format("the plugin cannot be opened: {}", reason ? reason : path_));
}

void* Plugin::symbol(const char* name) const {
  void* found = dlsym(handle_, name);
  if (!found) throw EnvironmentError(fmt::format("the plugin {} has no function {}", path_, name));
  return found;
}

}  // namespace calque
