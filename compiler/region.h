// A compiled region on the tape: one node, whose backward pass is a plan too.
#pragma once

#include <memory>
#include <span>

#include "compiler/compiled_segment.h"
#include "runtime/tape.h"

namespace calque {

/// The node of one run: `slots` are the inputs of the region, `inputs` what the forward plan took in their place, `saved` what it
/// kept. Result i of the node is held value i of the segment.
Ref<TapeNode> make_region_node(std::shared_ptr<const CompiledSegment> segment, std::span<const Tensor> slots,
                               std::span<const Tensor> inputs, std::span<const Tensor> saved);

}  // namespace calque
