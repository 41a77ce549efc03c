// CALQUE_DUMP: every graph after every pass, and the generated code, as files to read.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "compiler/codegen_client.h"
#include "ir/graph/graph.h"

namespace calque {

/// Writes `<name>.<number>-<pass>.cq` after each pass; null when nothing is dumped.
std::function<void(std::string_view pass, const Graph&)> dump_hook(const std::string& name);
/// Writes `<name>.ll` and `<name>.s`.
void dump_code(const std::string& name, const CodegenOutput& output);

}  // namespace calque
