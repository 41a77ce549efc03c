// Text as training data: bytes, their vocabulary, and batches for truncated back-propagation through time.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "calque/tensor.h"

#pragma GCC visibility push(default)

namespace calque::nn {

/// All bytes of a file. Throws UserError when it cannot be read.
std::string read_text(const std::string& path);

/// The fortunes of Debian's packages `fortunes` and `fortunes-min`: every plain file of the folder (no .dat,
/// no links) in the order of their names, joined. Lines `%` stay: they end a fortune. Throws UserError when
/// there are none.
std::string read_fortunes(const std::string& folder = "/usr/share/games/fortunes");

/// Bytes that occur in a text, in ascending order: byte <-> index.
class Vocabulary {
 public:
  explicit Vocabulary(std::string_view text);
  int64_t size() const { return static_cast<int64_t>(bytes_.size()); }
  const std::string& bytes() const { return bytes_; }
  /// Throws UserError for a byte that does not occur.
  std::vector<int64_t> encode(std::string_view text) const;
  char decode(int64_t index) const { return bytes_[index]; }

 private:
  std::string bytes_;
  std::array<int16_t, 256> index_;
};

/// One piece of text for every stream, steps first: element t * batch + b is step t of stream b.
struct TextBatch {
  Tensor inputs, targets;  // i64 [steps * batch]; a target is the byte after its input
  int64_t steps = 0;
  bool starts_anew = false;  // the streams are at their beginning: the carried state is zero
};

/// Cuts a text into `batch` contiguous streams and these into pieces of `steps`. Piece n follows piece n - 1
/// in every stream, so the state is carried; after the last one the streams begin again. A piece depends on
/// its number only.
class TextBatches {
 public:
  /// Throws UserError when the text is too short for one piece.
  TextBatches(std::vector<int64_t> tokens, int64_t batch, int64_t steps);
  TextBatch operator[](int64_t number) const;
  int64_t pieces() const { return pieces_; }

 private:
  std::vector<int64_t> tokens_;
  int64_t batch_, steps_, stream_length_, pieces_;
};

}  // namespace calque::nn

#pragma GCC visibility pop
