// A plan's preview as people and programs read it.
#pragma once

#include <optional>
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
    std::vector<Finding> findings;  ///< about the plan
  };

  const Architecture& model;
  int world = 1;
  std::int64_t batch = 0;
  std::string dtype;
  StepSettings settings;
  std::vector<Row> rows;
};

/// At most 80 columns: memory and collectives of each plan and length.
std::string step_table(const StepPreviews& steps);

/// One JSON object for each plan and length, as an array.
std::string step_json(const StepPreviews& steps);

/// Bytes of one rank.
struct MemoryNeed {
  std::int64_t weights = 0;
  std::int64_t gradients = 0;
  std::int64_t optimizer = 0;
  std::int64_t activations = 0;  ///< at the peak

  std::int64_t all() const { return weights + gradients + optimizer + activations; }
};

/// The largest batches that fit, by plan and length.
struct Fits {
  struct Row {
    std::string plan;
    std::int64_t seq = 0;
    std::int64_t batch = 0;         ///< 0 where one sequence is too much
    bool is_most = false;           ///< tpsp-bench takes no larger batch; more would fit
    MemoryNeed need;                ///< of that batch, or of one sequence
    std::vector<Finding> findings;  ///< about the plan
  };

  const Architecture& model;
  int world = 1;
  std::int64_t limit = 0;  ///< bytes of a rank
  std::string dtype;
  std::optional<StepSettings> step;  ///< of a training step; none for a forward
  std::vector<Row> rows;
};

std::string fit_table(const Fits& fits);
std::string fit_json(const Fits& fits);

}  // namespace tpsp
