// What a link costs, and the price of some collectives over it.
#include <cmath>

#include "target.h"
#include "tpsp/bench/link.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tpsp::reads_or_refuses([&] {
    const auto link = tpsp::parse_link("fuzz", "fuzz.yaml", tpsp::text_of(data, size));
    const double seconds = tpsp::seconds_of({.all_reduces = 3, .bytes = 1 << 20}, link, 8);
    if (!std::isfinite(seconds) || seconds < 0) std::abort();
  });
  return 0;
}
