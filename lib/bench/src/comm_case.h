// One collective with its buffers: how it is called, and whether what comes of it is right.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "tpsp/bench/comm_sweep.h"
#include "tpsp/comm/process_group.h"
#include "tpsp/machine/device.h"
#include "tpsp/parallel/events.h"

namespace tpsp {

struct CommShape {
  CommOp op = CommOp::all_reduce;
  Buffer buffer = Buffer::user;
  std::int64_t elements = 0;  ///< of the full buffer; the ranks divide them
  std::int64_t width = 1;     ///< of a fused add-norm's rows, which the ranks divide
  c10::ScalarType dtype = c10::kFloat;
  c10::Device device = c10::kCPU;

  std::int64_t bytes() const { return elements * static_cast<std::int64_t>(c10::elementSize(dtype)); }
};

/// `bytes` rounded down to what `ranks` ranks can share: whole elements, of a fused add-norm whole rows, which are as
/// wide as the largest power of two up to 4096 that fits. No elements where nothing fits.
CommShape shape_of(CommOp op, Buffer buffer, std::int64_t bytes, int ranks, c10::ScalarType dtype, c10::Device device);

class CommCase {
 public:
  /// Takes the buffers: collective. `comm` outlives it, and `events`, which gets every call.
  CommCase(const CommShape& shape, ProcessGroup& comm, EventSink* events = nullptr);

  /// One call, with whatever is in the buffers.
  void call();
  /// Fills the buffers with numbers that follow from `salt`, calls, and counts this rank's elements that are not what
  /// they must be. Collective.
  std::int64_t wrong(std::uint64_t salt, World& world, DeviceProbe& probe);

 private:
  void make_plain();
  void make_in_place();
  void fill(std::uint64_t salt);
  at::Tensor expected(std::uint64_t salt) const;
  void alternate();
  void gather(const at::Tensor& shard);
  void gather_and_read();
  void run_fused_add_norm();
  Event event_of(Transition transition) const;
  std::int64_t block() const { return shape_.elements / comm_.size(); }  ///< elements of a rank's
  std::int64_t first() const { return comm_.rank() * block(); }

  CommShape shape_;
  ProcessGroup& comm_;
  EventSink* events_;
  at::Tensor input_;
  at::Tensor output_;
  at::Tensor shard_;   ///< of a fused add-norm: this rank's rows of the output
  at::Tensor stream_;  ///< of a fused add-norm: the residual stream, this rank's rows
  // Of an all-gather that is read: what a producer writes into input_ and, of registered buffers, those of every other
  // call, since peers may read one call's result while the next call is written.
  at::Tensor source_;
  at::Tensor other_input_;
  at::Tensor other_output_;
  at::Tensor sum_;     ///< of all that was gathered, fp32
  at::Tensor weight_;  ///< of the norm in a fused add-norm
};

/// What the transport must set apart for a case.
ArenaSizes arena_for(const CommShape& shape, const ProcessGroup& comm);

}  // namespace tpsp
