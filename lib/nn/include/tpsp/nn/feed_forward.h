// The gated feed-forward sublayer (SwiGLU, Shazeer, arXiv:2002.05202), under any plan.
#pragma once

#include <string>

#include "tpsp/nn/layers.h"

namespace tpsp::nn {

/// `gate` and `up` read what has arrived at `container`; `down` reads silu(gate) * up.
struct FeedForwardModules {
  std::string container;
  std::string gate;
  std::string up;
  std::string down;
};

/// What the sublayer adds to the residual stream, for `input` `[seq, batch, hidden]`, arrived at the container.
Delta feed_forward(const Layers& layers, Sharded input, const FeedForwardModules& modules);

/// As far as the backward needs it: without the last GEMM.
void feed_forward_again(const Layers& layers, Sharded input, const FeedForwardModules& modules);

/// From the gradient of the delta, that of `input`, perhaps partial. See Layers.
Sharded feed_forward_backward(const Layers& layers, const Sharded& gradient, const InputAgain& input,
                              const FeedForwardModules& modules);

}  // namespace tpsp::nn
