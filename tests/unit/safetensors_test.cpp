// safetensors files: what is saved comes back in every bit, and nothing hostile gets in.
#include "calque/nn/safetensors.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "tests/support/temporary_folder.h"

using namespace calque;
using test::TemporaryFolder;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string length_word(uint64_t length) {
  std::string word(8, '\0');
  std::memcpy(word.data(), &length, 8);
  return word;
}

std::string file_of(const std::string& header, size_t buffer_bytes) {
  return length_word(header.size()) + header + std::string(buffer_bytes, '\0');
}

std::string one_entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"w":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

}  // namespace

TEST_CASE("tensors of every dtype, and metadata, come back as they were") {
  const TemporaryFolder folder;
  const std::vector<float> odd = {0.0f, -0.0f, INFINITY, NAN, std::numeric_limits<float>::denorm_min(), 1.1f};
  const bool flags[] = {true, false, true};
  const NamedTensors tensors = {{"odd", from_span<float>(odd, {2, 3})},
                                {"double", from_vector<double>({1.0 / 3, 2})},
                                {"long", from_vector<int64_t>({INT64_MIN, INT64_MAX})},
                                {"int", from_vector<int32_t>({-1})},
                                {"flags", from_span<bool>(flags, {3})},
                                {"none", zeros({0, 4})},
                                {"scalar \"\\ \xc3\xa9", from_value<float>(7)}};
  const std::map<std::string, std::string> metadata = {{"format", "pt"}, {"", "two\nlines"}};
  save_safetensors(folder.file("x.safetensors"), tensors, metadata);
  const SafetensorsFile file = load_safetensors(folder.file("x.safetensors"));
  CHECK(file.metadata == metadata);
  REQUIRE(file.tensors.size() == tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const Tensor loaded = find(file.tensors, name);
    REQUIRE(loaded);
    CHECK(loaded.dtype() == tensor.dtype());
    CHECK(loaded.shape() == tensor.shape());
  }
  CHECK(std::memcmp(find(file.tensors, "odd").data<float>(), odd.data(), sizeof(float) * odd.size()) == 0);
  CHECK(find(file.tensors, "double").to_vector<double>() == std::vector<double>{1.0 / 3, 2});
  CHECK(find(file.tensors, "long").to_vector<int64_t>() == std::vector<int64_t>{INT64_MIN, INT64_MAX});
  CHECK(find(file.tensors, "int").to_vector<int32_t>() == std::vector<int32_t>{-1});
  CHECK(find(file.tensors, "flags").to_vector<bool>() == std::vector<bool>{true, false, true});
}

TEST_CASE("the buffer starts at a multiple of 8, and nothing else is left in the folder") {
  const TemporaryFolder folder;
  for (const char* name : {"a", "ab", "abc", "abcd"}) {
    save_safetensors(folder.file("x.safetensors"), {{name, zeros({1})}});
    uint64_t length = 0;
    std::ifstream(folder.file("x.safetensors"), std::ios::binary).read(reinterpret_cast<char*>(&length), 8);
    CHECK(length % 8 == 0);
  }
  CHECK(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()) == 1);
}

TEST_CASE("a file without tensors is a file") {
  const TemporaryFolder folder;
  save_safetensors(folder.file("x.safetensors"), {});
  CHECK(load_safetensors(folder.file("x.safetensors")).tensors.empty());
  write_file(folder.file("x.safetensors"), file_of(R"(  {})", 0));
  CHECK_THROWS_AS(load_safetensors(folder.file("x.safetensors")), UserError);  // the format wants { first
  write_file(folder.file("x.safetensors"), file_of(R"({"__metadata__":{"k":"v"}}  )", 0));
  CHECK(load_safetensors(folder.file("x.safetensors")).metadata.at("k") == "v");
}

TEST_CASE("names that a file cannot hold are refused") {
  const TemporaryFolder folder;
  CHECK_THROWS_AS(save_safetensors(folder.file("x.safetensors"), {{"a", zeros({1})}, {"a", zeros({1})}}), UserError);
  CHECK_THROWS_AS(save_safetensors(folder.file("x.safetensors"), {{"__metadata__", zeros({1})}}), UserError);
  CHECK_THROWS_AS(save_safetensors(folder.file("x.safetensors"), {{"\xff", zeros({1})}}), UserError);
  CHECK(fs::is_empty(folder.path));
}

TEST_CASE("a disk that refuses is the environment's error, and leaves what was there") {
  const TemporaryFolder folder;
  CHECK_THROWS_AS(save_safetensors(folder.file("no/such/folder"), {{"a", zeros({1})}}), EnvironmentError);
  fs::create_directory(folder.path / "taken");
  CHECK_THROWS_AS(save_safetensors(folder.file("taken"), {{"a", zeros({1})}}), EnvironmentError);
  CHECK(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()) == 1);
}

TEST_CASE("hostile files are refused with one sentence") {
  struct Case {
    const char* what;
    std::string bytes;
    const char* says;
  };
  const std::string good = one_entry("F32", "[2]", "[0,8]");
  const auto two = [](const char* a, const char* b) {
    return R"({"a":{"dtype":"F32","shape":[2],"data_offsets":)" + std::string(a) +
           R"(},"b":{"dtype":"F32","shape":[2],"data_offsets":)" + b + "}}";
  };
  const Case cases[] = {
      {"empty file", "", "shorter"},
      {"half a length", "\x01\x02\x03", "shorter"},
      {"header longer than the file", length_word(1000) + "{}", "than the file has"},
      {"header of 2^63 bytes", length_word(uint64_t{1} << 63) + "{}", "100 MB"},
      {"no bytes of header", length_word(0), "begin with {"},
      {"a list for a header", file_of("[]", 0), "begin with {"},
      {"truncated JSON", file_of(good.substr(0, good.size() - 1), 8), "not valid JSON"},
      {"text after the JSON", file_of(good + "x", 8), "not valid JSON"},
      {"broken UTF-8", file_of("{\"\xff\":{}}", 0), "not valid JSON"},
      {"lists a million deep", file_of("{\"w\":" + std::string(1'000'000, '['), 0), "list"},
      {"objects a million deep",
       file_of(
           [] {
             std::string text = "{";
             for (int i = 0; i < 1'000'000; ++i) text += "\"a\":{";
             return text;
           }(),
           0),
       "unknown"},
      {"objects in the metadata", file_of(R"({"__metadata__":{"a":{}}})", 0), "object"},
      {"a number in the metadata", file_of(R"({"__metadata__":{"a":1}})", 0), "number"},
      {"a number for an entry", file_of(R"({"w":1})", 0), "number"},
      {"null for an entry", file_of(R"({"w":null})", 0), "null"},
      {"an unknown key", file_of(R"({"w":{"dtype":"F32","strides":[1]}})", 0), "unknown"},
      {"no dtype", file_of(R"({"w":{"shape":[2],"data_offsets":[0,8]}})", 8), "needed"},
      {"one offset", file_of(one_entry("F32", "[2]", "[0]"), 8), "needed"},
      {"three offsets", file_of(one_entry("F32", "[2]", "[0,8,8]"), 8), "more than 2"},
      {"an unknown dtype", file_of(one_entry("F8_E4M3", "[8]", "[0,8]"), 8), "not supported"},
      {"a key given twice",
       file_of(R"({"w":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8), "twice"},
      {"a name given twice",
       file_of(
           R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[0],"data_offsets":[8,8]}})",
           8),
       "twice"},
      {"a negative size", file_of(one_entry("F32", "[-2]", "[0,8]"), 8), "negative"},
      {"a fraction", file_of(one_entry("F32", "[2.0]", "[0,8]"), 8), "whole number"},
      {"a number over 2^64", file_of(one_entry("F32", "[99999999999999999999]", "[0,8]"), 8), "whole number"},
      {"sizes that overflow", file_of(one_entry("F32", "[4294967296,4294967296]", "[0,0]"), 0), "too large"},
      {"a size of 2^63", file_of(one_entry("F32", "[9223372036854775808,0]", "[0,0]"), 0), "too large"},
      {"seven axes", file_of(one_entry("F32", "[1,1,1,1,1,1,2]", "[0,8]"), 8), "more than 6"},
      {"offsets backwards", file_of(one_entry("F32", "[2]", "[8,0]"), 8), "span"},
      {"fewer bytes than the shape", file_of(one_entry("F32", "[2]", "[0,4]"), 4), "span"},
      {"past the end of the file", file_of(good, 4), "past the end"},
      {"offsets near 2^64",
       file_of(one_entry("F32", "[2]", "[18446744073709551600,18446744073709551608]"), 8), "past the end"},
      {"bytes of nobody at the end", file_of(good, 9), "no tensor"},
      {"a hole", file_of(two("[0,8]", "[12,20]"), 20), "hole"},
      {"a hole at the start", file_of(one_entry("F32", "[2]", "[4,12]"), 12), "hole"},
      {"an overlap", file_of(two("[0,8]", "[4,12]"), 12), "overlap"},
      {"the same bytes twice", file_of(two("[0,8]", "[0,8]"), 8), "overlap"},
      {"a BOOL of 2",
       length_word(one_entry("BOOL", "[1]", "[0,1]").size()) + one_entry("BOOL", "[1]", "[0,1]") + "\x02",
       "BOOL"},
  };
  const TemporaryFolder folder;
  write_file(folder.file("x.safetensors"), file_of(good, 8));
  REQUIRE(load_safetensors(folder.file("x.safetensors")).tensors.size() == 1);  // what the cases are variations of
  for (const Case& hostile : cases) {
    INFO(hostile.what);
    write_file(folder.file("x.safetensors"), hostile.bytes);
    CHECK_THROWS_AS(load_safetensors(folder.file("x.safetensors")), UserError);
    CHECK_THROWS_WITH(load_safetensors(folder.file("x.safetensors")), Contains(hostile.says) && Contains("x.safetensors"));
  }
  CHECK_THROWS_AS(load_safetensors(folder.file("missing")), UserError);
  CHECK_THROWS_AS(load_safetensors(folder.path.string()), UserError);
  CHECK_THROWS_AS(load_safetensors("/dev/zero"), UserError);
}

TEST_CASE("every truncation of a good file is refused") {
  const TemporaryFolder folder;
  save_safetensors(folder.file("x.safetensors"), {{"a", zeros({2})}, {"b", ones({3})}}, {{"k", "v"}});
  std::ifstream in(folder.file("x.safetensors"), std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  for (size_t length = 0; length < bytes.size(); ++length) {
    write_file(folder.file("cut"), bytes.substr(0, length));
    CHECK_THROWS_AS(load_safetensors(folder.file("cut")), UserError);
  }
}
