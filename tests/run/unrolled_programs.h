// Programs whose steps look like a loop and are none, with what explain() says of them.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace calque {

struct UnrolledProgram {
  const char* name;
  int line;                                  // of its step
  std::string said;                          // a line of the explanation; @ stands for "unrolled_programs.cpp:<line>"
  std::function<std::string()> explanation;  // after some calls
  int times = 1;                             // that it is said: once in each way
};

const std::vector<UnrolledProgram>& unrolled_programs();

}  // namespace calque
