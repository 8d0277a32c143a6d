// A plan's preview as people and programs read it.
#pragma once

#include <string>
#include <vector>

#include "tpsp/bench/preview.h"
#include "tpsp/bench/step_preview.h"
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

/// A training step's previews, by plan and length.
struct StepPreviews {
  struct Row {
    std::string plan;
    std::int64_t seq = 0;
    StepPreview step;
  };

  const Architecture& model;
  int world = 1;
  std::int64_t batch = 0;
  std::string dtype;
  SavedPolicy policy;
  std::vector<Row> rows;
};

/// At most 80 columns: memory and collectives of each plan and length.
std::string step_table(const StepPreviews& steps);

/// One JSON object for each plan and length, as an array.
std::string step_json(const StepPreviews& steps);

}  // namespace tpsp
