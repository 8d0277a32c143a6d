// What a plan will do, before it is done: the same forward pass on tensors without storage, at any world size.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tpsp/comm/counting.h"
#include "tpsp/core/memory_use.h"
#include "tpsp/model/config.h"
#include "tpsp/model/weights.h"
#include "tpsp/parallel/lowering.h"

namespace tpsp {

/// A collective on behalf of one module.
struct PreviewCollective {
  Collective kind;
  std::int64_t bytes = 0;  ///< sent by each rank
};

struct PreviewModule {
  std::string name;  ///< a module, or "logits"
  Placement placement;
  std::vector<std::int64_t> weight_shape;  ///< of one rank; empty for none
  std::vector<PreviewCollective> collectives;
};

/// What bytes depend on besides the case.
struct PreviewOf {
  bool shares_memory = false;  ///< the backend's ranks do: a collective then needs no buffers of its own
  KernelChoice kernel{};       ///< whose form the weights have; plain without one
};

struct Preview {
  std::vector<PreviewModule> modules;
  std::int64_t seq_padded = 0;
  std::int64_t vocab_padded = 0;
  CommCounts layers{};                       ///< of one forward, without the logits
  CommCounts logits{};                       ///< making the logits what the plan wants
  std::int64_t weights_bytes = 0;            ///< of one rank
  double product_flops = 0;                  ///< of rank 0's matrix products with weights
  double attention_flops = 0;                ///< of rank 0's attention, the half that the mask leaves
  MemorySplit peak;                          ///< of one rank, at the forward's peak, weights included
  std::int64_t peak_activation_bytes = 0;    ///< of these, everything but weights
  std::int64_t before_head_bytes = 0;        ///< likewise, the peak until the head runs
  std::int64_t whole_logits_peak_bytes = 0;  ///< the peak beside the weights while Llama::whole runs after it
  std::int64_t whole_logits_bytes = 0;       ///< what is left of that: the whole logits
  std::int64_t collective_bytes = 0;         ///< of these, the largest buffer that a collective reads or fills
  Room room;                                 ///< what Communicator::reserve is to be told
  std::vector<Finding> findings;             ///< the lowering's, and detours
};

/// Runs the forward of rank 0 on meta tensors with a communicator that moves nothing. Needs neither MPI, GPU nor
/// weights. Throws what the real forward would throw.
Preview preview(const ModelConfig& config, const LoweredPlan& plan, std::int64_t batch, std::int64_t seq,
                c10::ScalarType dtype, const PreviewOf& of = {});

}  // namespace tpsp
