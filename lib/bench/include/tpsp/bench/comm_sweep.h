// Collectives alone: sizes times operations times buffers' places, backends in turns, a row each.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tpsp/bench/ledger.h"
#include "tpsp/bench/protocol.h"
#include "tpsp/bench/row.h"
#include "tpsp/comm/communicator.h"

namespace tpsp {

enum class CommOp {
  all_reduce,
  reduce_scatter,
  all_gather,
  seam,  ///< what stands between two sublayers under TP+SP: reduce-scatter, residual sum and norm, all-gather
};
std::string_view to_string(CommOp op);

/// Where the buffers lie.
enum class BufferPlace {
  out,  ///< in tensors of the caller's own, apart from each other
  in,   ///< in the transport's memory, where a producer has written and a consumer reads: nothing is copied that the
        ///< transport need not copy
};
std::string_view to_string(BufferPlace place);

/// What nccl-tests calls bus bandwidth, in the unit of `algbw`: the algorithm bandwidth (whole buffer over time) times
/// the part of the buffer that `ranks` ranks must each send, 2(t-1)/t for all-reduce and seam, else (t-1)/t.
double bus_bandwidth(CommOp op, double algbw, int ranks);

struct CommSweep {
  std::vector<CommOp> ops;
  std::vector<BufferPlace> places;  ///< a seam is measured in the transport's memory only
  std::vector<std::int64_t> bytes;  ///< of whole buffers; rounded down to what the ranks can share, each size once
  std::vector<c10::ScalarType> dtypes{c10::kFloat};  ///< float32, bfloat16
  c10::Device device = c10::kCPU;
  Protocol protocol;
  std::uint64_t seed = 0;
  Row prototype{};  ///< what all rows share
};

/// The least size that `ranks` ranks can share.
std::int64_t smallest_message(const CommSweep& sweep, int ranks);
/// Operations, places, dtypes and sizes that will be measured, each by every backend.
std::int64_t comm_cases(const CommSweep& sweep, int ranks);

/// What a sweep of collectives is doing.
struct CommStep {
  std::string what;        ///< "all-reduce of 8.39 MB, out, fp32"
  std::string_view phase;  ///< "check", "warm-up", "timing"
  int done = 0;            ///< repetitions of the phase
};

/// Who follows a sweep; called on every rank, none needed but `row`.
struct CommFollower {
  std::function<void(const Row&)> row;  ///< each row as soon as it is known
  std::function<void(const CommStep&)> step{};
  std::function<bool(const std::string& key)> is_done{};  ///< cases that need no row; the same on all ranks
  std::function<void(const Row&)> left_out{};             ///< each such case that is not measured, as an empty row
  Ledger* ledger = nullptr;
};

/// Measures every case with every communicator; of one case they take turns as the protocol says. A repetition is one
/// call, or as many as take 200 us, of which its time is then the mean. Before and after it, a call with known numbers
/// is compared with what must come of them; a wrong element makes the row failed. A case that does not fit in memory
/// becomes skipped rows. Throws bad_input for a size smaller than smallest_message. Collective.
void run_comm_sweep(const CommSweep& sweep, World& world, const std::vector<Communicator*>& comms,
                    const CommFollower& follower);

}  // namespace tpsp
