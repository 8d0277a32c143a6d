// What connects ranks that do not run, as a cost model of its collectives.
#pragma once

#include <string>
#include <string_view>

#include "tpsp/parallel/events.h"

namespace tpsp {

/// A link between neighbours of a ring, after Hockney: a message of n bytes takes step_s + n / bytes_per_s.
struct Link {
  std::string name{};
  double call_s = 0;       ///< of a collective, whatever its size
  double step_s = 0;       ///< of each step of its ring
  double bytes_per_s = 0;  ///< that a rank sends, while it receives as many
};

/// From YAML with `call-seconds`, `step-seconds`, `bytes-per-second` and `source`. Throws bad_input.
Link parse_link(const std::string& name, const std::string& source, std::string_view text);
/// One of the built-in links ("pcie4", "nvlink4"), else a file. Throws bad_input.
Link load_link(const std::string& name_or_path);

/// Seconds that the collectives of one rank of `ranks` take as rings over `link`, one after the other and under nothing
/// else: an all-reduce has 2(t-1) steps, an all-gather and a reduce-scatter t-1 (Thakur et al., 2005).
double seconds_of(const CommCounts& collectives, const Link& link, int ranks);

}  // namespace tpsp
