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
};

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

/// Brings `value` to the layout `wanted` by `transition`'s one collective, local slice, or nothing. A partial sum is
/// reduced in place, so `value.local` must not be shared when it is partial. Throws bad_input, naming `module` and the
/// dimension, where a dimension to be cut does not divide by the ranks.
Sharded redistribute(Sharded value, Layout wanted, const ParallelContext& context, const std::string& module);

}  // namespace tpsp
