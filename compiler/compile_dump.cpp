// Files of CALQUE_DUMP.
#include "compiler/compile_dump.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "compiler/log.h"
#include "compiler/settings.h"
#include "compiler/symbolizer.h"
#include "ir/graph/printer.h"

namespace calque {

namespace {
void write_file(const std::string& name, const std::string& text) {
  std::error_code error;
  std::filesystem::create_directories(settings().dump_dir, error);
  std::ofstream file(std::filesystem::path(settings().dump_dir) / name);
  if (!(file << text)) warn_once("dump", "CALQUE_DUMP: cannot write to " + settings().dump_dir);
}
}  // namespace

std::function<void(std::string_view, const Graph&)> dump_hook(const std::string& name) {
  if (settings().dump_dir.empty()) return nullptr;
  const auto number = std::make_shared<int>(0);
  return [name, number](std::string_view pass, const Graph& graph) {
    write_file(fmt::format("{}.{:02}-{}.cq", name, (*number)++, pass), print(graph, GraphPrintOptions{source_line}));
  };
}

void dump_code(const std::string& name, const CodegenOutput& output) {
  if (settings().dump_dir.empty()) return;
  write_file(name + ".ll", output.llvm_ir);
  write_file(name + ".s", output.assembly);
}

}  // namespace calque
