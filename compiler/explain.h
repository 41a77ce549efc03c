// Accounts of a compiled function for people: where each op went, and the text of each stage.
#pragma once

#include <string>

#include "compiler/trace.h"

namespace calque {

/// Every recorded op with its source line and what became of it.
std::string explain_tree(const TraceTree& tree, const std::string& name);

/// The text of a stage of every compiled segment: trace, prepare, lower, llvm, assembly, or backward- before lower, llvm
/// and assembly. Throws UserError for another name.
std::string dump_tree(const TraceTree& tree, const std::string& stage);

}  // namespace calque
