// Another number of threads for a while.
#pragma once

#include "runtime/thread_pool.h"

namespace calque::test {

/// Gives the threads back in the end.
class Threads {
 public:
  explicit Threads(int count) : before_(ThreadPool::instance().num_threads()) { ThreadPool::instance().set_num_threads(count); }
  ~Threads() { ThreadPool::instance().set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

}  // namespace calque::test
