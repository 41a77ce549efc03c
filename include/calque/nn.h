// Neural networks: modules, initialisers, optimisers, schedules, checkpoints, text data, npy and safetensors files. Losses are
// ops (cross_entropy, mse_loss, ...).
#pragma once

#include "calque/nn/checkpoint.h"
#include "calque/nn/dropout.h"
#include "calque/nn/layers.h"
#include "calque/nn/module.h"
#include "calque/nn/npy.h"
#include "calque/nn/optim.h"
#include "calque/nn/optimizer.h"
#include "calque/nn/random.h"
#include "calque/nn/recurrent.h"
#include "calque/nn/safetensors.h"
#include "calque/nn/schedule.h"
#include "calque/nn/sequential.h"
#include "calque/nn/text.h"
