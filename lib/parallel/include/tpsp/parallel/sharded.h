// A tensor that knows how its global value lies over the ranks, and the one call that changes that.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tpsp/comm/process_group.h"
#include "tpsp/parallel/events.h"
#include "tpsp/parallel/placement.h"

namespace tpsp {

/// This rank's part of a global value `[seq, batch, feature]`.
struct Sharded {
  at::Tensor local;                  ///< undefined where the reduction is deferred
  std::vector<std::int64_t> global;  ///< sizes of the full value
  Placement placement = Placement::replicate();
  EventId event = no_event;  ///< of the redistribution, add or norm that it comes from
  at::Tensor gather_slot{};  ///< the `alloc_gathered` that `local` is a block of: gathering it needs no copy
  std::vector<at::Tensor>
      partials{};  ///< of a deferred reduction: read-only, kept by this value; see ProcessGroup::defer_reduction

  /// What this rank's part is the sum of: the partials, in their order and in fp32, or `local` alone.
  std::vector<at::Tensor> terms() const { return partials.empty() ? std::vector{local} : partials; }
};

/// A value of `global` sizes with memory for this rank's part of it, for its producer to write: where a collective to
/// `next` will follow, memory that the collective reads or fills without a copy.
Sharded new_sharded(std::vector<std::int64_t> global, Placement placement, Placement next,
                    const at::TensorOptions& options, ProcessGroup& group);

/// What tensors on the meta device stand for in a preview: some kernels need memory by device and thread.
struct StandsFor {
  c10::DeviceType device = c10::DeviceType::CPU;
  int threads = 1;
};

class Saved;

/// What a forward or backward needs to know of the other ranks, who gets its events, and what is kept for the backward.
struct Context {
  ProcessGroup& tp;
  EventSink* events = nullptr;
  StandsFor meta{};
  Saved* saved = nullptr;  ///< null where no backward will follow: values are overwritten where that saves memory

  Context without_saved() const { return {.tp = tp, .events = events, .meta = meta}; }
  Context saving_in(Saved& other) const { return {.tp = tp, .events = events, .meta = meta, .saved = &other}; }
};

/// What the caller of `redistribute` does with the result.
enum class Use {
  read,      ///< it may be memory that other ranks read too
  write,     ///< no other rank reads it: it may be this rank's slice of memory that all see
  sum_terms  ///< a reduction may be left to the reader: see Sharded::terms and ProcessGroup::defer_reduction
};

/// Brings `value` to the placement `wanted` by `transition`'s one collective, local slice, or nothing. A partial value
/// may be reduced in place, so its `local` must not be shared. Deferred are Partial -> Replicate and Partial ->
/// Shard(seq). Throws bad_input, naming `module` and the dimension, where a dimension to be sharded does not divide by
/// the ranks.
Sharded redistribute(Sharded value, Placement wanted, const Context& context, const std::string& module,
                     Use use = Use::read);

/// The backward of the `redistribute` whose entry is the last in `context.saved`: brings the gradient of its result to
/// the gradient_placement of what it came from. A partial gradient is reduced here.
Sharded redistribute_backward(Sharded gradient, const Context& context, const std::string& module, Use use = Use::read);

}  // namespace tpsp
