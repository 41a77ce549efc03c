// Which processors a thread may run on, and a way off one that it shares with a thread that it works with.
#pragma once

#include <span>

namespace calque {

/// How many processors the calling thread may run on, at least 1.
int allowed_processors();

/// Moves the calling thread to a processor that is not `taken` (numbers of sched_getcpu()), if it may run on one. It may go
/// anywhere afterwards. Two system calls and the move: some ten microseconds.
void leave_processors(std::span<const int> taken);

}  // namespace calque
