// CALQUE_LOG=summary: ten lines at the end of the process about all compiled functions.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace calque {

class CompiledFunction;

/// Remembers the function for the summary, if one was asked for.
void note_for_summary(const std::shared_ptr<CompiledFunction>& function);

/// The lines, of all functions that were noted.
std::vector<std::string> summary_lines();

}  // namespace calque
