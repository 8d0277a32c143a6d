#include "tpsp/results/measured.h"

#include <fmt/format.h>

#include <cmath>

#include "tpsp/core/text.h"

namespace tpsp {

std::string what_is_measured(const Row& row) {
  if (!row.collective.empty()) return "collectives alone";
  auto words = fmt::format("{} · {} · batch {} · {}", row.model, counted(row.layers, "layer"), row.batch, row.dtype);
  if (row.rank) words += fmt::format(" · rank {} of {} alone", *row.rank, row.world);
  if (row.workload.empty()) return words;
  words += " · training step";
  if (row.recompute != "none") words += " · recompute " + row.recompute;
  if (row.regather == "off") words += " · no regather";
  if (row.optimizer != "none") words += " · " + row.optimizer;
  if (row.micro_batches > 1) words += fmt::format(" · {} micro-batches", row.micro_batches);
  if (row.dp > 1) words += fmt::format(" · {} replicas", row.dp);
  if (row.dp > 1 && row.shard != "none") words += " · sharded " + row.shard;
  return words;
}

bool is_good(const Row& row) { return row.status == Status::ok && row.check != Check::fail; }

bool is_measured(const Row& row) { return is_good(row) && row.latency_s.has_value(); }

Median median_of(const Row& row) {
  Median median{.value = row.latency_s.value_or(std::nan("")), .interval = std::nullopt};
  if (row.latency_low_s && row.latency_high_s) median.interval = Interval{*row.latency_low_s, *row.latency_high_s};
  return median;
}

}  // namespace tpsp
