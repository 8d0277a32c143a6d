// A plan's preview as people and programs read it.
#pragma once

#include <string>
#include <vector>

#include "tpsp/bench/preview.h"
#include "tpsp/models/architecture.h"

namespace tpsp {

/// One plan's previews at several lengths.
struct PlanPreviews {
  const Architecture& model;
  const LoweredPlan& plan;
  std::int64_t batch = 0;
  std::string dtype;
  std::vector<std::int64_t> seqs;
  std::vector<Preview> previews;  ///< one for each length
};

/// At most 80 columns: the modules at the first length, equal layers once, then the totals of every length.
std::string preview_table(const PlanPreviews& previews);

/// One JSON object for each length, as an array.
std::string preview_json(const std::vector<PlanPreviews>& plans);

}  // namespace tpsp
