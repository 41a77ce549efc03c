// Checked growth of attribute lists.
#include "ir/op/attributes.h"

#include "ir/op/error.h"

namespace calque {

void Attributes::add_word(int64_t word) {
  if (size_ == kMaxWords) throw UserError("too many attributes: a shape or axis list is longer than the largest rank");
  words_[size_++] = word;
}

void Attributes::set_list(int first, std::span<const int64_t> values) {
  // The source may lie in this very object.
  std::array<int64_t, kMaxWords> copy{};
  if (first + values.size() > kMaxWords)
    throw UserError("too many attributes: a shape or axis list is longer than the largest rank");
  std::copy(values.begin(), values.end(), copy.begin());
  std::copy_n(copy.begin(), values.size(), words_.begin() + first);
  size_ = first + static_cast<int>(values.size());
}

}  // namespace calque
