#include "tpsp/parallel/events.h"

namespace tpsp {

std::string_view to_string(Phase phase) {
  switch (phase) {
    case Phase::gemm: return "gemm";
    case Phase::attention: return "attention";
    case Phase::norm: return "norm";
    case Phase::fused_add_norm: return "fused add-norm";
    case Phase::wait: return "wait";
    case Phase::move: return "move";
    case Phase::other: return "other";
  }
  return "?";
}

std::optional<Collective> collective_of(Transition transition) {
  switch (transition) {
    case Transition::all_reduce: return Collective::all_reduce;
    case Transition::reduce_scatter: return Collective::reduce_scatter;
    case Transition::all_gather:
    case Transition::all_gather_slice: return Collective::all_gather;
    case Transition::none:
    case Transition::slice: return std::nullopt;
  }
  return std::nullopt;
}

std::string_view name_of(const Event& event) {
  const auto collective = collective_of(event.transition);
  return collective ? to_string(*collective) : to_string(event.phase);
}

void CommCounts::add(const Event& event, int ranks) {
  const auto kind = collective_of(event.transition);
  if (!kind) return;
  all_reduces += *kind == Collective::all_reduce ? 1 : 0;
  all_gathers += *kind == Collective::all_gather ? 1 : 0;
  reduce_scatters += *kind == Collective::reduce_scatter ? 1 : 0;
  bytes += bytes_sent(*kind, event.bytes, ranks);
}

CommCounts& CommCounts::operator+=(const CommCounts& more) {
  all_reduces += more.all_reduces;
  all_gathers += more.all_gathers;
  reduce_scatters += more.reduce_scatters;
  bytes += more.bytes;
  return *this;
}

CommCounts CommCounts::operator-(const CommCounts& fewer) const {
  return {.all_reduces = all_reduces - fewer.all_reduces,
          .all_gathers = all_gathers - fewer.all_gathers,
          .reduce_scatters = reduce_scatters - fewer.reduce_scatters,
          .bytes = bytes - fewer.bytes};
}

EventId EventLog::begin(const Event& event) {
  entries_.push_back({.module = std::string(event.module), .event = event});
  entries_.back().event.module = {};
  return static_cast<EventId>(entries_.size()) - 1;
}

}  // namespace tpsp
