// The backward pass of a region of which some results get no gradient.
#pragma once

#include <vector>

#include "passes/autodiff.h"

namespace calque {

/// `full` with the gradients of the outputs marked in `absent` left out, as a tape leaves them out: what depends on nothing
/// else is not computed (zeros in their place would turn into NaN at a division by zero), and inputs that only they reach are
/// no longer among `wanted`. Saved values stay numbered as they are.
Differentiation without_gradients(const Differentiation& full, const std::vector<bool>& absent);

}  // namespace calque
