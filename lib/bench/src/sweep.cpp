#include "tpsp/bench/sweep.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>

#include "fit.h"
#include "tpsp/bench/check.h"
#include "tpsp/bench/preview.h"
#include "tpsp/core/environment.h"
#include "tpsp/core/error.h"
#include "tpsp/model/llama.h"

namespace tpsp {
namespace {

using PlanGroup = std::vector<const LoweredPlan*>;

// Plans that can share weights, groups and members in the order given.
std::vector<PlanGroup> group_by_weights(const std::vector<LoweredPlan>& plans) {
  std::vector<PlanGroup> groups;
  for (const auto& plan : plans) {
    const auto alike = std::find_if(groups.begin(), groups.end(), [&](const PlanGroup& group) {
      return group.front()->cut_signature() == plan.cut_signature();
    });
    if (alike == groups.end()) {
      groups.push_back({&plan});
    } else {
      alike->push_back(&plan);
    }
  }
  return groups;
}

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) return true;
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return true;
  return std::string_view(error.what()).find("can't allocate memory") != std::string_view::npos;
}

Row blank_row(const Sweep& sweep, const LoweredPlan& plan, std::int64_t seq) {
  Row row = sweep.prototype;
  row.model = sweep.model.name;
  row.layers = sweep.model.layers;
  row.plan = plan.name;
  row.batch = sweep.batch;
  row.seq = seq;
  const auto expected = preview(sweep.model, plan, sweep.batch, seq, sweep.dtype);
  row.seq_padded = expected.seq_padded;
  row.vocab_padded = expected.vocab_padded;
  row.weights_bytes = expected.weights_bytes;
  row.world = plan.world;
  row.seed = sweep.seed;
  row.warmup = sweep.protocol.warmup;
  row.reps = sweep.protocol.reps;
  row.utc_time = utc_time();
  return row;
}

void fill_measurement(Row& row, const Measurement& measured) {
  const auto [fastest, slowest] = std::minmax_element(measured.samples_s.begin(), measured.samples_s.end());
  row.latency_s = median(measured.samples_s);
  row.latency_min_s = *fastest;
  row.latency_max_s = *slowest;
  row.tokens_per_s = static_cast<double>(row.batch * row.seq) / *row.latency_s;
  row.allocated_bytes = measured.allocated_bytes;
  row.reserved_bytes = measured.reserved_bytes;
  row.all_reduces = measured.counts.all_reduces;
  row.all_gathers = measured.counts.all_gathers;
  row.reduce_scatters = measured.counts.reduce_scatters;
  row.comm_bytes = measured.counts.bytes;
}

void fill_check(Row& row, const LogitsError& error, double bound) {
  row.max_abs_err = error.max_abs;
  row.max_rel_err = error.max_rel;
  row.check = error.max_rel <= bound ? Check::pass : Check::fail;
  if (row.check == Check::pass) return;
  row.status = Status::failed;
  row.message = fmt::format("the logits differ from the unsharded reference by {:.2g} of its largest; {:g} is allowed",
                            error.max_rel, bound);
}

/// One group of plans with its weights, at one length after the other.
class GroupRun {
 public:
  GroupRun(const Sweep& sweep, const PlanGroup& plans, World& world, Communicator& comm)
      : sweep_(sweep),
        world_(world),
        comm_(comm),
        probe_(make_device_probe(sweep.device)),
        recipe_{.seed = sweep.seed, .dtype = sweep.dtype, .device = sweep.device},
        weights_(*plans.front(), world.rank(), recipe_) {}

  const DeviceProbe& probe() const { return *probe_; }

  /// Rows of `plans`, which cut the weights as the group does.
  std::vector<Row> run(std::int64_t seq, const PlanGroup& plans) {
    const auto tokens = make_tokens(sweep_.seed, sweep_.batch, seq, sweep_.model.vocabulary).to(sweep_.device);
    std::vector<Llama> models;
    for (const auto* plan : plans) models.emplace_back(sweep_.model, *plan, weights_, ParallelContext{comm_});

    std::vector<Row> rows;
    for (const auto* plan : plans) rows.push_back(blank_row(sweep_, *plan, seq));
    if (sweep_.check) check(models, tokens, rows);
    probe_->release_unused();
    time(models, tokens, rows);
    return rows;
  }

 private:
  void check(const std::vector<Llama>& models, const at::Tensor& tokens, std::vector<Row>& rows) {
    const Reference reference(sweep_.model, recipe_, tokens, world_);
    for (std::size_t i = 0; i < models.size(); ++i) {
      fill_check(rows[i], reference.error(models[i].logits(tokens), world_), error_bound(sweep_.dtype));
    }
  }

  void time(const std::vector<Llama>& models, const at::Tensor& tokens, std::vector<Row>& rows) {
    std::vector<Workload> workloads;
    for (const auto& model : models) {
      workloads.push_back([&model, &tokens] { model.forward(tokens); });
    }
    const auto measured = measure(workloads, sweep_.protocol, world_, comm_, *probe_);
    for (std::size_t i = 0; i < rows.size(); ++i) fill_measurement(rows[i], measured[i]);
  }

  const Sweep& sweep_;
  World& world_;
  CountingCommunicator comm_;
  std::unique_ptr<DeviceProbe> probe_;
  WeightRecipe recipe_;
  ResidentWeights weights_;
};

// Runs a `step` that makes no collective call, and says whether any rank ran out of memory in it.
bool any_runs_out_of_memory(World& world, const std::function<void()>& step) {
  double failed = 0;
  try {
    step();
  } catch (const std::exception& error) {
    if (!is_out_of_memory(error)) throw;
    failed = 1;
  }
  return max_over_ranks(world, {failed}).front() > 0;
}

// Runs a `step` with collective calls, and says whether it ran out of memory. Among several ranks the others may be
// waiting for this one: it throws.
bool runs_out_of_memory(const World& world, const std::function<void()>& step) {
  try {
    step();
    return false;
  } catch (const std::exception& error) {
    if (!is_out_of_memory(error)) throw;
    if (world.size() == 1) return true;
    throw Error(
        ExitCode::rows_not_ok,
        {.where = "memory", .what = "it ran out", .why = message_of(error), .remedy = std::string(memory_remedy)});
  }
}

Row unmeasured_row(const Sweep& sweep, const LoweredPlan& plan, std::int64_t seq, Status status,
                   const std::string& message) {
  auto row = blank_row(sweep, plan, seq);
  row.status = status;
  row.message = message;
  return row;
}

/// A group's weights while they are needed, or why there are none.
class GroupSweep {
 public:
  GroupSweep(const Sweep& sweep, const PlanGroup& group, World& world, Communicator& comm)
      : sweep_(sweep), group_(group), world_(world) {
    no_weights_ = lack_of_memory(resident_bytes(sweep, *group.front()), *make_device_probe(sweep.device), world);
    if (no_weights_) return;
    out_of_memory_ = any_runs_out_of_memory(world, [&] { run_.emplace(sweep, group, world, comm); });
    if (out_of_memory_) run_.reset();
  }

  std::vector<Row> rows_at(std::int64_t seq) {
    if (no_weights_) return all_rows(seq, Status::skipped, "the model " + *no_weights_);
    if (out_of_memory_)
      return all_rows(seq, Status::out_of_memory, fmt::format("the weights ran out of memory; {}", memory_remedy));
    std::vector<Row> rows;
    PlanGroup fitting;
    for (const auto* plan : group_) {
      const auto lack = lack_of_memory(working_bytes(sweep_, *plan, seq, world_.size()), run_->probe(), world_);
      if (lack) rows.push_back(unmeasured_row(sweep_, *plan, seq, Status::skipped, "the case " + *lack));
      if (!lack) fitting.push_back(plan);
    }
    if (fitting.empty()) return rows;
    std::vector<Row> measured;
    const bool failed = runs_out_of_memory(world_, [&] { measured = run_->run(seq, fitting); });
    if (failed)
      return all_rows(seq, Status::out_of_memory, fmt::format("a forward ran out of memory; {}", memory_remedy));
    measured.insert(measured.end(), rows.begin(), rows.end());
    return measured;
  }

 private:
  std::vector<Row> all_rows(std::int64_t seq, Status status, const std::string& message) const {
    std::vector<Row> rows;
    for (const auto* plan : group_) rows.push_back(unmeasured_row(sweep_, *plan, seq, status, message));
    return rows;
  }

  const Sweep& sweep_;
  const PlanGroup& group_;
  World& world_;
  std::optional<std::string> no_weights_;
  bool out_of_memory_ = false;
  std::optional<GroupRun> run_;
};

}  // namespace

void run_sweep(const Sweep& sweep, World& world, Communicator& comm, const std::function<void(const Row&)>& emit) {
  const c10::InferenceMode no_gradients;
  for (const auto& group : group_by_weights(sweep.plans)) {
    GroupSweep group_sweep(sweep, group, world, comm);
    for (const auto seq : sweep.seqs) {
      const auto rows = group_sweep.rows_at(seq);
      std::for_each(rows.begin(), rows.end(), emit);
    }
  }
}

}  // namespace tpsp
