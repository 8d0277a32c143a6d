// What a plan will do, before it is done: the same forward pass on tensors without storage, at any world size.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tpsp/comm/process_group.h"
#include "tpsp/core/memory_use.h"
#include "tpsp/models/architecture.h"
#include "tpsp/parallel/events.h"
#include "tpsp/parallel/lowering.h"
#include "tpsp/weights/weights.h"

namespace tpsp {

/// A collective on behalf of one module.
struct PreviewCollective {
  Collective kind;
  std::int64_t bytes = 0;  ///< sent by each rank
};

struct PreviewModule {
  std::string name;  ///< a module, or "logits"
  ModulePlan module_plan;
  std::vector<std::int64_t> weight_shape;  ///< of one rank; empty for none
  std::vector<PreviewCollective> collectives;
};

struct Preview {
  std::vector<PreviewModule> modules;
  std::int64_t seq_padded = 0;
  std::int64_t vocab_padded = 0;
  CommCounts layers{};                          ///< of one forward, without the logits
  CommCounts logits{};                          ///< making the logits what the plan wants
  std::int64_t weights_bytes = 0;               ///< of one rank, in the forms that the kernels want
  double product_flops = 0;                     ///< of rank 0's GEMMs with weights
  double attention_flops = 0;                   ///< of rank 0's attention, the half that the mask leaves
  std::int64_t peak_bytes = 0;                  ///< of one rank at the forward's peak, everything but weights
  std::int64_t peak_activation_bytes = 0;       ///< of these, what the forward makes
  std::int64_t before_head_bytes = 0;           ///< likewise, the peak until the head runs
  std::int64_t gathered_logits_peak_bytes = 0;  ///< the peak beyond the weights while gathered_logits runs after it
  std::int64_t gathered_logits_bytes = 0;       ///< what is left of that: the gathered logits
  std::int64_t collective_bytes = 0;            ///< the largest full value that a collective moves
  ArenaSizes arena;                             ///< what ProcessGroup::reserve needs
  std::vector<Finding> findings;                ///< the lowering's, and detours
};

/// What the memory of a forward depends on beside model, plan and shape.
struct PreviewSettings {
  bool shares_memory = false;          ///< of the backend's ranks: a collective needs no buffers of its own then
  bool replicas_share_memory = false;  ///< likewise of a training step's replicas
  KernelChoice kernel{};               ///< which multiplies with what; what it copies meanwhile counts
  StandsFor meta{};
};

/// Runs the forward of rank 0 on meta tensors with a process group that moves nothing. Needs neither MPI, GPU nor
/// weights. Throws what the real forward would throw.
Preview preview(const Architecture& model, const LoweredPlan& plan, std::int64_t batch, std::int64_t seq,
                c10::ScalarType dtype, const PreviewSettings& settings = {});

}  // namespace tpsp
