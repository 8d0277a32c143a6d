// The loss of a language model, on the logits as they are sharded.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "tpsp/parallel/sharded.h"

namespace tpsp::nn {

struct Loss {
  double value = 0;  ///< scale times the sum of every token's loss; the same on all ranks
  Sharded gradient;  ///< of the logits, in their memory and placement
};

/// Cross-entropy of `logits` `[padded seq, batch, padded vocabulary]`, which it overwrites, with `targets` `[batch,
/// seq]` (int64): -log softmax(logits)[target] of every token, in fp32, times `scale`; padding counts for nothing.
/// Where the vocabulary is sharded no logits move: the ranks exchange a maximum, a sum of exponentials and the target's
/// logit of each token (Shoeybi et al., arXiv:1909.08053), and where tokens are sharded the sum alone. Logits must not
/// be partial. Collective.
Loss cross_entropy(Sharded logits, const at::Tensor& targets, std::int64_t vocabulary, double scale,
                   const Context& context);

/// What these small collectives are called in events.
inline constexpr const char* loss_module = "loss";

}  // namespace tpsp::nn
