// npy files: one array each, as numpy.save and numpy.load have them (the format: numpy.lib.format, versions 1.0 to 3.0).
#pragma once

#include <string>

#include "calque/tensor.h"

#pragma GCC visibility push(default)

namespace calque {

/// Writes the elements in row-major order. The file appears whole or not at all. Throws EnvironmentError when the disk refuses.
void save_npy(const std::string& path, const Tensor& tensor);

/// Reads a whole file, trusting nothing in it. dtypes f4, f8, i4, i8 of either byte order, and b1; arrays in Fortran order come
/// back in row-major order. Throws UserError naming what is wrong: a header that is not the dictionary the format asks for, another
/// dtype, a rank over 6, a shape whose elements are more or fewer than the file has.
Tensor load_npy(const std::string& path);

}  // namespace calque

#pragma GCC visibility pop
