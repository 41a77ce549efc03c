// Everything a user of Calque includes.
#pragma once

#include "calque/autograd.h"
#include "calque/compile.h"
#include "calque/nn.h"
#include "calque/ops.h"
#include "calque/pure.h"
#include "calque/random.h"
#include "calque/state.h"
#include "calque/tensor.h"
