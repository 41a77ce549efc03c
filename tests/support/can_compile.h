// Whether this run has generated code to test.
#pragma once

#include "runtime/kernels/isa.h"

namespace calque::test {

/// Whether compiled functions run generated code here: there is none for baseline x86-64.
inline bool can_compile() { return kernels::isa_level() != kernels::IsaLevel::baseline; }

}  // namespace calque::test
