#include "tpsp/comm/communicator.h"

#include "tpsp/comm/counting.h"

namespace tpsp {

std::string_view to_string(Collective kind) {
  switch (kind) {
    case Collective::all_reduce: return "all-reduce";
    case Collective::all_gather: return "all-gather";
    case Collective::reduce_scatter: return "reduce-scatter";
  }
  return "?";
}

std::int64_t bytes_sent(Collective kind, std::int64_t whole_bytes, int ranks) {
  const std::int64_t rounds = kind == Collective::all_reduce ? 2 : 1;
  const std::int64_t times = rounds * (ranks - 1);  // dividing first keeps large sizes in 64 bits
  return times * (whole_bytes / ranks) + times * (whole_bytes % ranks) / ranks;
}

void CountingCommunicator::all_reduce(const at::Tensor& buffer) {
  counts_.all_reduces += 1;
  counts_.bytes += bytes_sent(Collective::all_reduce, static_cast<std::int64_t>(buffer.nbytes()), size());
  inner_.all_reduce(buffer);
}

void CountingCommunicator::all_gather(const at::Tensor& shard, const at::Tensor& whole) {
  counts_.all_gathers += 1;
  counts_.bytes += bytes_sent(Collective::all_gather, static_cast<std::int64_t>(whole.nbytes()), size());
  inner_.all_gather(shard, whole);
}

void CountingCommunicator::reduce_scatter(const at::Tensor& whole, const at::Tensor& shard) {
  counts_.reduce_scatters += 1;
  counts_.bytes += bytes_sent(Collective::reduce_scatter, static_cast<std::int64_t>(whole.nbytes()), size());
  inner_.reduce_scatter(whole, shard);
}

}  // namespace tpsp
