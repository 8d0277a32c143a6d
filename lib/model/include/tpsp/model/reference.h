// The unsharded LLaMA that results are checked against, written out in plain ATen operations.
#pragma once

#include <ATen/core/Tensor.h>

#include "tpsp/model/config.h"
#include "tpsp/model/weights.h"

namespace tpsp {

/// Logits `[batch, seq, vocabulary]` of `tokens` (`[batch, seq]` int64, on the recipe's device), in the recipe's dtype.
/// One weight is in memory at a time, so that a reference of any depth fits. Of the code that it checks it uses
/// `make_weight` on unsharded weights and nothing else: no placements, collectives, packed weights or fused kernels,
/// and batch-first activations. The formulas are those of Llama in transformers (Touvron et al., arXiv:2302.13971).
at::Tensor reference_logits(const ModelConfig& config, const WeightRecipe& recipe, const at::Tensor& tokens);

}  // namespace tpsp
