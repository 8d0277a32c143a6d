// Causal attention with rotary positions and grouped queries, under any plan.
#pragma once

#include <cstdint>
#include <string>

#include "tpsp/nn/layers.h"
#include "tpsp/nn/ops.h"

namespace tpsp::nn {

/// Vaswani et al., arXiv:1706.03762; grouped queries (arXiv:2305.13245) where kv_heads < heads.
struct AttentionShape {
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
};

/// The modules of one attention: `queries`, `keys` and `values` read what has arrived at `container`.
struct AttentionModules {
  std::string container;
  std::string queries;
  std::string keys;
  std::string values;
  std::string output;
};

/// What attention to `input` (`[seq, batch, hidden]`, arrived at the container) adds to the residual stream. Throws
/// bad_input, naming the module, where a shard does not end with a head.
Delta attention(const Layers& layers, Sharded input, const AttentionModules& modules, const AttentionShape& shape,
                const ops::RotaryTable& rotary);

/// From the gradient of the delta, that of `input`, perhaps partial. See Layers.
Sharded attention_backward(const Layers& layers, const Sharded& gradient, const InputAgain& input,
                           const AttentionModules& modules, const AttentionShape& shape,
                           const ops::RotaryTable& rotary);

}  // namespace tpsp::nn
