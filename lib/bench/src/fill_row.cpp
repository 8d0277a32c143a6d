#include "fill_row.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "tpsp/core/environment.h"
#include "tpsp/core/text.h"
#include "tpsp/statistics/summary.h"

namespace tpsp {
namespace {

void fill_latency(Row& row, const std::vector<double>& samples) {
  const auto summary = summarize(samples);
  row.latency_s = summary.median;
  if (summary.interval) {
    row.latency_low_s = summary.interval->low;
    row.latency_high_s = summary.interval->high;
  }
  row.latency_min_s = summary.min;
  row.latency_p10_s = summary.p10;
  row.latency_p90_s = summary.p90;
  row.latency_p99_s = summary.p99;
  row.latency_max_s = summary.max;
  row.latency_mad_s = summary.mad;
  row.latency_cv = summary.cv;
  if (row.seq > 0) row.tokens_per_s = static_cast<double>(row.batch * row.seq) / summary.median;
}

void fill_ranks(Row& row, const Measurement& measured, const std::vector<std::string>& hosts) {
  std::vector<double> medians;
  for (const auto& samples : measured.rank_samples_s) medians.push_back(median(samples));
  const auto [quickest, slowest] = std::minmax_element(medians.begin(), medians.end());
  row.slowest_rank = static_cast<int>(slowest - medians.begin());
  row.slowest_host = hosts.at(static_cast<std::size_t>(*row.slowest_rank));
  if (row.rank) row.slowest_rank = row.rank;  // which ran alone
  row.rank_spread = (*slowest - *quickest) / *slowest;
}

std::string remedy_for(Anomaly anomaly, const Row& row) {
  switch (anomaly) {
    case Anomaly::first_slow:
      return fmt::format("the first of {} repetitions was far slower than the others; use a larger --warmup", row.reps);
    case Anomaly::bimodal:
      return "the times form two groups, so the median may lie in either; look at the samples, and for what else runs";
    case Anomaly::drifting:
      return "the times rise or fall from the first to the last; let the machine settle, or use a larger --warmup";
  }
  return {};
}

void fill_gpu(Row& row, const GpuSummary& gpu) {
  constexpr double largest_change = 0.05;
  row.gpu_clock_mhz = gpu.clock_mhz;
  row.gpu_power_w = gpu.power_w;
  row.gpu_temperature_c = gpu.temperature_c;
  row.gpu_held_by = held_by_words(gpu.held_by);
  if (gpu.clock_mhz && *gpu.highest_clock_mhz > (1 + largest_change) * *gpu.lowest_clock_mhz) {
    row.warnings.push_back(
        {"gpu-clock", fmt::format("the GPU's clock was between {:.0f} and {:.0f} MHz{}; fix it (nvidia-smi "
                                  "--lock-gpu-clocks), or use a larger --warmup",
                                  *gpu.lowest_clock_mhz, *gpu.highest_clock_mhz,
                                  row.gpu_held_by.empty() ? "" : fmt::format(" ({})", row.gpu_held_by))});
  }
  if (is_fault(gpu.held_by)) {
    row.warnings.push_back(
        {"gpu-throttled", fmt::format("the GPU slowed itself down ({}); see to its cooling and power "
                                      "(nvidia-smi -q -d PERFORMANCE)",
                                      row.gpu_held_by)});
  }
}

// The ranks compute alike, so one that takes longer is slower: its core, its clock, or what else runs there.
void look_for_slow_rank(Row& row, const std::vector<double>& busy_s, const std::vector<std::string>& hosts) {
  constexpr double largest_share = 1.2;
  constexpr double smallest_excess_s = 0.002;  // what a scheduler takes now and then
  if (busy_s.size() < 2) return;
  const auto slowest = static_cast<std::size_t>(std::max_element(busy_s.begin(), busy_s.end()) - busy_s.begin());
  auto others = busy_s;
  others.erase(others.begin() + static_cast<std::ptrdiff_t>(slowest));
  const double usual_s = median(others);
  if (busy_s[slowest] <= largest_share * usual_s || busy_s[slowest] <= usual_s + smallest_excess_s) return;
  row.warnings.push_back(
      {"slow-rank",
       fmt::format("rank {} on {} was busy for {:.2f} times as long as the others, which waited for it; see "
                   "what else runs there, and to its cores and clock",
                   slowest, hosts.at(slowest), busy_s[slowest] / usual_s)});
}

void fill_expected_step(Row& row, const StepPreview& step) {
  row.weights_bytes = step.weights_bytes;
  row.product_flops = step.product_flops;
  row.gradient_bytes = step.gradient_bytes;
  row.optimizer_bytes = step.optimizer_bytes;
  row.predicted_bytes = step.peak.total();
}

void fail(Row& row, const std::string& message) {
  row.status = Status::failed;
  row.message = message;
}

}  // namespace

Row blank_row(const Sweep& sweep, const LoweredPlan& plan, std::int64_t seq) {
  auto row = row_of(case_of(sweep, plan, seq), sweep.provenance);
  row.plan_text = plan.text;
  const auto& expected = sweep.previews->of(plan, sweep.batch_of_replica(), seq);
  const auto weights = weight_forms(plan, sweep.dtype, sweep.kernels);
  row.seq_padded = expected.seq_padded;
  row.vocab_padded = expected.vocab_padded;
  row.weights_bytes = weights.bytes;
  row.predicted_bytes = weights.allocated_bytes + expected.peak_bytes;
  row.product_flops = expected.product_flops;
  double limit_flops = expected.product_flops + expected.attention_flops;
  if (sweep.training) {
    constexpr double passes = 3;  // the backward has two GEMMs for each of the forward's
    limit_flops *= passes;
    fill_expected_step(row, sweep.previews->of_step(plan, sweep.batch, seq, *sweep.training));
  }
  auto kernels = weights.kernels;
  if (sweep.training) kernels.insert(weights.backward.begin(), weights.backward.end());
  row.gemm = fmt::format("{}", fmt::join(kernels, "+"));
  row.gemm_cache = without_home(sweep.kernels.file());
  if (sweep.peaks) {
    row.peak_flops_per_s = sweep.peaks->gemm_flops_per_s;
    row.peak_bytes_per_s = sweep.peaks->memory_bytes_per_s;
    row.limit_s = limit_flops / sweep.peaks->gemm_flops_per_s;
  }
  row.utc_time = utc_time();
  return row;
}

Row unmeasured_row(const Sweep& sweep, const LoweredPlan& plan, std::int64_t seq, Status status,
                   const std::string& message) {
  auto row = blank_row(sweep, plan, seq);
  row.status = status;
  row.message = message;
  return row;
}

void fill_order(Row& row, const Protocol& protocol, const std::vector<std::string>& names) {
  const bool interleaved = names.size() > 1 && protocol.order == Order::random;
  row.order = to_string(interleaved ? Order::random : Order::sequential);
  if (interleaved) row.turns = join(names, ";");
}

void fill_measurement(Row& row, const Measurement& measured, const std::vector<std::string>& hosts) {
  row.warmup = measured.warmup;
  row.reps = static_cast<int>(measured.samples_s.size());
  row.stop = to_string(measured.stop);
  fill_latency(row, measured.samples_s);
  if (row.limit_s) row.limit_fraction = *row.limit_s / *row.latency_s;
  fill_ranks(row, measured, hosts);
  row.allocated_bytes = measured.allocated_bytes;
  row.allocated_after_bytes = measured.allocated_after_bytes;
  row.reserved_bytes = measured.reserved_bytes;
  row.process_bytes = measured.process_bytes;
  row.all_reduces = measured.counts.all_reduces;
  row.all_gathers = measured.counts.all_gathers;
  row.reduce_scatters = measured.counts.reduce_scatters;
  row.comm_bytes = measured.counts.bytes;
  row.attention_kernel = measured.attention;
  row.samples_s = measured.samples_s;
  row.rank_samples_s = measured.rank_samples_s;
  fill_gpu(row, measured.gpu);
  for (const auto anomaly : anomalies(measured.samples_s)) {
    row.warnings.push_back({std::string(to_string(anomaly)), remedy_for(anomaly, row)});
  }
}

void fill_device_memory(Row& row, const DeviceMemory& memory) {
  row.allocated_bytes = memory.allocated;
  row.reserved_bytes = memory.reserved;
  row.workspace_bytes = memory.workspace;
  row.context_bytes = memory.context;
}

void fill_steps(Row& row, const StepLog& log, World& world) {
  const auto times = log.times(row.warmup, world);
  row.forward_s = times.forward_s;
  row.backward_s = times.backward_s;
  row.optimizer_s = times.optimizer_s;
  row.loss = log.last().loss;
  row.saved_bytes =
      static_cast<std::int64_t>(max_over_ranks(world, {static_cast<double>(log.last().saved_bytes)}).front());
  row.backward_all_reduces = log.backward().all_reduces;
  row.backward_all_gathers = log.backward().all_gathers;
  row.backward_reduce_scatters = log.backward().reduce_scatters;
  row.backward_comm_bytes = log.backward().bytes;
  if (row.dp > 1) {
    row.dp_all_reduces = log.replicas().all_reduces;
    row.dp_all_gathers = log.replicas().all_gathers;
    row.dp_reduce_scatters = log.replicas().reduce_scatters;
    row.dp_comm_bytes = log.replicas().bytes;
  }
  if (!std::isfinite(*row.loss)) fail(row, fmt::format("the loss of the last step is {}", *row.loss));
}

void fill_prediction(Row& row, const CommCounts& replicas, const Link& link) {
  const CommCounts of_model{.all_reduces = *row.all_reduces,
                            .all_gathers = *row.all_gathers,
                            .reduce_scatters = *row.reduce_scatters,
                            .bytes = *row.comm_bytes};
  const auto dp = std::max(1, static_cast<int>(row.dp));
  row.link = link.name;
  row.predicted_s = *row.latency_s + seconds_of(of_model, link, row.world / dp) + seconds_of(replicas, link, dp);
}

void fill_profile(Row& row, const ForwardProfile& profile, const std::vector<std::string>& hosts, World& world) {
  const auto part = [&](Phase which) { return profile.phases_s[static_cast<std::size_t>(which)]; };
  row.split_s = profile.total_s;
  row.gemm_s = part(Phase::gemm);
  if (row.peak_flops_per_s) row.gemm_fraction = *row.product_flops / *row.gemm_s / *row.peak_flops_per_s;
  row.attention_s = part(Phase::attention);
  row.norm_s = part(Phase::norm);
  row.fused_add_norm_s = part(Phase::fused_add_norm);
  row.wait_s = part(Phase::wait);
  row.move_s = part(Phase::move);
  row.other_s = part(Phase::other);
  look_for_slow_rank(row, profile.busy_s, hosts);

  const auto before_head = static_cast<double>(profile.before_head_bytes);
  row.before_head_bytes = static_cast<std::int64_t>(max_over_ranks(world, {before_head}).front());
  if (!profile.peak) return;
  std::vector<double> mine{static_cast<double>(profile.peak_bytes)};
  for (const auto bytes : profile.peak->bytes) mine.push_back(static_cast<double>(bytes));
  const auto all = exchange_numbers(world, mine);
  const auto& largest = *std::max_element(all.begin(), all.end());
  const auto bytes = [&](MemoryUse use) {
    return static_cast<std::int64_t>(largest.at(1 + static_cast<std::size_t>(use)));
  };
  row.activations_bytes = bytes(MemoryUse::activations);
  row.logits_bytes = bytes(MemoryUse::logits);
  row.collective_bytes = bytes(MemoryUse::collectives);
  row.resident_bytes = bytes(MemoryUse::weights) - row.weights_bytes;
  if (row.workload.empty()) return;
  *row.resident_bytes +=
      bytes(MemoryUse::gradients) + bytes(MemoryUse::optimizer) - *row.gradient_bytes - *row.optimizer_bytes;
  row.saved_at_peak_bytes = bytes(MemoryUse::saved);
  row.recomputed_bytes = bytes(MemoryUse::recomputed);
  if (row.dp > 1) row.unit_bytes = bytes(MemoryUse::unit);
}

void fill_check(Row& row, const LogitsError& error, double bound) {
  row.max_abs_err = error.max_abs;
  row.max_rel_err = error.max_rel;
  row.error_bound = bound;
  row.check = error.max_rel <= bound ? Check::pass : Check::fail;
  if (row.check == Check::pass) return;
  fail(row, fmt::format(
                "the logits differ from the unsharded reference by {:.2g} of its largest; {:.2g}, twice what rounding "
                "makes, is allowed",
                error.max_rel, bound));
}

void fill_check(Row& row, double loss, const StepError& error, double bound) {
  row.loss = loss;
  row.loss_error = error.loss;
  row.max_abs_err = error.max_abs;
  row.max_rel_err = error.gradient;
  row.worst_gradient = error.worst;
  if (row.optimizer == "adamw") row.weights_error = error.weights;
  row.error_bound = bound;
  row.check = std::max({error.loss, error.gradient, error.weights}) <= bound ? Check::pass : Check::fail;
  if (row.check == Check::pass) return;
  fail(row,
       fmt::format("against the unsharded reference the loss is off by {:.2g}, the gradient of {} by {:.2g} of its "
                   "largest element, updated weights by {:.2g}; {:.2g} is allowed",
                   error.loss, error.worst, error.gradient, error.weights, bound));
}

}  // namespace tpsp
