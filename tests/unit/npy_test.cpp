// npy files: what is saved comes back in every bit, other writers' orders are read, and nothing hostile gets in.
#include "calque/nn/npy.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "calque/ops.h"
#include "tests/support/same_bits.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_values.h"

using namespace calque;
using test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

std::string read_bytes(const std::string& path) {
  std::ostringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return bytes.str();
}

void write_bytes(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

std::string file_of(const std::string& dictionary, const std::string& elements, char version = 1) {
  std::string length(version == 1 ? 2 : 4, '\0');
  length[0] = static_cast<char>(dictionary.size());
  return std::string("\x93NUMPY") + version + '\0' + length + dictionary + elements;
}

std::string dictionary(const std::string& descr, const std::string& fortran, const std::string& shape) {
  return "{'descr': '" + descr + "', 'fortran_order': " + fortran + ", 'shape': " + shape + ", }\n";
}

}  // namespace

TEST_CASE("npy: tensors of every dtype and layout come back as they were") {
  const TemporaryFolder folder;
  for (const DType dtype : kAllDTypes)
    for (const Shape& shape : {Shape{}, Shape{3}, Shape{0}, Shape{2, 0, 3}, Shape{2, 3, 4}, Shape{1, 2, 1, 3, 2, 2}}) {
      const Tensor x = test::ordinary_tensor({dtype, shape}, 5);
      save_npy(folder.file("x.npy"), x);
      CHECK(same_bits(load_npy(folder.file("x.npy")), x));
      CHECK(read_bytes(folder.file("x.npy")).find('\n') % 64 == 63);
    }
  const Tensor odd = from_vector<float>({0.0f, -0.0f, INFINITY, NAN, 1e-45f, 1.1f}, {2, 3});
  save_npy(folder.file("x.npy"), permute(odd, {1, 0}));
  CHECK(same_bits(load_npy(folder.file("x.npy")), permute(odd, {1, 0})));
  CHECK(std::distance(fs::directory_iterator(folder.path), {}) == 1);  // no temporary file is left
}

TEST_CASE("npy: Fortran order, big-endian numbers and later versions are read") {
  const TemporaryFolder folder;
  const std::string six("\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5\0\0\0\6\0\0\0", 24);
  write_bytes(folder.file("x.npy"), file_of(dictionary("<i4", "True", "(2, 3)"), six));
  CHECK(load_npy(folder.file("x.npy")).to_vector<int32_t>() == std::vector<int32_t>{1, 3, 5, 2, 4, 6});
  write_bytes(folder.file("x.npy"), file_of(dictionary(">i4", "False", "(1,)"), std::string("\0\0\1\2", 4), 2));
  CHECK(load_npy(folder.file("x.npy")).item() == 258);
  write_bytes(folder.file("x.npy"), file_of("{\"shape\":(2L,),\"descr\":\"|b1\",\"fortran_order\":False}", std::string("\1\0", 2), 3));
  CHECK(load_npy(folder.file("x.npy")).to_vector<bool>() == std::vector<bool>{true, false});
}

TEST_CASE("npy: a file cut at any length, or with any byte changed, is read or refused") {
  const TemporaryFolder folder;
  save_npy(folder.file("x.npy"), from_vector<double>({1, 2, 3, 4}, {2, 2}));
  const std::string whole = read_bytes(folder.file("x.npy"));
  for (size_t length = 0; length < whole.size(); ++length) {
    write_bytes(folder.file("x.npy"), whole.substr(0, length));
    CHECK_THROWS_AS(load_npy(folder.file("x.npy")), UserError);
  }
  write_bytes(folder.file("x.npy"), whole + "x");
  CHECK_THROWS_AS(load_npy(folder.file("x.npy")), UserError);
  for (size_t i = 0; i < 128; ++i)
    for (const int flip : {1, 4, 16, 128, 255}) {
      std::string bytes = whole;
      bytes[i] = static_cast<char>(bytes[i] ^ flip);
      write_bytes(folder.file("x.npy"), bytes);
      int64_t elements = 0;
      try {
        elements = load_npy(folder.file("x.npy")).element_count();
      } catch (const UserError&) {  // the right answer to most of them
      }
      CHECK(elements * 4 <= 64);
    }
}

TEST_CASE("npy: headers that claim what cannot be are refused") {
  const TemporaryFolder folder;
  const std::string four(16, '\0');
  for (const std::string& header :
       {dictionary("<f4", "False", "(9223372036854775807, 9223372036854775807)"),
        dictionary("<f4", "False", "(99999999999999999999,)"), dictionary("<f4", "False", "(4611686018427387904,)"),
        dictionary("<f4", "False", "(-4,)"), dictionary("<f4", "False", "(1,1,1,1,1,1,4)"),
        dictionary("<f4", "False", "(4"), dictionary("<f4", "Maybe", "(4,)"), dictionary("<f2", "False", "(8,)"),
        dictionary("|O", "False", "(4,)"), dictionary("<c8", "False", "(2,)"), dictionary("<f4", "False", "4"),
        dictionary("|b1", "False", "(15,)"), dictionary("<f4", "False", "(0, 9223372036854775807)"),
        std::string("{'descr': '<f4', 'shape': (4,)}"), std::string("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4,)}"),
        std::string("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (4,)}"),
        std::string("{'other': 1}"), std::string("__import__('os')"), std::string(""), std::string("{"),
        dictionary("<f4", "False", "(4,)") + "x"}) {
    INFO(header);
    write_bytes(folder.file("x.npy"), file_of(header, four));
    CHECK_THROWS_AS(load_npy(folder.file("x.npy")), UserError);
  }
  write_bytes(folder.file("x.npy"), file_of(dictionary("|b1", "False", "(2,)"), std::string("\2\1", 2)));
  CHECK_THROWS_AS(load_npy(folder.file("x.npy")), UserError);
  CHECK_THROWS_AS(load_npy(folder.path.string()), UserError);
  CHECK_THROWS_AS(load_npy(folder.file("x.npy") + ".none"), UserError);
  CHECK_THROWS_AS(save_npy("/nonexistent/x.npy", ones({1})), EnvironmentError);
}
