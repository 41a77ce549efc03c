// Return addresses as source lines, for what is printed. Debug information is read by a plugin, opened on
// first use.
#pragma once

#include <string>

namespace calque {

/// The line of the call that returns to `return_address`: "lstm.cpp:14". Inlined functions of Calque's and
/// the standard library's headers are looked through, up to the user's line. Without debug information the
/// function's name; "" when nothing is known, and for null. Results are kept. Any number of threads may call.
std::string source_line(const void* return_address);

}  // namespace calque
