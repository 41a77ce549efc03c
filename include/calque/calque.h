// Everything a user of Calque includes.
#pragma once

#include "calque/autograd.h"
#include "calque/cache.h"
#include "calque/compile.h"
#include "calque/dlpack.h"
#include "calque/error.h"
#include "calque/gradcheck.h"
#include "calque/log.h"
#include "calque/mdspan.h"
#include "calque/nn.h"
#include "calque/ops.h"
#include "calque/print.h"
#include "calque/pure.h"
#include "calque/random.h"
#include "calque/state.h"
#include "calque/tensor.h"
#include "calque/threads.h"
