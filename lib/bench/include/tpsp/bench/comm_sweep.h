// Collectives alone: sizes times operations times buffers, backends interleaved, a row each.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tpsp/bench/follower.h"
#include "tpsp/bench/protocol.h"
#include "tpsp/comm/process_group.h"
#include "tpsp/results/row.h"

namespace tpsp {

enum class CommOp {
  all_reduce,
  reduce_scatter,
  all_gather,
  all_gather_read,  ///< each rank writes its shard, the gather, and each rank reads (sums) all of it
  fused_add_norm,  ///< what stands between two sublayers under TP+SP: reduce-scatter, residual sum and norm, all-gather
};
std::string_view to_string(CommOp op);

/// Whose memory a collective reads and writes.
enum class Buffer {
  user,        ///< tensors of the caller's own, apart from each other
  registered,  ///< the transport's memory, where a producer has written and a consumer reads: nothing is copied that
               ///< the transport need not copy
};
std::string_view to_string(Buffer buffer);

/// What nccl-tests calls bus bandwidth, in the unit of `algbw`: the algorithm bandwidth (full buffer over time) times
/// the part of the buffer that `ranks` ranks must each send, 2(t-1)/t for all-reduce and fused-add-norm, else (t-1)/t.
double bus_bandwidth(CommOp op, double algbw, int ranks);

struct CommSweep {
  std::vector<CommOp> ops;
  std::vector<Buffer> buffers;      ///< a fused add-norm is measured in registered buffers only
  std::vector<std::int64_t> bytes;  ///< of full buffers; rounded down to what the ranks can share, each size once
  std::vector<c10::ScalarType> dtypes{c10::kFloat};  ///< float32, bfloat16
  c10::Device device = c10::kCPU;
  Protocol protocol;
  std::uint64_t seed = 0;
  int threads = 1;          ///< that a rank computes with, for the rows
  Provenance provenance{};  ///< of all rows
};

/// The least size that `ranks` ranks can share.
std::int64_t smallest_message(const CommSweep& sweep, int ranks);
/// Operations, buffers, dtypes and sizes that will be measured, each by every backend.
std::int64_t comm_cases(const CommSweep& sweep, int ranks);

/// Measures every case with every process group; of one case they are interleaved as the protocol says. A repetition is
/// one call, or as many as take 200 us, of which its time is then the mean. Before and after it, a call with known
/// numbers is compared with what must come of them; a wrong element makes the row failed. A case that does not fit in
/// memory becomes skipped rows. Throws bad_input for a size smaller than smallest_message. Collective.
void run_comm_sweep(const CommSweep& sweep, World& world, const std::vector<ProcessGroup*>& comms,
                    const Follower& follower);

}  // namespace tpsp
