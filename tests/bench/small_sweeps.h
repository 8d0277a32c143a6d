// Small sweeps on ranks that are threads.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "support/forward_on_ranks.h"
#include "support/process_groups.h"
#include "support/replicas_on_ranks.h"
#include "tpsp/bench/sweep.h"

namespace tpsp {

using Change = std::function<void(const at::Tensor&)>;

inline Sweep sweep_of(const std::vector<Plan>& plans, int world) {
  Sweep sweep;
  sweep.model = std::make_shared<Llama>(load_model("llama-tiny"));
  for (const auto& plan : plans) sweep.plans.push_back(lower(plan, sweep.model->modules(), world));
  sweep.seqs = {6, 16};
  sweep.protocol = {.warmup = 1, .reps = 2};
  return sweep;
}

/// A plan that can not share weights with tp.
inline Plan replicated_head() {
  auto plan = load_plan("tp");
  plan.name = "replicated head";
  plan.rules.back().style = Style::replicate;
  return plan;
}

inline Sweep standard_sweep(int world) { return sweep_of({load_plan("tp"), load_plan("tp+sp")}, world); }

/// The rows of rank 0, where `change` is done to the result of every collective on rank `changed` over the ranks of its
/// replica, of which there are `tp`, and `replicas_change` over the replicas.
inline std::vector<Row> rows_of(const Sweep& sweep, int tp, int changed = -1, const Change& change = {},
                                const Change& replicas_change = {}) {
  std::vector<Row> rows;
  on_mesh({tp, sweep.replicas()}, [&](World& ranks, ProcessGroup& of_tp, ProcessGroup& of_dp) {
    at::set_num_threads(1);  // of this rank's thread: attention's scratch grows with them
    const bool mine = ranks.rank() == changed;
    ChangingProcessGroup changing(of_tp, mine ? change : Change());
    ChangingProcessGroup changing_replicas(of_dp, mine ? replicas_change : Change());
    const auto keep = [&](const Row& row) {
      if (ranks.rank() == 0) rows.push_back(row);
    };
    const Mesh mesh(ranks, tp);
    const bool alone = sweep.replicas() == 1;
    run_sweep(sweep, ranks, alone ? Groups(changing) : Groups(changing, changing_replicas, mesh), {.row = keep});
  });
  return rows;
}

inline std::vector<std::string> cases_of(const std::vector<Row>& rows) {
  std::vector<std::string> cases;
  for (const auto& row : rows) cases.push_back(row.plan + " " + std::to_string(row.seq));
  return cases;
}

}  // namespace tpsp
