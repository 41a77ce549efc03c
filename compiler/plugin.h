// Plugins: shared objects of Calque that are opened on first use.
#pragma once

#include <string>

namespace calque {

/// A plugin that stays open until the process ends.
class Plugin {
 public:
  /// Opens e.g. "libcalque_cpu_codegen.so" from the folder of the library (or of the program that it is linked into), or
  /// from where an installed tree has it beside that, the first that has it. Throws EnvironmentError.
  explicit Plugin(const std::string& file);

  /// A function that the plugin exports. Throws EnvironmentError when it does not.
  template <class Function>
  Function* function(const char* name) const {
    return reinterpret_cast<Function*>(symbol(name));
  }
  const std::string& path() const { return path_; }

 private:
  void* symbol(const char* name) const;

  std::string path_;
  void* handle_ = nullptr;
};

}  // namespace calque
