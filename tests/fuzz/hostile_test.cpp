// Whatever comes from outside may be anything: sound texts and files, damaged at random, give an error or a sound result,
// never a crash. What a damaged byte does to memory, the address sanitizer sees.
#include <catch2/catch.hpp>

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "calque/nn/safetensors.h"
#include "calque/ops.h"
#include "compiler/cache_entry.h"
#include "compiler/image.h"
#include "ir/graph/interpreter.h"
#include "ir/graph/parser.h"
#include "ir/graph/printer.h"
#include "ir/graph/verifier.h"
#include "ir/op/error.h"
#include "nn/safetensors_header.h"
#include "tests/fuzz/random_program.h"
#include "tests/support/sanitized.h"

using namespace calque;
using namespace calque::test;

namespace {

/// Changes a few bytes, cuts, repeats and moves pieces, puts in words that the format knows.
class Damage {
 public:
  Damage(uint32_t seed, std::vector<std::string> words) : random_(seed), words_(std::move(words)) {}

  std::string operator()(std::string bytes) {
    for (size_t times = 1 + pick(4); times-- > 0;) damage(bytes);
    return bytes;
  }
  size_t pick(size_t count) { return count == 0 ? 0 : random_() % count; }

 private:
  void damage(std::string& bytes) {
    const size_t at = pick(bytes.size() + 1), length = std::min(bytes.size() - at, 1 + pick(pick(2) ? 8 : 64));
    switch (pick(7)) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << pick(8)));
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = static_cast<char>(pick(256));
        break;
      case 2: bytes.erase(at, length); break;
      case 3: bytes.insert(pick(bytes.size() + 1), bytes.substr(at, length)); break;
      case 4: bytes.resize(at); break;
      case 5: bytes.insert(at, words_[pick(words_.size())]); break;
      default: {
        const std::string& word = words_[pick(words_.size())];
        bytes.replace(at, std::min(bytes.size() - at, word.size()), word);
      }
    }
  }

  std::mt19937 random_;
  std::vector<std::string> words_;
};

std::string word_of(uint64_t number) {
  std::string word(sizeof number, '\0');
  std::memcpy(word.data(), &number, sizeof number);
  return word;
}

/// Numbers at which lengths and offsets go wrong, as little-endian words.
std::vector<std::string> binary_words() {
  std::vector<std::string> words;
  for (uint64_t number : {uint64_t{0}, uint64_t{1}, uint64_t{7}, uint64_t{64}, uint64_t{1} << 31, uint64_t{1} << 32,
                          uint64_t{1} << 62, uint64_t{1} << 63, ~uint64_t{0}, ~uint64_t{0} - 63})
    words.push_back(word_of(number));
  return words;
}

bool is_small(const Graph& graph) {
  for (ValueId value = 0; value < graph.value_count(); ++value)
    if (graph.type(value).shape.element_count() > 4096) return false;
  for (const Node& node : graph.nodes())
    if (node.body && !is_small(*node.body)) return false;
  return true;
}

/// What may be done with a graph that was parsed: it prints as itself, and one that keeps the rules can be run.
void use(const Graph& graph) {
  const std::string text = print(graph);
  CHECK(print(parse(text)) == text);
  verify(graph);
  if (!is_small(graph)) return;
  std::vector<Literal> inputs;
  for (ValueId input : graph.inputs()) inputs.emplace_back(graph.type(input));
  interpret(graph, inputs);
}

struct TemporaryFile {
  std::string path = (std::filesystem::temp_directory_path() / ("calque_hostile_" + std::to_string(getpid()))).string();
  ~TemporaryFile() { std::filesystem::remove(path); }
  void write(const std::string& bytes) const { std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes; }
};

}  // namespace

TEST_CASE("damaged IR text is a UserError or a graph") {
  std::vector<std::string> texts;
  for (const auto& entry : std::filesystem::directory_iterator("tests/ir/golden")) {
    if (entry.path().extension() != ".cq") continue;
    std::stringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    texts.push_back(text.str().substr(text.str().find("graph ")));
    texts.back().resize(std::min(texts.back().size(), texts.back().find("\n}\n") + 3));
  }
  REQUIRE(texts.size() > 5);
  std::vector<std::string> words = {"{", "}", "(", ")", "[", "]", "%", "%0", ":", ",", "=", "->", "-1", "0", "1", "nan", "inf",
                                    "9223372036854775807", "-9223372036854775808", "99999999999999999999", "1e999", "f32[]",
                                    "i64[0]", "bool[1,1,1,1,1,1,1,1,1]", "f32[4294967296,4294967296]", "true", "\"", "\x01", "//"};
  for (int op = 0; op < kOpCount; ++op) words.push_back(row(static_cast<Op>(op)).name);
  Damage damage(1, words);
  int64_t sound = 0, refused = 0;
  for (int64_t i = 0; i < scaled(40000); ++i) {
    std::string text = texts[damage.pick(texts.size())];
    if (i % 4 == 0) {
      std::mt19937 random(static_cast<uint32_t>(i));
      text = print_program(random_program(random, 10));
    }
    text = damage(std::move(text));
    try {
      use(parse(text));
      ++sound;
    } catch (const UserError&) {
      ++refused;
    } catch (const InternalError&) {
      ++refused;  // the verifier's word for a rule that does not hold
    } catch (const std::exception& error) {
      FAIL_CHECK(error.what() << "\n" << text);
    }
  }
  CHECK(sound > 0);
  CHECK(refused > sound);
}

TEST_CASE("damaged safetensors files are a UserError or tensors") {
  const TemporaryFile file;
  save_safetensors(file.path, {{"weight", ones({3, 5})}, {"bias", zeros({5}, DType::f64)}, {"steps", arange(4)}, {"none", zeros({0, 2})}},
                   {{"format", "pt"}, {"note", "two\nlines"}});
  std::stringstream bytes;
  bytes << std::ifstream(file.path, std::ios::binary).rdbuf();
  const std::string whole = bytes.str();
  std::vector<std::string> words = binary_words();
  for (const char* word : {"{", "}", "[", "]", "\"", "\\u0000", "\\ud800", "null", "-1", "1e300", "18446744073709551616", "F32",
                           "BOOL", "F8_E4M3", "data_offsets", "__metadata__", "\"shape\":[]", "{\"a\":", "[[[[[[[["})
    words.push_back(word);
  Damage damage(2, words);
  int64_t sound = 0, refused = 0;
  for (int64_t i = 0; i < scaled(20000); ++i) {
    file.write(damage(whole));
    try {
      for (const auto& [name, tensor] : load_safetensors(file.path).tensors) CHECK(tensor.element_count() >= 0);
      ++sound;
    } catch (const UserError&) {
      ++refused;
    } catch (const std::exception& error) {
      FAIL_CHECK(error.what() << " at damage " << i);
    }
  }
  CHECK(sound > 0);
  CHECK(refused > sound);
}

TEST_CASE("damaged cache entries are refused, and forged ones taken apart without harm") {
  const std::string key = "calque\nbuild 1\nisa avx2\n", whole = encode_entry(key, {{"forward", std::string(300, 'f')}, {"text", "graph @a() {}"}, {"", ""}});
  Damage damage(3, binary_words());
  int64_t taken = 0;
  for (int64_t i = 0; i < scaled(60000); ++i) {
    const std::string bytes = damage(whole);
    const DecodedEntry entry = decode_entry(bytes);
    if (bytes != whole) CHECK(entry.fault);
    if (bytes.size() < 64) continue;
    const std::string forged = with_fresh_checksum(bytes);
    const DecodedEntry other = decode_entry(forged);
    if (other.fault) continue;
    ++taken;
    CHECK(other.key.data() >= forged.data());
    CHECK(other.key.data() + other.key.size() <= forged.data() + forged.size());
  }
  CHECK(taken > 0);
}

TEST_CASE("damaged headers of images are refused, or point into the image") {
  std::string image(256, '\xc3');
  const calque_image_header header{CALQUE_IMAGE_MAGIC, CALQUE_KERNEL_ABI_VERSION, 2, image.size(), 128};
  const calque_image_entry entries[] = {{128, 0, 0, 0}, {192, 4096, 0, 0}};
  std::memcpy(image.data(), &header, sizeof header);
  std::memcpy(image.data() + sizeof header, entries, sizeof entries);
  Damage damage(4, binary_words());
  int64_t sound = 0;
  for (int64_t i = 0; i < scaled(20000); ++i) {
    const std::string bytes = damage(image);
    try {
      const ExecutableImage mapped = ExecutableImage::from_bytes(std::as_bytes(std::span(bytes)));
      for (size_t kernel = 0; kernel < mapped.kernel_count(); ++kernel)
        CHECK(*reinterpret_cast<const unsigned char*>(mapped.kernel(kernel)) <= 255);  // it can be read
      ++sound;
    } catch (const EnvironmentError&) {
      // refused
    }
  }
  CHECK(sound > 0);
}
