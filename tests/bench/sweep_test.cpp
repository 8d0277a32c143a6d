#include "tpsp/bench/sweep.h"

#include <limits>
#include <new>

#include "bench/small_sweeps.h"
#include "support/expected_collectives.h"
#include "tpsp/bench/preview.h"
#include "tpsp/gemm/product.h"
#include "tpsp/machine/memory.h"

using namespace tpsp;
using Catch::Contains;

TEST_CASE("plans that share weights are interleaved at each length") {
  CHECK(cases_of(rows_of(standard_sweep(2), 2)) == std::vector<std::string>{"tp 6", "tp+sp 6", "tp 16", "tp+sp 16"});
}

TEST_CASE("plans that shard the weights differently run one after the other") {
  const auto rows = rows_of(sweep_of({load_plan("tp"), replicated_head(), load_plan("tp+sp")}, 2), 2);
  CHECK(cases_of(rows) == std::vector<std::string>{"tp 6", "tp+sp 6", "tp 16", "tp+sp 16",  //
                                                   "replicated head 6", "replicated head 16"});
  CHECK(rows.front().weights_bytes < rows.back().weights_bytes);
}

TEST_CASE("right numbers pass the check") {
  for (const int world : {1, 2, 4}) {
    for (const auto& row : rows_of(standard_sweep(world), world)) {
      INFO(row.plan << " world " << world << " " << row.message);
      CHECK(row.status == Status::ok);
      CHECK(row.check == Check::pass);
      CHECK(row.max_rel_err.value() < 1e-5);
    }
  }
}

TEST_CASE("bf16 passes the check within its bound") {
  auto sweep = standard_sweep(2);
  sweep.dtype = at::kBFloat16;
  for (const auto& row : rows_of(sweep, 2)) CHECK(row.check == Check::pass);
}

TEST_CASE("a collective that gives one wrong sum fails the check of that row alone") {
  auto sweep = standard_sweep(2);
  sweep.protocol.warmup = 0;
  sweep.protocol.reps = 1;
  int calls = 0;
  const auto rows = rows_of(sweep, 2, 1, [&](const at::Tensor& result) {
    if (++calls == 2 * 6 + 2 * 11 + 2) result.mul_(1.5);  // after a timed and a profiled forward of both plans
  });
  CHECK(rows[0].check == Check::fail);
  CHECK(rows[0].status == Status::failed);
  CHECK_THAT(rows[0].message, Contains("differ from the unsharded reference"));
  CHECK(rows[1].check == Check::pass);
}

TEST_CASE("a failed row is measured all the same") {
  const auto rows = rows_of(standard_sweep(2), 2, 1, [](const at::Tensor& result) { result.mul_(1.5); });
  for (const auto& row : rows) {
    CHECK(row.status == Status::failed);
    CHECK(row.latency_s.value() > 0);
  }
}

TEST_CASE("numbers that are not finite fail the check") {
  const auto rows = rows_of(standard_sweep(2), 2, 0, [](const at::Tensor& result) {
    result.view(-1)[0].fill_(std::numeric_limits<float>::quiet_NaN());
  });
  for (const auto& row : rows) {
    CHECK(row.check == Check::fail);
    CHECK(row.max_rel_err == std::numeric_limits<double>::infinity());
  }
}

TEST_CASE("a wrong number on the last rank alone fails the check on all") {
  const auto rows = rows_of(standard_sweep(4), 4, 3, [](const at::Tensor& result) { result.zero_(); });
  for (const auto& row : rows) CHECK(row.check == Check::fail);
}

TEST_CASE("without checks a row says that it is not checked") {
  auto sweep = standard_sweep(2);
  sweep.check = false;
  for (const auto& row : rows_of(sweep, 2)) {
    CHECK(row.check == Check::off);
    CHECK(row.status == Status::ok);
    CHECK_FALSE(row.max_rel_err.has_value());
  }
}

TEST_CASE("a row has the padded sizes of its plan") {
  const auto rows = rows_of(standard_sweep(4), 4);
  CHECK(rows[0].seq_padded == 6);
  CHECK(rows[1].seq_padded == 8);
  CHECK(rows[0].vocab_padded == 516);
}

TEST_CASE("a row's collectives and bytes are those of one forward") {
  const auto rows = rows_of(standard_sweep(2), 2);
  const std::int64_t vector = 2 * 16 * 96 * 4;  // n*h*e
  const std::int64_t logits = 2 * 16 * 516 * 4 / 2;
  const auto reductions = expected_reductions(2);
  for (const std::size_t i : {2U, 3U}) CHECK(rows[i].comm_bytes == reductions * vector + logits);
  CHECK(rows[2].all_reduces == reductions);
  CHECK(rows[2].all_gathers == expected_logit_gathers);
  CHECK(rows[3].reduce_scatters == reductions);
  CHECK(rows[3].all_gathers == reductions + expected_logit_gathers);
}

TEST_CASE("a row holds the case, the protocol and its throughput") {
  auto sweep = standard_sweep(2);
  sweep.seed = 9;
  sweep.provenance.host = "here";
  const auto row = rows_of(sweep, 2)[2];
  CHECK(row.host == "here");
  CHECK(row.model == "llama-tiny");
  CHECK(row.layers == 2);
  CHECK(row.world == 2);
  CHECK(row.seed == 9);
  CHECK(row.warmup >= 2);
  CHECK(row.reps == 2);
  CHECK(row.latency_min_s.value() <= row.latency_s.value());
  CHECK(row.latency_s.value() <= row.latency_max_s.value());
  CHECK(row.tokens_per_s.value() == Approx(2 * 16 / row.latency_s.value()));
}

TEST_CASE("a row's allocated bytes are the weights of one rank and its activations") {
  const auto rows = rows_of(standard_sweep(2), 2);
  for (const auto& row : rows) {
    INFO(row.plan << " " << row.seq << ": " << row.allocated_bytes.value() << " of " << row.weights_bytes);
    CHECK(row.allocated_bytes.value() > row.weights_bytes);
    CHECK(row.allocated_bytes.value() < 2 * row.weights_bytes);
  }
  CHECK(rows[2].allocated_bytes.value() > rows[0].allocated_bytes.value());
}

TEST_CASE("a set of weights is freed before the next group's is made, and the last one at the end") {
  const auto sweep = sweep_of({load_plan("tp"), replicated_head()}, 2);
  std::vector<std::int64_t> left(2);
  std::vector<std::int64_t> peak(2);
  std::int64_t weights = 0;
  on_ranks(2, [&](World& ranks, ProcessGroup& comm) {
    const auto rank = static_cast<std::size_t>(ranks.rank());
    const AllocationMeter meter(at::kCPU);
    const auto keep = [&](const Row& row) {
      if (rank == 0) weights = row.weights_bytes;
    };
    run_sweep(sweep, ranks, comm, {.row = keep});
    left[rank] = meter.current_bytes();
    peak[rank] = meter.peak_bytes();
  });
  for (const auto bytes : left) CHECK(bytes < weights / 10);
  for (const auto bytes : peak) CHECK(bytes < 2 * weights);
}

TEST_CASE("all ranks emit the same rows in the same order") {
  const auto sweep = standard_sweep(4);
  std::vector<std::vector<Row>> rows(4);
  on_ranks(4, [&](World& ranks, ProcessGroup& comm) {
    run_sweep(sweep, ranks, comm,
              {.row = [&](const Row& row) { rows[static_cast<std::size_t>(ranks.rank())].push_back(row); }});
  });
  for (const auto& mine : rows) {
    CHECK(cases_of(mine) == cases_of(rows[0]));
    for (std::size_t i = 0; i < mine.size(); ++i) CHECK(mine[i].latency_s == rows[0][i].latency_s);
  }
}

TEST_CASE("a batch smaller than the ranks is measured and checked") {
  auto sweep = standard_sweep(4);
  sweep.batch = 1;
  for (const auto& row : rows_of(sweep, 4)) CHECK(row.check == Check::pass);
}

TEST_CASE("parts of a row's profile add up to it, and each is there") {
  for (const auto& row : rows_of(standard_sweep(2), 2)) {
    const double parts =
        *row.gemm_s + *row.attention_s + *row.norm_s + *row.wait_s + *row.move_s + *row.fused_add_norm_s + *row.other_s;
    CHECK(parts == Approx(row.split_s.value()).epsilon(0.03));
    for (const auto& part :
         {row.gemm_s, row.attention_s, row.norm_s, row.wait_s, row.move_s, row.fused_add_norm_s, row.other_s}) {
      CHECK(part.value() > 0);
    }
  }
}

TEST_CASE("without a profile its columns are empty") {
  auto sweep = standard_sweep(2);
  sweep.profile = false;
  for (const auto& row : rows_of(sweep, 2)) {
    CHECK_FALSE(row.split_s.has_value());
    CHECK_FALSE(row.activations_bytes.has_value());
    CHECK(row.latency_s.has_value());
  }
}

TEST_CASE("the memory of a row adds up to its peak, to the byte, and was predicted") {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const double within = dtype == at::kFloat ? 0.05 : 0.1;  // at::mm takes some scratch in bf16
    auto sweep = standard_sweep(2);
    sweep.dtype = dtype;
    sweep.seqs = {6, 16, 64, 256};
    for (const auto& row : rows_of(sweep, 2)) {
      INFO(row.plan << " " << row.seq);
      CHECK(row.weights_bytes + *row.activations_bytes + *row.logits_bytes + *row.collective_bytes +
                *row.resident_bytes ==
            *row.allocated_bytes);
      CHECK(static_cast<double>(*row.predicted_bytes) ==
            Approx(static_cast<double>(*row.allocated_bytes)).epsilon(within));
    }
  }
}

TEST_CASE("SP keeps less than TP above the weights before the head") {
  auto sweep = standard_sweep(4);
  sweep.seqs = {256};
  const auto rows = rows_of(sweep, 4);
  CHECK(rows[1].before_head_bytes.value() < rows[0].before_head_bytes.value());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto expected = preview(*sweep.model, sweep.plans[i], sweep.batch, 256, sweep.dtype,
                                  {.shares_memory = true, .meta = {.threads = at::get_num_threads()}});
    CHECK(static_cast<double>(*rows[i].before_head_bytes) ==
          Approx(static_cast<double>(expected.before_head_bytes)).epsilon(has_product(sweep.dtype) ? 0.001 : 0.1));
  }
}

TEST_CASE("interleaved plans are set against one peak, the best that any of them reached") {
  auto sweep = standard_sweep(1);
  sweep.seqs = {6};
  sweep.peaks = std::make_shared<Peaks>(Peaks{.gemm_flops_per_s = 1,
                                              .gemm_kernel = "plain",
                                              .gemm_size = {1, 1, 1},
                                              .measured_flops_per_s = 1,
                                              .memory_bytes_per_s = 1});
  const auto rows = rows_of(sweep, 1);
  REQUIRE(rows.size() == 2);
  for (const auto& row : rows) {
    INFO(row.plan);
    CHECK(row.peak_flops_per_s == sweep.peaks->gemm_flops_per_s);
    CHECK(row.limit_fraction.value() == Approx(row.limit_s.value() / row.latency_s.value()));
    CHECK(row.gemm_fraction.value() == Approx(*row.product_flops / *row.gemm_s / *row.peak_flops_per_s));
    CHECK(std::max(*row.limit_fraction, *row.gemm_fraction) <= Approx(1));
  }
}

TEST_CASE("kept weights stay: the second plan has one more model allocated, which is none of its own") {
  auto sweep = standard_sweep(2);
  sweep.weights = WeightPolicy::kept;
  const auto rows = rows_of(sweep, 2);
  CHECK(cases_of(rows) == std::vector<std::string>{"tp 6", "tp 16", "tp+sp 6", "tp+sp 16"});
  CHECK(rows[0].resident_bytes == 0);
  CHECK(rows[2].resident_bytes == rows[2].weights_bytes);
  CHECK(rows[2].allocated_bytes.value() > 2 * rows[2].weights_bytes);
  for (const auto& row : rows) {
    CHECK(row.weights == "kept");
    CHECK(row.order == "sequential");
  }
}

TEST_CASE("own weights are freed before the next plan's are made") {
  auto sweep = standard_sweep(2);
  sweep.weights = WeightPolicy::own;
  for (const auto& row : rows_of(sweep, 2)) {
    CHECK(row.resident_bytes == 0);
    CHECK(row.weights == "own");
  }
}

TEST_CASE("a sweep's time goes to forwards, profiles, checks and weights") {
  TimeBreakdown breakdown;
  const auto sweep = standard_sweep(1);
  on_ranks(1, [&](World& ranks, ProcessGroup& comm) {
    run_sweep(sweep, ranks, comm, {.row = [](const Row&) {}, .breakdown = &breakdown});
  });
  for (const auto spent : {breakdown.forwards_s, breakdown.profile_s, breakdown.check_s, breakdown.weights_s})
    CHECK(spent > 0);
}

TEST_CASE("a model that does not fit in memory makes skipped rows that say so") {
  Sweep sweep;
  auto config = load_model("llama-70b");
  config.layers = 1000;
  sweep.model = std::make_shared<Llama>(config);
  sweep.plans = {lower(load_plan("tp"), modules_of(config), 1)};
  sweep.seqs = {16, 32};
  const auto rows = rows_of(sweep, 1);
  REQUIRE(rows.size() == 2);
  for (const auto& row : rows) {
    CHECK(row.status == Status::skipped);
    CHECK(row.check == Check::off);
    CHECK_FALSE(row.latency_s.has_value());
    CHECK_THAT(row.message, Contains("the model needs 3.4") && Contains("use fewer layers"));
  }
}

TEST_CASE("a length that does not fit in memory is skipped, and the others are measured") {
  auto sweep = standard_sweep(1);
  sweep.seqs = {std::int64_t{1} << 32, 6};
  const auto rows = rows_of(sweep, 1);
  CHECK(rows[0].status == Status::skipped);
  CHECK_THAT(rows[0].message, Contains("more than is free"));
  CHECK(rows[2].status == Status::ok);
}

namespace {

// A rank runs out of memory in a forward of more than six tokens.
void run_out_at_length(const at::Tensor& result) {
  const bool is_activation = result.dim() == 3;  // and no gradient of weights
  if (is_activation && result.size(0) > 6) throw std::bad_alloc();
}

}  // namespace

TEST_CASE("a rank that runs out of memory in a forward makes rows that say so on all, and the sweep goes on") {
  const int world = GENERATE(2, 4);
  const int out = GENERATE(0, 1);
  auto sweep = standard_sweep(world);
  sweep.seqs = {16, 4, 12, 3};
  const auto rows = rows_of(sweep, world, out, run_out_at_length);
  REQUIRE(cases_of(rows) ==
          std::vector<std::string>{"tp 16", "tp+sp 16", "tp 4", "tp+sp 4", "tp 12", "tp+sp 12", "tp 3", "tp+sp 3"});
  for (const auto& row : rows) {
    INFO(row.plan << " " << row.seq << " " << row.message);
    CHECK(row.status == (row.seq > 6 ? Status::out_of_memory : Status::ok));
    CHECK(row.check == (row.seq > 6 ? Check::off : Check::pass));
  }
}

TEST_CASE("so does one in a training step beside replicas, whose peers wait in other groups") {
  auto sweep = sweep_of({load_plan("tp"), load_plan("tp+sp")}, 2);
  sweep.training = StepSettings{.dp = 2, .shard = ZeroStage::parameters};
  sweep.batch = 4;
  sweep.seqs = {16, 6};
  for (const auto& row : rows_of(sweep, 2, 3, run_out_at_length)) {
    INFO(row.plan << " " << row.seq << " " << row.message);
    CHECK(row.status == (row.seq > 6 ? Status::out_of_memory : Status::ok));
    CHECK(row.check == (row.seq > 6 ? Check::off : Check::pass));
  }
}
