// The user's say over the thread pool.
#include "calque/threads.h"

#include <string>

#include "ir/op/error.h"
#include "runtime/thread_pool.h"

namespace calque {

int num_threads() { return ThreadPool::instance().num_threads(); }

void set_num_threads(int threads) {
  if (threads < 1 || threads > ThreadPool::kMaxThreads)
    throw UserError("set_num_threads: " + std::to_string(threads) + " is not a number from 1 to " +
                    std::to_string(ThreadPool::kMaxThreads));
  ThreadPool::instance().set_num_threads(threads);
}

}  // namespace calque
