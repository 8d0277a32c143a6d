#include "tpsp/bench/preview.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "tpsp/bench/memory.h"
#include "tpsp/model/llama.h"
#include "tpsp/parallel/detours.h"

namespace tpsp {
namespace {

std::optional<Collective> collective_of(Transition step) {
  switch (step) {
    case Transition::all_reduce: return Collective::all_reduce;
    case Transition::reduce_scatter: return Collective::reduce_scatter;
    case Transition::all_gather:
    case Transition::all_gather_slice: return Collective::all_gather;
    case Transition::none:
    case Transition::slice: return std::nullopt;
  }
  return std::nullopt;
}

void count(CommCounts& counts, Collective kind, std::int64_t bytes) {
  counts.all_reduces += kind == Collective::all_reduce ? 1 : 0;
  counts.all_gathers += kind == Collective::all_gather ? 1 : 0;
  counts.reduce_scatters += kind == Collective::reduce_scatter ? 1 : 0;
  counts.bytes += bytes;
}

void add_collectives(Preview& result, const TransitionLog& log, int world) {
  for (const auto& record : log) {
    const auto kind = collective_of(record.step);
    if (!kind) continue;
    const auto bytes = bytes_sent(*kind, record.whole_bytes, world);
    const auto module = std::find_if(result.modules.begin(), result.modules.end(),
                                     [&](const auto& m) { return m.name == record.module; });
    module->collectives.push_back({*kind, bytes});
    count(record.module == "logits" ? result.logits : result.layers, *kind, bytes);
    result.collective_bytes = std::max(result.collective_bytes, record.whole_bytes);
  }
}

std::vector<PreviewModule> module_table(const LoweredPlan& plan) {
  std::vector<PreviewModule> modules;
  for (const auto& module : plan.modules) {
    const auto& placement = plan.at(module.name);
    const WeightCut cut{.dim = placement.cut, .rank = 0, .ranks = plan.world};
    modules.push_back({module.name, placement, local_shape(module, cut), {}});
  }
  modules.push_back({"logits", Placement{.in = {}, .want = {}, .cut = {}, .rule = {}}, {}, {}});
  return modules;
}

/// Adds up the arithmetic, and notes the peak at the moment when the head begins.
class ForwardWatch final : public Observer {
 public:
  explicit ForwardWatch(const AllocationMeter& meter) : meter_(meter) {}

  void begin(Part part, std::string_view label, double flops) override {
    flops_.at(static_cast<std::size_t>(part)) += flops;
    if (part == Part::gemm && label == "output") peak_before_head_ = meter_.peak_bytes();
  }
  void end() noexcept override {}
  double flops(Part part) const { return flops_.at(static_cast<std::size_t>(part)); }
  std::int64_t peak_before_head() const { return peak_before_head_; }

 private:
  const AllocationMeter& meter_;
  std::array<double, part_count> flops_{};
  std::int64_t peak_before_head_ = 0;
};

}  // namespace

Preview preview(const ModelConfig& config, const LoweredPlan& plan, std::int64_t batch, std::int64_t seq,
                c10::ScalarType dtype, const PreviewOf& of) {
  AllocationMeter meter(c10::kMeta);
  const ResidentWeights weights(plan, 0, {.seed = 0, .dtype = dtype, .device = at::kMeta, .kernel = of.kernel});
  DryCommunicator comm(0, plan.world, of.shares_memory);
  TransitionLog log;
  ForwardWatch watch(meter);
  const Llama model(config, plan, weights, {.comm = comm, .log = &log, .observer = &watch});
  const auto tokens = at::empty({batch, seq}, at::TensorOptions(at::kLong).device(at::kMeta));
  meter.reset_peak();
  const auto before = meter.current_bytes();
  auto logits = model.forward(tokens);

  Preview result{.modules = module_table(plan),
                 .seq_padded = model.padded_seq(seq),
                 .vocab_padded = model.padded_vocabulary(),
                 .weights_bytes = weights.bytes(),
                 .product_flops = watch.flops(Part::gemm),
                 .attention_flops = watch.flops(Part::attention),
                 .peak = meter.peak(),
                 .peak_activation_bytes = meter.peak_bytes() - before,
                 .before_head_bytes = watch.peak_before_head() - before,
                 .room = comm.room(),
                 .findings = plan.findings};
  add_collectives(result, log, plan.world);
  const auto detours = find_detours(log, plan);
  result.findings.insert(result.findings.end(), detours.begin(), detours.end());

  meter.reset_peak();
  const auto whole = model.whole(std::move(logits), seq);
  result.whole_logits_peak_bytes = meter.peak_bytes() - before;
  result.whole_logits_bytes = meter.current_bytes() - before;
  return result;
}

}  // namespace tpsp
