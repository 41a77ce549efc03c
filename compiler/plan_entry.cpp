// The first lines of keys, and a look at the parts of an entry.
#include "compiler/plan_entry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "compiler/codegen_client.h"
#include "compiler/image.h"
#include "compiler/kernel_text.h"
#include "compiler/settings.h"
#include "ir/graph/parser.h"
#include "ir/graph/printer.h"
#include "ir/graph/verifier.h"
#include "ir/op/error.h"

namespace calque {

namespace {

constexpr const char* kProgram = "program";  // the name of every graph

/// Takes `<label> <rest>\n` off the front.
bool take_line(std::string_view& text, std::string_view label, std::string& rest) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos || !text.starts_with(label) || end < label.size() + 1 ||
      text[label.size()] != ' ')
    return false;
  rest = text.substr(label.size() + 1, end - label.size() - 1);
  text.remove_prefix(end + 1);
  return true;
}

/// The graph keeps the rules, and there is one sound image for each of its kernels.
void check_program(const Blobs& parts, const std::string& name) {
  const Graph graph = parse(parts.at(name));
  verify(graph);
  const size_t kernels = fusions_of(graph).size();
  for (size_t i = 0; i < kernels; ++i) {
    const auto image = parts.find(fmt::format("{}.kernel {}", name, i));
    if (image == parts.end()) throw EnvironmentError("a compiled image is missing");
    check_image(std::as_bytes(std::span(image->second)));
  }
}

}  // namespace

PlanHeader own_plan_header() {
  return {codegen_build_id(), codegen_version(), codegen_isa(),
          fmt::format("{}", fmt::join(settings().disabled_passes, ","))};
}

std::string print(const PlanHeader& header) {
  return fmt::format("calque plan\nbuild {}\ncodegen {}\nisa {}\ndisabled {}\n", header.build, header.codegen,
                     header.isa, header.disabled);
}

std::string print_program(const Graph& graph) { return print(graph, {.name = kProgram}); }

std::string function_of(const Blobs& parts) {
  const auto found = parts.find(kFunctionPart);
  return found != parts.end() && is_identifier(found->second) ? found->second : "?";
}

std::optional<PlanKey> parse_plan_key(std::string_view key) {
  PlanKey result;
  std::string kind;
  PlanHeader& header = result.header;
  if (!take_line(key, "calque", kind) || kind != "plan" || !take_line(key, "build", header.build) ||
      !take_line(key, "codegen", header.codegen) || !take_line(key, "isa", header.isa) ||
      !take_line(key, "disabled", header.disabled))
    return std::nullopt;
  if (key.find("\ngraph @") == std::string_view::npos) return std::nullopt;
  result.is_backward = key.find("\nabsent ") != std::string_view::npos;
  return result;
}

bool is_of_this_build(const PlanKey& key) {
  return key.header.build == codegen_build_id() && key.header.codegen == codegen_version();
}

std::string fault_of_plan(const Blobs& parts) {
  try {
    for (const char* graph : {"forward", "backward"})
      if (parts.contains(graph)) check_program(parts, graph);
    return parts.contains("forward") || parts.contains("backward") ? "" : "it holds no program";
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace calque
