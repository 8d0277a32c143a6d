// Rows of training steps over data-parallel replicas: right, with the predicted memory, and a fault between replicas is
// seen.
#include <array>

#include "bench/small_sweeps.h"
#include "support/random_plan.h"
#include "support/thrown.h"
#include "support/training_on_ranks.h"

using namespace tpsp;
using Catch::Contains;

namespace {

constexpr std::array all_stages{ZeroStage::none, ZeroStage::optimizer, ZeroStage::gradients, ZeroStage::parameters};

Sweep replicas_sweep(const std::vector<Plan>& plans, const MeshSize& size, StepSettings step) {
  step.dp = size.dp;
  auto sweep = sweep_of(plans, size.tp);
  sweep.training = step;
  sweep.seqs = {7};
  sweep.batch = 2 * size.dp;
  return sweep;
}

std::vector<Plan> both_plans() { return {load_plan("tp"), load_plan("tp+sp")}; }

void check_row(const Row& row) {
  INFO(row.plan << " dp " << row.dp << " of " << row.world << " shard " << row.shard << " recompute " << row.recompute
                << " adamw " << row.optimizer << ": " << row.message);
  CHECK(row.status == Status::ok);
  CHECK(row.check == Check::pass);
  CHECK(row.max_rel_err.value() < 1e-5);
  CHECK(row.loss_error.value() < 1e-6);
  CHECK(row.weights_error.value_or(0) < 1e-5);
  CHECK(row.predicted_bytes.value() == row.allocated_bytes.value());
  CHECK(row.resident_bytes == 0);
  CHECK(row.allocated_bytes.value() == row.weights_bytes + *row.gradient_bytes + *row.optimizer_bytes +
                                           *row.unit_bytes + *row.saved_at_peak_bytes + *row.recomputed_bytes +
                                           *row.activations_bytes + *row.logits_bytes + *row.collective_bytes);
}

}  // namespace

TEST_CASE("replicas pass the check and take the predicted memory, whatever is divided over them") {
  const auto size = GENERATE(MeshSize{1, 2}, MeshSize{2, 2}, MeshSize{1, 4}, MeshSize{2, 3});
  for (const auto stage : all_stages) {
    for (const auto recompute : {Recompute::none, Recompute::attention, Recompute::block}) {
      for (const bool adamw : {false, true}) {
        const StepSettings step{
            .saved = {.recompute = recompute}, .micro_batches = adamw ? 2 : 1, .adamw = adamw, .shard = stage};
        for (const auto& row : rows_of(replicas_sweep(both_plans(), size, step), size.tp)) check_row(row);
      }
    }
  }
}

TEST_CASE("random plans pass the check beside replicas") {
  constexpr int plans = 40;
  RandomPlans random(2027);
  const auto policies = all_policies();
  int ran = 0;
  for (int i = 0; i < plans; ++i) {
    const auto plan = random.next();
    const MeshSize size{.tp = i % 2 == 0 ? 2 : 4, .dp = 2};
    const StepSettings step{.saved = policies[static_cast<std::size_t>(i) % policies.size()],
                            .adamw = true,
                            .shard = all_stages[static_cast<std::size_t>(i / 2) % all_stages.size()]};
    INFO("plan " << i);
    try {
      for (const auto& row : rows_of(replicas_sweep({plan}, size, step), size.tp)) {
        INFO(row.message);
        CHECK(row.check == Check::pass);
        CHECK(row.max_rel_err.value() < 1e-5);
      }
      ++ran;
    } catch (const Error& refusal) {
      INFO(refusal.what());
      CHECK(refusal.code() == ExitCode::bad_input);
    }
  }
  CHECK(ran >= plans / 3);
}

TEST_CASE("in bf16 replicas pass within the bound") {
  for (const auto stage : all_stages) {
    auto sweep = replicas_sweep(both_plans(), {2, 2}, {.adamw = true, .shard = stage});
    sweep.dtype = at::kBFloat16;
    for (const auto& row : rows_of(sweep, 2)) {
      INFO(row.shard << " " << row.message);
      CHECK(row.check == Check::pass);
    }
  }
}

TEST_CASE("a row says how its ranks are divided, and counts what is sent to other replicas apart") {
  const MeshSize size{2, 2};
  const auto alone = rows_of(replicas_sweep(both_plans(), {2, 1}, {}), 2).front();
  CHECK(alone.dp == 1);
  CHECK(alone.shard == "none");
  CHECK_FALSE(alone.dp_all_reduces.has_value());
  const auto row = rows_of(replicas_sweep(both_plans(), size, {.shard = ZeroStage::parameters}), 2).front();
  CHECK(row.world == 4);
  CHECK(row.dp == 2);
  CHECK(row.shard == "parameters");
  CHECK(row.key != alone.key);
  constexpr std::int64_t units = 4;  // the embedding, two blocks, norm and head
  CHECK(row.dp_all_gathers == units + 2);
  CHECK(row.dp_reduce_scatters == units);
  CHECK(row.dp_all_reduces == 1);  // the loss
  CHECK(row.all_reduces == alone.all_reduces);
  CHECK(row.comm_bytes == alone.comm_bytes);  // of one replica's two sequences
  CHECK(row.dp_comm_bytes.value() > 0);
  CHECK(row.weights_bytes * 2 == alone.weights_bytes);
  CHECK(row.unit_bytes.value() > 0);
  CHECK(row.product_flops == alone.product_flops);
}

TEST_CASE("what is divided takes less on each rank") {
  std::vector<std::int64_t> bytes;
  for (const auto stage : all_stages) {
    const auto sweep = replicas_sweep({load_plan("tp")}, {1, 4}, {.adamw = true, .shard = stage});
    bytes.push_back(rows_of(sweep, 1).front().allocated_bytes.value());
  }
  CHECK(std::is_sorted(bytes.rbegin(), bytes.rend()));
  CHECK(bytes.back() < bytes.front() / 2);
}

TEST_CASE("gradients or weights that come to a replica wrong fail the check") {
  for (const auto stage : all_stages) {
    const auto sweep = replicas_sweep(both_plans(), {2, 2}, {.adamw = true, .shard = stage});
    const auto rows = rows_of(sweep, 2, 3, {}, [](const at::Tensor& result) {
      if (result.numel() > 1) result.view(-1).narrow(0, 0, result.numel() / 2).zero_();
    });
    for (const auto& row : rows) {
      INFO(row.plan << " " << row.shard);
      CHECK(row.check == Check::fail);
      CHECK(row.status == Status::failed);
    }
  }
}

TEST_CASE("a loss that is wrong on one replica alone fails the check") {
  const auto sweep = replicas_sweep({load_plan("tp")}, {1, 2}, {});
  const auto rows = rows_of(sweep, 1, 1, {}, [](const at::Tensor& result) {
    if (result.numel() == 1) result.mul_(1.01);
  });
  CHECK(rows.front().check == Check::fail);
  CHECK(rows.front().max_rel_err.value() < 1e-5);
  CHECK(rows.front().loss_error.value() > 0.005);
}

TEST_CASE("replicas without a process group of theirs are refused") {
  const auto sweep = replicas_sweep({load_plan("tp")}, {1, 2}, {});
  on_ranks(1, [&](World& world, ProcessGroup& group) {
    CHECK_THROWS_WITH(run_sweep(sweep, world, group, {}), Contains("2 replicas, and a process group of 1"));
  });
}

TEST_CASE("previews of replicas that share memory otherwise than they do are refused") {
  auto sweep = replicas_sweep({load_plan("tp")}, {2, 2}, {});
  sweep.previews = std::make_shared<Previews>(sweep.model, sweep.dtype, true, false);
  CHECK_THAT(defect_of([&] { rows_of(sweep, 2); }),
             Contains("its shares_memory is false, and its process groups' is true"));
}

TEST_CASE("replicas pass the check at each length, with weights that plans share or keep") {
  for (const auto stage : all_stages) {
    auto sweep = replicas_sweep(both_plans(), {2, 2}, {.adamw = true, .shard = stage});
    sweep.seqs = {5, 12, 7};
    const auto shared = rows_of(sweep, 2);
    CHECK(cases_of(shared) == std::vector<std::string>{"tp 5", "tp+sp 5", "tp 12", "tp+sp 12", "tp 7", "tp+sp 7"});
    for (const auto& row : shared) check_row(row);

    sweep.weights = WeightPolicy::kept;
    const auto kept = rows_of(sweep, 2);
    CHECK(cases_of(kept) == std::vector<std::string>{"tp 5", "tp 12", "tp 7", "tp+sp 5", "tp+sp 12", "tp+sp 7"});
    for (const auto& row : kept) {
      INFO(row.plan << " " << row.seq << " " << row.shard << ": " << row.message);
      const auto own = row.weights_bytes + *row.gradient_bytes + *row.optimizer_bytes;
      CHECK(row.check == Check::pass);
      CHECK(row.resident_bytes == (row.plan == "tp" ? 0 : own));
      CHECK(row.allocated_bytes.value() == row.predicted_bytes.value() + row.resident_bytes.value());
    }
  }
}

namespace {

class Named final : public ForwardingProcessGroup {
 public:
  Named(std::string name, ProcessGroup& inner) : ForwardingProcessGroup(inner), name_(std::move(name)) {}
  std::string_view backend() const override { return name_; }

 private:
  std::string name_;
};

}  // namespace

TEST_CASE("the backend of a row is that of the plan's ranks, then that of the replicas where it is another") {
  SerialWorld world;
  const Mesh mesh(world, 1);
  DryProcessGroup alone(0, 1), pair(0, 2);
  Named serial("serial", alone), shm("shm", pair), mpi("mpi", pair);
  CHECK(backend_of(Groups(serial)) == "serial");
  CHECK(backend_of(Groups(shm)) == "shm");
  CHECK(backend_of(Groups(shm, mpi, mesh)) == "shm+mpi");
  CHECK(backend_of(Groups(mpi, shm, mesh)) == "mpi+shm");
  CHECK(backend_of(Groups(mpi, mpi, mesh)) == "mpi");
  CHECK(backend_of(Groups(serial, shm, mesh)) == "shm");
}

TEST_CASE("a sweep whose replicas do not divide the batch is refused") {
  auto sweep = replicas_sweep({load_plan("tp")}, {1, 2}, {});
  sweep.batch = 3;
  CHECK_THAT(complaint_of([&] { sweep.batch_of_replica(); }), Contains("3 sequences do not divide over 2 replicas"));
}
