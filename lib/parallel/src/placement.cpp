#include "tpsp/parallel/placement.h"

#include "tpsp/core/error.h"

namespace tpsp {

std::string to_string(Placement placement) {
  if (placement.is_replicate()) return "replicate";
  if (placement.is_partial()) return "partial";
  if (placement.is_shard(seq_dim)) return "shard(seq)";
  if (placement.is_shard(feature_dim)) return "shard(feature)";
  return "shard(" + std::to_string(placement.dim()) + ")";
}

std::optional<Placement> parse_placement(std::string_view text) {
  if (text == "replicate") return Placement::replicate();
  if (text == "partial") return Placement::partial();
  if (text == "shard(seq)" || text == "shard(0)") return Placement::shard(seq_dim);
  if (text == "shard(feature)" || text == "shard(2)" || text == "shard(-1)") return Placement::shard(feature_dim);
  return std::nullopt;
}

std::string_view to_string(Transition step) {
  switch (step) {
    case Transition::none: return "none";
    case Transition::slice: return "slice";
    case Transition::all_reduce: return "all-reduce";
    case Transition::reduce_scatter: return "reduce-scatter";
    case Transition::all_gather: return "all-gather";
    case Transition::all_gather_slice: return "all-gather, slice";
  }
  return "?";
}

Placement gradient_placement(Placement of_value) { return of_value.is_partial() ? Placement::replicate() : of_value; }

Transition transition(Placement from, Placement to) {
  if (from == to) return Transition::none;
  if (to.is_partial()) {
    throw bad_input({.where = "placement",
                     .what = to_string(from) + " can not become partial",
                     .why = "only a row-wise module leaves a partial sum",
                     .remedy = "ask for replicate or shard(seq)"});
  }
  if (from.is_partial()) return to.is_replicate() ? Transition::all_reduce : Transition::reduce_scatter;
  if (from.is_replicate()) return Transition::slice;
  return to.is_replicate() ? Transition::all_gather : Transition::all_gather_slice;
}

}  // namespace tpsp
