// Where two ways of a function part, said in one sentence.
#pragma once

#include <span>
#include <string>

#include "compiler/frame.h"
#include "compiler/trace.h"

namespace calque {

/// After `cursor` something was asked for that no known way goes on with: `asked`, or the end of the segment
/// when null. "mul at a.cpp:3 is new where tanh at a.cpp:5 was recorded".
std::string describe_new_way(const TraceTree& tree, TraceId cursor, const OpCall* asked);

/// How the way from `root` to `now` differs from the one to `before`: "the constant 0.1 at train.cpp:31
/// became 0.05". The numbers are those that the two calls gave to nodes of kind `number`, in order. Empty
/// when the ways are one.
std::string describe_difference(const TraceTree& tree, TraceId root, TraceId before, TraceId now,
                                std::span<const Number> numbers_before, std::span<const Number> numbers_now);

/// Where the ways part most often, and in what: "What kept changing: sizes of what tanh at a.cpp:3 takes".
std::string describe_most_varied(const TraceTree& tree);

/// `mul at a.cpp:3`, or `mul` where the line is not known.
std::string at_line(const char* what, const void* location);

}  // namespace calque
