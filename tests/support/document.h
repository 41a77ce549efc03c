// Pages of the documentation that are made by a test.
#pragma once

#include <catch2/catch.hpp>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace calque {

/// Checks that the file (relative to the project) holds just this text. With WRITE_DOCUMENTS set, writes it first.
inline void check_document(const std::string& path, const std::string& text) {
  if (std::getenv("WRITE_DOCUMENTS")) std::ofstream(path) << text;
  std::stringstream found;
  found << std::ifstream(path).rdbuf();
  INFO(path << " is not current; WRITE_DOCUMENTS=1 with this test writes it");
  CHECK((found.str() == text));
}

}  // namespace calque
