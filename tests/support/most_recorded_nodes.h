// Loops whose iterations are counted instead of recorded after fewer nodes than outside of tests.
#pragma once

#include "compiler/long_loop.h"

namespace calque::test {

/// As long as it lives.
struct MostRecordedNodes {
  explicit MostRecordedNodes(size_t most) : before(LongLoop::most_nodes.exchange(most)) {}
  ~MostRecordedNodes() { LongLoop::most_nodes = before; }
  MostRecordedNodes(const MostRecordedNodes&) = delete;
  MostRecordedNodes& operator=(const MostRecordedNodes&) = delete;
  const size_t before;
};

}  // namespace calque::test
