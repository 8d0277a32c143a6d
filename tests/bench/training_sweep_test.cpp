// Rows of training steps: that they are right, say what they are of, and see what is wrong.
#include <limits>
#include <new>

#include "bench/small_sweeps.h"
#include "support/expected_collectives.h"
#include "support/training_on_ranks.h"

using namespace tpsp;
using Catch::Contains;

namespace {

Sweep training_sweep(int world, const StepSettings& step = {}) {
  auto sweep = standard_sweep(world);
  sweep.training = step;
  sweep.seqs = {7};
  return sweep;
}

void check_parts(const Row& row) {
  INFO(row.plan << " " << row.seq << " " << row.recompute);
  CHECK(row.allocated_bytes.value() == row.weights_bytes + *row.gradient_bytes + *row.optimizer_bytes +
                                           *row.saved_at_peak_bytes + *row.recomputed_bytes + *row.activations_bytes +
                                           *row.logits_bytes + *row.collective_bytes + *row.resident_bytes);
  CHECK(row.resident_bytes == 0);
  CHECK(row.predicted_bytes.value() == row.allocated_bytes.value());
}

// (2L+1) h in fp32: all norms' gradients.
bool is_sum_of_norms(const at::Tensor& result) { return result.numel() == expected_reductions(2) * 96; }

}  // namespace

TEST_CASE("right loss, gradients and updated weights pass the check, and their memory is the predicted one") {
  const auto policy = GENERATE(from_range(all_policies()));
  const bool adamw = GENERATE(true, false);
  const auto micro_batches = GENERATE(1, 2);
  for (const int world : {1, 2, 4}) {
    for (const auto& row : rows_of(training_sweep(world, {policy, micro_batches, adamw}), world)) {
      INFO(row.plan << " world " << world << " recompute " << row.recompute << ": " << row.message);
      CHECK(row.status == Status::ok);
      CHECK(row.check == Check::pass);
      CHECK(row.max_rel_err.value() < 1e-5);
      CHECK(row.loss_error.value() < 1e-6);
      CHECK(row.weights_error.has_value() == adamw);
      CHECK(row.weights_error.value_or(0) < 1e-5);
      CHECK(row.loss.value() > 5);
      CHECK_FALSE(row.worst_gradient.empty());
      check_parts(row);
    }
  }
}

TEST_CASE("steps in bf16 pass within their bound") {
  auto sweep = training_sweep(2, {.adamw = true});
  sweep.dtype = at::kBFloat16;
  for (const auto& row : rows_of(sweep, 2)) {
    INFO(row.message);
    CHECK(row.check == Check::pass);
    CHECK(row.error_bound.value() < 0.1);
  }
}

TEST_CASE("a row says what step it is of") {
  const StepSettings step{
      .saved = {.recompute = Recompute::block, .regather = false}, .micro_batches = 2, .adamw = true};
  const auto sweep = training_sweep(2, step);
  const auto row = rows_of(sweep, 2).front();
  CHECK(row.workload == "train");
  CHECK(row.recompute == "block");
  CHECK(row.regather == "off");
  CHECK(row.optimizer == "adamw");
  CHECK(row.micro_batches == 2);
  CHECK(row.optimizer_bytes == 2 * row.weights_bytes);
  CHECK(row.gradient_bytes == row.weights_bytes);
  CHECK(row.optimizer_s.value() > 0);
  CHECK(row.forward_s.value() + row.backward_s.value() + row.optimizer_s.value() <= 1.2 * row.latency_max_s.value());

  auto forward = sweep;
  forward.training.reset();
  CHECK(case_key(case_of(forward, sweep.plans.front(), 7)) != row.key);
  CHECK(text_of(case_of(forward, sweep.plans.front(), 7)).find("recompute") == std::string::npos);
}

TEST_CASE("a row counts the collectives of the step, and those after the loss") {
  const auto rows = rows_of(training_sweep(2), 2);
  const auto reductions = expected_reductions(2);
  CHECK(rows[0].all_reduces == 2 * reductions);
  CHECK(rows[0].backward_all_reduces == reductions);
  CHECK(rows[0].all_gathers == 1);  // the loss'
  CHECK(rows[0].backward_all_gathers == 0);
  CHECK(rows[1].reduce_scatters == 2 * reductions);
  CHECK(rows[1].backward_reduce_scatters == reductions);
  CHECK(rows[1].all_gathers == 3 * reductions + 1);
  CHECK(rows[1].backward_all_gathers == 2 * reductions);
  CHECK(rows[1].all_reduces == 1);  // of all norms' gradients
  CHECK(rows[1].backward_all_reduces == 1);
  CHECK(rows[0].comm_bytes.value() > rows[0].backward_comm_bytes.value());
  CHECK(rows[0].saved_bytes.value() > rows[1].saved_bytes.value());
}

TEST_CASE("norms' gradients that are not summed over the ranks fail the check, which names one") {
  auto sweep = training_sweep(2);
  const auto rows = rows_of(sweep, 2, 1, [](const at::Tensor& result) {
    if (is_sum_of_norms(result)) result.mul_(0.5);
  });
  CHECK(rows[0].check == Check::pass);
  CHECK(rows[1].check == Check::fail);
  CHECK(rows[1].status == Status::failed);
  CHECK_THAT(rows[1].worst_gradient, Catch::EndsWith("norm"));
  CHECK_THAT(rows[1].message, Contains("the gradient of " + rows[1].worst_gradient + " by"));
}

TEST_CASE("a loss that is not finite fails the row, checked or not") {
  auto sweep = training_sweep(2);
  sweep.check = GENERATE(true, false);
  const auto rows = rows_of(
      sweep, 2, 0, [](const at::Tensor& result) { result.view(-1)[0].fill_(std::numeric_limits<float>::quiet_NaN()); });
  for (const auto& row : rows) {
    CHECK(row.status == Status::failed);
    CHECK_THAT(row.message, Contains("loss"));
  }
}

TEST_CASE("a step's limit is three forwards at the peak, whatever is computed again") {
  const auto limits = [](const std::optional<StepSettings>& step) {
    auto sweep = standard_sweep(2);
    sweep.training = step;
    sweep.check = false;
    sweep.peaks = std::make_shared<Peaks>();
    sweep.peaks->gemm_flops_per_s = 1e15;  // more than any machine has, so that it stays
    sweep.peaks->gemm_kernel = "plain";
    sweep.peaks->gemm_size = {64, 64, 64};
    sweep.peaks->memory_bytes_per_s = 1e9;
    return rows_of(sweep, 2).front();
  };
  const auto forward = limits(std::nullopt);
  const auto step = limits(StepSettings{});
  const auto again = limits(StepSettings{.saved = {.recompute = Recompute::block}});
  CHECK(step.limit_s.value() == Approx(3 * forward.limit_s.value()));
  CHECK(again.limit_s.value() == Approx(step.limit_s.value()));
  CHECK(step.product_flops.value() == Approx(3 * forward.product_flops.value()));
  CHECK(again.product_flops.value() > step.product_flops.value());
}

namespace {

/// A LLaMA whose reference finds too little memory for sequences of one length.
class Crowded final : public Architecture {
 public:
  Crowded(LlamaConfig config, std::int64_t too_long) : llama_(std::move(config)), too_long_(too_long) {}

  std::string name() const override { return llama_.name(); }
  std::string shapes() const override { return llama_.shapes(); }
  std::int64_t layers() const override { return llama_.layers(); }
  std::int64_t vocabulary() const override { return llama_.vocabulary(); }
  std::vector<Module> modules() const override { return llama_.modules(); }
  RoundingFacts rounding(std::int64_t seq) const override { return llama_.rounding(seq); }
  std::unique_ptr<Model> bind(const LoweredPlan& plan, const WeightSource& weights) const override {
    return llama_.bind(plan, weights);
  }
  at::Tensor reference_logits(const WeightRecipe& recipe, const at::Tensor& tokens) const override {
    return llama_.reference_logits(recipe, tokens);
  }
  ReferenceStep reference_step(const WeightRecipe& recipe, const Input& input, double scale) const override {
    if (input.tokens.size(1) == too_long_) throw std::bad_alloc();
    return llama_.reference_step(recipe, input, scale);
  }
  std::int64_t reference_extra_bytes(std::int64_t batch, std::int64_t seq) const override {
    return llama_.reference_extra_bytes(batch, seq);
  }
  std::int64_t reference_step_bytes(std::int64_t batch, std::int64_t seq, at::ScalarType dtype) const override {
    return llama_.reference_step_bytes(batch, seq, dtype);
  }
  std::string hugging_face_name(const std::string& module) const override { return llama_.hugging_face_name(module); }
  std::string hugging_face_config(at::ScalarType dtype) const override { return llama_.hugging_face_config(dtype); }

 private:
  Llama llama_;
  std::int64_t too_long_;
};

}  // namespace

TEST_CASE("a step whose check runs out of memory is a row that says so, and the next length is measured and right") {
  for (const bool adamw : {false, true}) {
    auto sweep = training_sweep(1, {.adamw = adamw});
    sweep.model = std::make_shared<Crowded>(load_model("llama-tiny"), 7);
    sweep.seqs = {7, 5};
    const auto rows = rows_of(sweep, 1);
    REQUIRE(rows.size() == 4);
    for (const auto& row : rows) {
      INFO(row.plan << " " << row.seq << ": " << row.message);
      CHECK(row.status == (row.seq == 7 ? Status::out_of_memory : Status::ok));
      if (row.seq == 7) continue;
      CHECK(row.check == Check::pass);
      check_parts(row);
    }
  }
}
