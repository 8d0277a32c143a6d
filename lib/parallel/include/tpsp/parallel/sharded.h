// A tensor that knows how its global value lies over the ranks, and the one call that changes that.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tpsp/comm/communicator.h"
#include "tpsp/core/observer.h"
#include "tpsp/parallel/layout.h"

namespace tpsp {

/// This rank's part of a global value `[seq, batch, feature]`.
struct Sharded {
  at::Tensor local;
  std::vector<std::int64_t> global;  ///< sizes of the whole
  Layout layout = Layout::replicate();
  int gathered_by = -1;  ///< index in the TransitionLog of the collective that made it whole; -1 for none
  at::Tensor home{};     ///< the `new_whole` that `local` was written into, at its place: gathering it needs no copy
};

/// A value of `global` sizes with memory for this rank's part of it, for its producer to write: where a collective to
/// `next` will follow, memory that the collective reads or fills without a copy.
Sharded new_sharded(std::vector<std::int64_t> global, Layout layout, Layout next, const at::TensorOptions& options,
                    Communicator& comm);

/// One change of layout, on behalf of one module (or of "logits", the head's output).
struct TransitionRecord {
  std::string module;
  Layout from;
  Layout to;
  Transition step;
  std::int64_t whole_bytes;  ///< of the global value
  int detour_of = -1;        ///< a slice of what that earlier record had just made whole: it need not have been
};
using TransitionLog = std::vector<TransitionRecord>;

/// What the forward pass needs to know of the other ranks. `log` is filled, and `observer` told, where there is one.
struct ParallelContext {
  Communicator& comm;
  TransitionLog* log = nullptr;
  Observer* observer = nullptr;
};

/// Brings `value` to the layout `wanted` by `transition`'s one collective, local slice, or nothing. What a collective
/// made may be memory that other ranks read too: it is not to be written. A partial sum may be reduced in place, so
/// `value.local` must not be shared when it is partial. Throws bad_input, naming `module` and the dimension, where a
/// dimension to be cut does not divide by the ranks.
Sharded redistribute(Sharded value, Layout wanted, const ParallelContext& context, const std::string& module);

/// The same, into memory that may be written.
Sharded redistribute_to_own(Sharded value, Layout wanted, const ParallelContext& context, const std::string& module);

/// Whether `unsummed` can do a change of layout: Partial -> Replicate, or Partial -> Shard(seq).
bool can_stay_unsummed(Layout from, Layout wanted);

/// A partial value whose way to `wanted` is left for its reader to finish.
struct Unsummed {
  std::vector<at::Tensor> addends;  ///< read-only; their sum is this rank's part
  int gathered_by = -1;             ///< as Sharded's
};
/// Like `redistribute`, without the sum, see Communicator::addends.
Unsummed unsummed(Sharded value, Layout wanted, const ParallelContext& context, const std::string& module);

}  // namespace tpsp
