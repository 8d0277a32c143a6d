// The unsharded LLaMA that results are checked against, written out in plain ATen operations.
#pragma once

#include <ATen/core/Tensor.h>

#include "tpsp/models/config.h"
#include "tpsp/weights/weights.h"

namespace tpsp {

/// See Architecture::reference_logits. Of the code that it checks it uses `make_weight` on unsharded weights and
/// nothing else: no plans, collectives, packed weights or fused kernels.
at::Tensor reference_logits(const LlamaConfig& config, const WeightRecipe& recipe, const at::Tensor& tokens);

}  // namespace tpsp
