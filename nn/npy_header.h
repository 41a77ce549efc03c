// The header of an npy file: a Python dictionary with three keys, read without Python; and its text.
#pragma once

#include <string>
#include <string_view>

#include "calque/tensor.h"

namespace calque::npy {

struct Header {
  Type type;
  bool is_big_endian = false;
  bool is_fortran = false;  // the first axis is the innermost one in memory
};

/// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, keys in any order. Throws UserError (a sentence without the
/// file's name) for anything else.
Header parse_header(std::string_view text);

/// The whole head of a file, magic and length included: a multiple of 64 bytes.
std::string format_head(const Type& type);

}  // namespace calque::npy
