// How many threads Calque computes with.
#pragma once

#pragma GCC visibility push(default)

namespace calque {

/// Threads that one op or plan is spread over: as set here, else CALQUE_NUM_THREADS, else one for each core that the process
/// may run on. Results do not depend on it.
int num_threads();

/// Applies to what starts after it, in every thread of the process. Throws UserError unless 1 <= threads <= 256.
void set_num_threads(int threads);

}  // namespace calque

#pragma GCC visibility pop
