#include "tpsp/bench/sweep.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "fill_row.h"
#include "fit.h"
#include "group_run.h"
#include "out_of_memory.h"
#include "tpsp/core/environment.h"
#include "tpsp/core/error.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

// Plans that share weights, groups and members in the order given.
std::vector<PlanGroup> groups_of(const Sweep& sweep) {
  std::vector<PlanGroup> groups;
  for (const auto& plan : sweep.plans) {
    const auto alike = std::find_if(groups.begin(), groups.end(), [&](const PlanGroup& group) {
      return sweep.weights == WeightPolicy::shared && group.front()->weight_sharding() == plan.weight_sharding();
    });
    if (alike == groups.end()) {
      groups.push_back({&plan});
    } else {
      alike->push_back(&plan);
    }
  }
  return groups;
}

/// A group's weights while they are needed, or why there are none.
class GroupSweep {
 public:
  /// Makes the weights, for `seq` first.
  GroupSweep(const SweepContext& context, const PlanGroup& group, std::int64_t seq) : context_(context), group_(group) {
    if (context.follower.step) context.follower.step({words_of(group, seq), "weights"});
    context.probe.release_unused();  // what was kept for reuse is as good as free
    no_weights_ = lack_of_memory(resident_bytes(context.sweep, *group.front()), context.probe, context.world);
    if (no_weights_) return;
    make_run();
  }

  std::vector<Row> rows_at(std::int64_t seq) {
    if (!run_ && !no_weights_ && !out_of_memory_) make_run();
    if (no_weights_) return all_rows(seq, Status::skipped, "the model " + *no_weights_);
    if (out_of_memory_)
      return all_rows(seq, Status::out_of_memory, fmt::format("the weights ran out of memory; {}", memory_remedy));
    context_.probe.release_unused();
    std::vector<Row> rows;
    PlanGroup fitting;
    for (const auto* plan : group_) {
      const auto bytes = working_bytes(context_.sweep, *plan, seq, context_.world.size());
      const auto lack = lack_of_memory(bytes, context_.probe, context_.world);
      if (lack) rows.push_back(unmeasured_row(context_.sweep, *plan, seq, Status::skipped, "the case " + *lack));
      if (!lack) fitting.push_back(plan);
    }
    if (fitting.empty()) return rows;
    std::vector<Row> measured;
    const bool failed = runs_out_of_memory(context_.world, [&] { measured = run_->run(seq, fitting); });
    if (failed) {
      run_.reset();  // what it was changing is in no known state
      context_.groups.reset();
      const auto message = fmt::format("a forward, a training step or its check ran out of memory; {}", memory_remedy);
      for (const auto* plan : fitting) {
        rows.push_back(unmeasured_row(context_.sweep, *plan, seq, Status::out_of_memory, message));
      }
      return rows;
    }
    measured.insert(measured.end(), rows.begin(), rows.end());
    return measured;
  }

 private:
  void make_run() {
    const ScopedTimer timer(context_.breakdown.weights_s);
    out_of_memory_ = any_runs_out_of_memory(context_.world, [&] { run_.emplace(context_, group_); });
    if (out_of_memory_) run_.reset();
  }

  std::vector<Row> all_rows(std::int64_t seq, Status status, const std::string& message) const {
    std::vector<Row> rows;
    for (const auto* plan : group_) rows.push_back(unmeasured_row(context_.sweep, *plan, seq, status, message));
    return rows;
  }

  const SweepContext& context_;
  const PlanGroup& group_;
  std::optional<std::string> no_weights_;
  bool out_of_memory_ = false;
  std::optional<GroupRun> run_;
};

/// A group, and its lengths that are not done.
struct GroupTask {
  PlanGroup plans;
  std::vector<std::int64_t> seqs;
};

// A length is measured with all its plans, since they are interleaved, unless all its cases are done.
bool is_left_out(const SweepContext& context, const PlanGroup& plans, std::int64_t seq) {
  const auto& follower = context.follower;
  if (!follower.is_done) return false;
  std::vector<Row> rows;
  for (const auto* plan : plans) rows.push_back(row_of(case_of(context.sweep, *plan, seq), context.sweep.provenance));
  const bool done = std::all_of(rows.begin(), rows.end(), [&](const Row& row) { return follower.is_done(row.key); });
  if (done && follower.left_out) std::for_each(rows.begin(), rows.end(), follower.left_out);
  return done;
}

// In the order of measurement; the last one has something to measure.
std::vector<GroupTask> tasks_of(const SweepContext& context) {
  std::vector<GroupTask> tasks;
  for (const auto& group : groups_of(context.sweep)) {
    auto& task = tasks.emplace_back(GroupTask{group, {}});
    for (const auto seq : context.sweep.seqs) {
      if (!is_left_out(context, group, seq)) task.seqs.push_back(seq);
    }
  }
  while (!tasks.empty() && tasks.back().seqs.empty()) tasks.pop_back();
  return tasks;
}

// Previews, which size the transport's memory, are made of what the backend says; its process groups must say the same.
void require_same_memory(bool previewed, const ProcessGroup& group) {
  if (previewed == group.shares_memory()) return;
  throw internal_error(
      {.where = fmt::format("backend {}", group.backend()),
       .what = fmt::format("its shares_memory is {}, and its process groups' is {}", previewed, group.shares_memory()),
       .remedy = "make the two the same"});
}

void require_groups(const Sweep& sweep, const Groups& groups) {
  const auto replicas = groups.dp != nullptr ? groups.dp->size() : 1;
  if (replicas != sweep.replicas()) {
    throw internal_error(
        {.where = "sweep", .what = fmt::format("{} replicas, and a process group of {}", sweep.replicas(), replicas)});
  }
  require_same_memory(sweep.previews->settings().shares_memory, groups.tp);
  if (groups.dp != nullptr) require_same_memory(sweep.previews->settings().replicas_share_memory, *groups.dp);
}

}  // namespace

void Groups::interrupt() const {
  tp.interrupt();
  if (dp != nullptr) dp->interrupt();
}

void Groups::reset() const {
  tp.reset();
  if (dp != nullptr) dp->reset();
}

std::string backend_of(const Groups& groups) {
  const std::string of_tp(groups.tp.backend());
  if (groups.dp == nullptr || groups.dp->size() == 1) return of_tp;
  const std::string of_dp(groups.dp->backend());
  return groups.tp.size() == 1 || of_tp == of_dp ? of_dp : of_tp + "+" + of_dp;
}

std::string_view to_string(WeightPolicy policy) {
  switch (policy) {
    case WeightPolicy::shared: return "shared";
    case WeightPolicy::own: return "own";
    case WeightPolicy::kept: return "kept";
  }
  return "unknown";
}

void run_sweep(const Sweep& asked, World& world, const Groups& groups, const Follower& follower) {
  const c10::InferenceMode no_gradients;
  auto sweep = asked;
  if (!sweep.previews) {
    const bool replicas_share = groups.dp != nullptr && groups.dp->shares_memory();
    sweep.previews = std::make_shared<Previews>(sweep.model, sweep.dtype, groups.tp.shares_memory(), replicas_share);
  }
  require_groups(sweep, groups);
  sweep.previews->use(sweep.kernels.as_function(), {.device = sweep.device.type(), .threads = at::get_num_threads()});
  const auto probe = make_device_probe(sweep.device);
  TimeBreakdown ignored;
  const SweepContext context{.sweep = sweep,
                             .world = world,
                             .groups = groups,
                             .probe = *probe,
                             .follower = follower,
                             .breakdown = follower.breakdown != nullptr ? *follower.breakdown : ignored,
                             .hosts = world.exchange(host_name())};
  const bool kept = sweep.weights == WeightPolicy::kept;
  const auto tasks = tasks_of(context);
  std::vector<std::unique_ptr<GroupSweep>> weights;
  for (const auto& [plans, seqs] : tasks) {
    if (seqs.empty() && !kept) continue;
    if (follower.should_stop && follower.should_stop()) return;
    weights.push_back(std::make_unique<GroupSweep>(context, plans, seqs.empty() ? sweep.seqs.front() : seqs.front()));
    for (const auto seq : seqs) {
      if (follower.should_stop && follower.should_stop()) return;
      const auto rows = weights.back()->rows_at(seq);
      std::for_each(rows.begin(), rows.end(), follower.row);
    }
    if (!kept) weights.clear();
  }
}

}  // namespace tpsp
