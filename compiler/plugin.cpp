// Finds and opens plugins.
#include "compiler/plugin.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>
#include <vector>

#include "ir/op/error.h"

namespace calque {

namespace {

namespace fs = std::filesystem;

/// The folder of the shared object that holds this function: of the library, or of the program it was linked
/// into.
fs::path own_folder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&own_folder), &info) == 0 || info.dli_fname == nullptr) return {};
  // A program is named as it was started, perhaps by a bare word: that says nothing about the working folder.
  if (!fs::path(info.dli_fname).is_absolute()) return {};
  std::error_code error;
  const fs::path path = fs::canonical(info.dli_fname, error);
  return error ? fs::path() : path.parent_path();
}

fs::path program_folder() {
  std::error_code error;
  const fs::path path = fs::read_symlink("/proc/self/exe", error);
  return error ? fs::path() : path.parent_path();
}

std::vector<fs::path> folders() {
  std::vector<fs::path> result;
  for (const fs::path& folder : {own_folder(), program_folder()}) {
    if (folder.empty()) continue;
    result.push_back(folder);
    result.push_back((folder / "../lib/calque").lexically_normal());
  }
#ifdef CALQUE_PLUGIN_DIR
  result.emplace_back(CALQUE_PLUGIN_DIR);
#endif
  return result;
}

fs::path find(const std::string& file) {
  std::string tried;
  for (const fs::path& folder : folders()) {
    std::error_code error;
    if (fs::is_regular_file(folder / file, error)) return folder / file;
    if (tried.find(folder.string() + ",") == std::string::npos) tried += folder.string() + ", ";
  }
  if (tried.ends_with(", ")) tried.resize(tried.size() - 2);
  throw EnvironmentError(fmt::format("the plugin {} is not in any of {}", file, tried));
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
