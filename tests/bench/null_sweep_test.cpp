// One rank alone: that it does what it does among the others, and that its rows say so.
#include <tuple>

#include "bench/small_sweeps.h"
#include "tpsp/comm/dry.h"
#include "tpsp/comm/null.h"
#include "tpsp/gemm/product.h"

using namespace tpsp;

namespace {

using Done = std::tuple<Phase, std::string, double, Transition, std::int64_t>;

std::vector<Done> events_of(const Architecture& model, const LoweredPlan& plan, ProcessGroup& group,
                            at::Device device) {
  const c10::InferenceMode no_gradients;
  const ResidentWeights weights(plan, group.rank(), {.seed = 0, .dtype = at::kFloat, .device = device, .kernel = {}});
  EventLog log;
  const auto tokens = at::zeros({2, 7}, at::TensorOptions(at::kLong).device(device));
  model.bind(plan, weights)->forward({.tokens = tokens}, {.tp = group, .events = &log});
  std::vector<Done> all;
  for (const auto& [module, event] : log.entries()) {
    all.emplace_back(event.phase, module, event.flops, event.transition, event.bytes);
  }
  return all;
}

std::vector<Row> rows_alone(Sweep sweep, int rank) {
  const int tp = sweep.plans.front().world;
  const int dp = sweep.replicas();
  sweep.rank = rank;
  sweep.check = false;
  at::set_num_threads(1);
  SerialWorld world;
  const Mesh mesh(world, 1);
  NullProcessGroup of_tp(rank % tp, tp);
  NullProcessGroup of_dp(rank / tp, dp);
  std::vector<Row> rows;
  run_sweep(sweep, world, dp == 1 ? Groups(of_tp) : Groups(of_tp, of_dp, mesh),
            {.row = [&](const Row& row) { rows.push_back(row); }});
  return rows;
}

}  // namespace

TEST_CASE("a rank alone computes and communicates what it does in the group that it is one of") {
  const Llama model(load_model("llama-tiny"));
  for (const auto* name : {"tp", "tp+sp", "tp-sharded-logits"}) {
    for (const int size : {2, 4}) {
      const auto plan = lower(load_plan(name), model.modules(), size);
      for (int rank = 0; rank < size; ++rank) {
        NullProcessGroup alone(rank, size);
        DryProcessGroup among_others(rank, size);
        const auto done = events_of(model, plan, alone, at::kCPU);
        CHECK(done.size() > 20);
        const bool same = done == events_of(model, plan, among_others, at::kMeta);
        CHECK(same);
      }
    }
  }
}

TEST_CASE("the memory of a rank alone is the predicted one, and its collectives are those of the whole group") {
  const auto plans = std::vector{load_plan("tp"), load_plan("tp+sp")};
  for (const int world : {2, 4}) {
    auto sweep = sweep_of(plans, world);
    const auto among_others = rows_of(sweep, world);
    for (int rank = 0; rank < world; ++rank) {
      const auto rows = rows_alone(sweep, rank);
      REQUIRE(rows.size() == among_others.size());
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto& row = rows[i];
        INFO(row.plan << " rank " << rank << " of " << world);
        CHECK(row.status == Status::ok);
        CHECK(row.check == Check::off);
        CHECK(row.rank == rank);
        CHECK(row.world == world);
        CHECK(row.rank_samples_s.size() == 1);
        CHECK(row.allocated_bytes == row.predicted_bytes);
        CHECK(row.weights_bytes == among_others[i].weights_bytes);
        CHECK(row.product_flops == among_others[i].product_flops);
        CHECK(row.all_reduces == among_others[i].all_reduces);
        CHECK(row.all_gathers == among_others[i].all_gathers);
        CHECK(row.reduce_scatters == among_others[i].reduce_scatters);
        CHECK(row.comm_bytes == among_others[i].comm_bytes);
        CHECK(row.attention_kernel == among_others[i].attention_kernel);
        CHECK(row.attention_kernel == (has_product(at::kFloat) ? "onednn" : "flash"));
        CHECK(row.slowest_rank == rank);
        CHECK_FALSE(row.predicted_s.has_value());
        CHECK(row.key != among_others[i].key);
      }
    }
  }
}

TEST_CASE("a training step runs on one rank of several replicas alone") {
  for (const auto stage : {ZeroStage::none, ZeroStage::optimizer, ZeroStage::gradients, ZeroStage::parameters}) {
    for (const int rank : {0, 3}) {
      auto sweep = sweep_of({load_plan("tp"), load_plan("tp+sp")}, 2);
      sweep.training = StepSettings{.adamw = true, .dp = 2, .shard = stage};
      sweep.seqs = {7};
      for (const auto& row : rows_alone(sweep, rank)) {
        INFO(row.plan << " rank " << rank << " " << row.shard << ": " << row.message);
        CHECK(row.status == Status::ok);
        CHECK(row.world == 4);
        CHECK(row.rank == rank);
        CHECK(row.loss.value() > 0);
        CHECK(row.allocated_bytes == row.predicted_bytes);
        CHECK(row.dp_comm_bytes.value() > 0);
      }
    }
  }
}

TEST_CASE("a link adds what collectives would take in a column of its own") {
  auto sweep = sweep_of({load_plan("tp"), load_plan("tp+sp")}, 4);
  sweep.link = Link{.name = "slow", .call_s = 1, .step_s = 10, .bytes_per_s = 1000};
  for (const auto& row : rows_alone(sweep, 1)) {
    const auto calls = static_cast<double>(*row.all_reduces + *row.all_gathers + *row.reduce_scatters);
    const auto steps = static_cast<double>(2 * *row.all_reduces + *row.all_gathers + *row.reduce_scatters) * 3;
    CHECK(row.link == "slow");
    CHECK(*row.predicted_s - *row.latency_s ==
          Approx(calls + 10 * steps + static_cast<double>(*row.comm_bytes) / 1000));
  }
  sweep.training = StepSettings{.adamw = false, .dp = 2};
  for (const auto& row : rows_alone(sweep, 1)) {
    const auto bytes = static_cast<double>(*row.comm_bytes + *row.dp_comm_bytes);
    CHECK(*row.predicted_s - *row.latency_s > bytes / 1000);
  }
}
