// What collectives would take over a link.
#include "support/torch_and_catch.h"

#include "tpsp/bench/link.h"

#include "support/thrown.h"
#include "tpsp/core/configs.h"

using namespace tpsp;
using Catch::Contains;

namespace {

const std::string rate = "bytes-per-second: 1e9\n";
const std::string latencies = "call-seconds: 1e-5\nstep-seconds: 1e-6\n";
const std::string source = "source: measured\n";

std::string complaint_about(const std::string& text) {
  return complaint_of([&] { parse_link("mine", "mine.yaml", text); });
}

}  // namespace

TEST_CASE("collectives are rings: a latency a call and a step, and the bytes that a rank sends") {
  const auto link = parse_link("mine", "mine.yaml", rate + latencies + source);
  CHECK(link.name == "mine");
  CHECK(seconds_of({.all_reduces = 1}, link, 4) == Approx(1e-5 + 6e-6));
  CHECK(seconds_of({.all_gathers = 1}, link, 4) == Approx(1e-5 + 3e-6));
  CHECK(seconds_of({.reduce_scatters = 2}, link, 4) == Approx(2e-5 + 6e-6));
  CHECK(seconds_of({.bytes = 2'000'000}, link, 4) == Approx(2e-3));
  CHECK(seconds_of({.all_reduces = 1, .all_gathers = 1, .reduce_scatters = 1, .bytes = 1'000'000}, link, 2) ==
        Approx(3e-5 + 4e-6 + 1e-3));
  CHECK(seconds_of({.all_reduces = 5, .bytes = 0}, link, 1) == 0);
}

TEST_CASE("an all-reduce takes no longer than the reduce-scatter and all-gather that it stands for") {
  const auto link = load_link("pcie4");
  for (const int ranks : {2, 4, 8}) {
    CHECK(seconds_of({.all_reduces = 1}, link, ranks) <
          seconds_of({.all_gathers = 1, .reduce_scatters = 1}, link, ranks));
  }
}

TEST_CASE("every built-in link is readable, and no two have one rate") {
  std::vector<double> rates;
  for (const auto& name : builtin_names("links")) {
    const auto link = load_link(name);
    CHECK(link.name == name);
    for (const auto other : rates) CHECK(link.bytes_per_s != other);
    rates.push_back(link.bytes_per_s);
  }
  CHECK(rates.size() >= 2);
}

TEST_CASE("a link without a rate, a latency or a source, and one of nothing, are refused") {
  CHECK_THAT(complaint_about(latencies + source), Contains("bytes-per-second"));
  CHECK_THAT(complaint_about(rate + source), Contains("call-seconds"));
  CHECK_THAT(complaint_about(rate + latencies), Contains("source"));
  CHECK_THAT(complaint_about("bytes-per-second: 0\n" + latencies + source), Contains("mine.yaml:1"));
  CHECK_THAT(complaint_about(rate + "call-seconds: -1\nstep-seconds: 0\n" + source), Contains("out of range"));
  CHECK_THAT(complaint_about(rate + latencies + source + "speed: 3\n"), Contains("speed"));
  CHECK_THAT(complaint_of([] { load_link("pcie44"); }), Contains("did you mean 'pcie4'?"));
}
