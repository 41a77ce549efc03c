// Asks the symbolizer plugin for lines, and keeps its answers.
#include "compiler/symbolizer.h"

#include <cxxabi.h>
#include <dlfcn.h>

#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "compiler/log.h"
#include "compiler/plugin.h"
#include "compiler/symbolizer_plugin/symbolizer_api.h"
#include "ir/op/error.h"

namespace calque {

namespace {

std::string demangled(const char* name) {
  struct Free {
    void operator()(char* text) const { std::free(text); }
  };
  int status = 0;
  const std::unique_ptr<char, Free> text(abi::__cxa_demangle(name, nullptr, nullptr, &status));
  return status == 0 && text ? text.get() : name;
}

/// What the dynamic linker knows: functions that the program or a library exports.
std::string exported_function(const void* address) {
  Dl_info info{};
  return dladdr(address, &info) != 0 && info.dli_sname ? demangled(info.dli_sname) : "";
}

std::string base_name(std::string_view path) { return std::string(path.substr(path.find_last_of('/') + 1)); }

class Symbolizer {
 public:
  std::string line(const void* return_address) {
    const std::lock_guard lock(mutex_);
    const auto [entry, is_new] = known_.try_emplace(return_address);
    if (is_new)
      entry->second = look_up(static_cast<const char*>(return_address) - 1);  // inside the call itself
    return entry->second;
  }

 private:
  std::string look_up(const void* address) {
    open();
    char text[4096];
    const int kind = find_ ? find_(address, text, sizeof(text)) : CALQUE_SYMBOL_UNKNOWN;
    if (kind == CALQUE_SYMBOL_LINE) return base_name(text);
    if (kind == CALQUE_SYMBOL_FUNCTION) return demangled(text);
    return exported_function(address);
  }

  void open() {
    if (was_tried_) return;
    was_tried_ = true;
    try {
      plugin_.emplace("libcalque_symbolizer.so");
      find_ = plugin_->function<decltype(calque_symbolizer_find)>("calque_symbolizer_find");
    } catch (const EnvironmentError& error) {
      warn_once("symbolizer", std::string("source lines are not shown: ") + error.what());
    }
  }

  std::mutex mutex_;
  std::unordered_map<const void*, std::string> known_;
  std::optional<Plugin> plugin_;
  decltype(calque_symbolizer_find)* find_ = nullptr;
  bool was_tried_ = false;
};

}  // namespace

std::string source_line(const void* return_address) {
  if (!return_address) return "";
  static auto* const symbolizer = new Symbolizer;  // outlives every static destructor
  return symbolizer->line(return_address);
}

}  // namespace calque
