// Reads the debug information of this process with libdw.
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "compiler/symbolizer_plugin/symbolizer_api.h"

namespace {

struct Free {
  void operator()(Dwarf_Die* dies) const { std::free(dies); }
};
using DieArray = std::unique_ptr<Dwarf_Die, Free>;

struct Line {
  const char* file = nullptr;
  int number = 0;
};

/// Separate debug files are looked for on this machine only: nothing that is printed may cause network
/// traffic.
int find_local_debug_file(Dwfl_Module* module, void** data, const char* name, Dwarf_Addr base,
                          const char* file, const char* link, GElf_Word checksum, char** found) {
  if (std::getenv("DEBUGINFOD_URLS") != nullptr) return -1;
  return dwfl_standard_find_debuginfo(module, data, name, base, file, link, checksum, found);
}

constexpr Dwfl_Callbacks kCallbacks = {dwfl_linux_proc_find_elf, find_local_debug_file, nullptr, nullptr};

/// Lists what is mapped into this process now.
bool report_modules(Dwfl* dwfl) {
  dwfl_report_begin(dwfl);
  const bool is_good = dwfl_linux_proc_report(dwfl, getpid()) == 0;
  return dwfl_report_end(dwfl, nullptr, nullptr) == 0 && is_good;
}

Dwfl_Module* module_at(Dwarf_Addr address) {
  static Dwfl* const dwfl = dwfl_begin(&kCallbacks);
  if (!dwfl) return nullptr;
  Dwfl_Module* module = dwfl_addrmodule(dwfl, address);
  if (module) return module;
  return report_modules(dwfl) ? dwfl_addrmodule(dwfl, address)
                              : nullptr;  // libraries may have been opened since
}

bool is_of_library(std::string_view file) {
  for (const char* folder : {"include/calque/", "ir/op/", "ir/graph/"})
    if (file.starts_with(folder)) return true;
  for (const char* folder : {"/include/calque/", "/ir/op/", "/ir/graph/", "/include/c++/"})
    if (file.find(folder) != std::string_view::npos) return true;
  return false;
}

Line call_site(Dwarf_Die* inlined, Dwarf_Files* files) {
  Dwarf_Attribute attribute;
  Dwarf_Word file = 0, number = 0;
  if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attribute), &file) != 0) return {};
  if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attribute), &number) != 0) return {};
  return {dwarf_filesrc(files, file, nullptr, nullptr), static_cast<int>(number)};
}

/// From the line of the instruction outward through the calls that were inlined around it, to the first line
/// that is not of a library; the instruction's own line if there is none.
Line outside_of_library(Dwarf_Die* unit, Dwarf_Addr address, Line innermost) {
  if (!is_of_library(innermost.file)) return innermost;
  Dwarf_Files* files = nullptr;
  size_t file_count = 0;
  if (dwarf_getsrcfiles(unit, &files, &file_count) != 0) return innermost;
  Dwarf_Die* found = nullptr;
  const int depth = dwarf_getscopes(unit, address, &found);
  const DieArray scopes(found);
  if (depth <= 0) return innermost;
  // The scopes of an inlined function are those around its definition; these are the ones around its code.
  const int count = dwarf_getscopes_die(scopes.get(), &found);
  const DieArray around(found);
  for (int i = 0; i < count; ++i) {
    Dwarf_Die* scope = around.get() + i;
    if (dwarf_tag(scope) == DW_TAG_subprogram) break;
    if (dwarf_tag(scope) != DW_TAG_inlined_subroutine) continue;
    const Line line = call_site(scope, files);
    if (line.file && !is_of_library(line.file)) return line;
  }
  return innermost;
}

Line line_at(Dwfl_Module* module, Dwarf_Addr address) {
  Dwfl_Line* source = dwfl_module_getsrc(module, address);
  if (!source) return {};
  Line line;
  line.file = dwfl_lineinfo(source, nullptr, &line.number, nullptr, nullptr, nullptr);
  Dwarf_Addr bias = 0;
  Dwarf_Die* unit = dwfl_module_addrdie(module, address, &bias);
  // libdw gives code between two units that has no lines to the unit before it.
  if (!line.file || !unit || dwarf_haspc(unit, address - bias) <= 0) return {};
  return outside_of_library(unit, address - bias, line);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int calque_symbolizer_find(const void* pointer, char* text,
                                                                             size_t capacity) {
  const auto address = static_cast<Dwarf_Addr>(reinterpret_cast<uintptr_t>(pointer));
  Dwfl_Module* module = module_at(address);
  if (!module) return CALQUE_SYMBOL_UNKNOWN;
  const Line line = line_at(module, address);
  if (line.file && line.number > 0) {
    std::snprintf(text, capacity, "%s:%d", line.file, line.number);
    return CALQUE_SYMBOL_LINE;
  }
  const char* name = dwfl_module_addrname(module, address);
  if (!name) return CALQUE_SYMBOL_UNKNOWN;
  std::snprintf(text, capacity, "%s", name);
  return CALQUE_SYMBOL_FUNCTION;
}
