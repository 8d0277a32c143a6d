#include "tpsp/bench/preview.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "tpsp/comm/dry.h"
#include "tpsp/core/error.h"
#include "tpsp/machine/memory.h"
#include "tpsp/parallel/detours.h"

namespace tpsp {
namespace {

/// Keeps the events, adds up the arithmetic, and notes the peak at the moment when the head begins.
class PreviewLog final : public EventLog {
 public:
  PreviewLog(const AllocationMeter& meter, std::string head) : meter_(meter), head_(std::move(head)) {}

  EventId begin(const Event& event) override {
    flops_.at(static_cast<std::size_t>(event.phase)) += event.flops;
    if (event.phase == Phase::gemm && event.module == head_) peak_before_head_ = meter_.peak_bytes();
    return EventLog::begin(event);
  }
  double flops(Phase phase) const { return flops_.at(static_cast<std::size_t>(phase)); }
  std::int64_t peak_before_head() const { return peak_before_head_; }

 private:
  const AllocationMeter& meter_;
  std::string head_;
  std::array<double, phase_count> flops_{};
  std::int64_t peak_before_head_ = 0;
};

void add_collectives(Preview& result, const EventLog& log, int world) {
  for (const auto& [module, event] : log.entries()) {
    const auto kind = collective_of(event.transition);
    if (!kind) continue;
    const auto row = std::find_if(result.modules.begin(), result.modules.end(),
                                  [&name = module](const auto& one) { return one.name == name; });
    if (row == result.modules.end()) {
      throw internal_error(
          {.where = module, .what = "a collective is on behalf of it, and the model has no such module"});
    }
    row->collectives.push_back({*kind, bytes_sent(*kind, event.bytes, world)});
    (module == logits_module ? result.logits : result.layers).add(event, world);
    result.collective_bytes = std::max(result.collective_bytes, event.bytes);
  }
}

std::vector<PreviewModule> module_table(const LoweredPlan& plan) {
  std::vector<PreviewModule> modules;
  for (const auto& module : plan.modules) {
    const auto& module_plan = plan.at(module.name);
    const WeightShard shard{.dim = module_plan.weight_dim, .rank = 0, .ranks = plan.world};
    modules.push_back({module.name, module_plan, local_shape(module, shard), {}});
  }
  modules.push_back({logits_module, {}, {}, {}});
  return modules;
}

}  // namespace

Preview preview(const Architecture& architecture, const LoweredPlan& plan, std::int64_t batch, std::int64_t seq,
                c10::ScalarType dtype, const PreviewSettings& settings) {
  AllocationMeter meter(c10::kMeta);
  const ResidentWeights weights(plan, 0, {.seed = 0, .dtype = dtype, .device = at::kMeta, .kernel = settings.kernel});
  DryProcessGroup group(0, plan.world, settings.shares_memory);
  PreviewLog log(meter, plan.head().name);
  const Context context{.tp = group, .events = &log, .meta = settings.meta};
  const auto model = architecture.bind(plan, weights);
  const auto weights_alone = meter.current_bytes();
  const Input input{.tokens = at::empty({batch, seq}, at::TensorOptions(at::kLong).device(at::kMeta))};
  meter.reset_peak();
  const auto before = meter.current_bytes();
  auto logits = model->forward(input, context);

  Preview result{.modules = module_table(plan),
                 .seq_padded = logits.global.at(0),
                 .vocab_padded = logits.global.at(2),
                 .weights_bytes = weights.bytes(),
                 .product_flops = log.flops(Phase::gemm),
                 .attention_flops = log.flops(Phase::attention),
                 .peak_bytes = meter.peak_bytes() - weights_alone,
                 .peak_activation_bytes = meter.peak_bytes() - before,
                 .before_head_bytes = log.peak_before_head() - before,
                 .arena = group.arena(),
                 .findings = plan.findings};
  add_collectives(result, log, plan.world);
  const auto detours = find_detours(log, plan);
  result.findings.insert(result.findings.end(), detours.begin(), detours.end());

  meter.reset_peak();
  const auto full = gathered_logits(std::move(logits), seq, architecture.vocabulary(), {.tp = group});
  result.gathered_logits_peak_bytes = meter.peak_bytes() - before;
  result.gathered_logits_bytes = meter.current_bytes() - before;
  return result;
}

}  // namespace tpsp
