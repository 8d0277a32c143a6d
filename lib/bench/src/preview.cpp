#include "tpsp/bench/preview.h"

#include <ATen/ATen.h>

#include <algorithm>
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

double product_flops(const LoweredPlan& plan, std::int64_t tokens) {
  double weights = 0;
  for (const auto& module : plan.modules) {
    if (module.kind != ModuleKind::linear) continue;
    const auto shape = local_shape(module, {.dim = plan.at(module.name).cut, .rank = 0, .ranks = plan.world});
    weights += static_cast<double>(shape[0]) * static_cast<double>(shape[1]);
  }
  return 2 * weights * static_cast<double>(tokens);
}

// Scores and their product with the values, of the half that the mask leaves.
double attention_flops(const ModelConfig& config, const LoweredPlan& plan, std::int64_t batch, std::int64_t seq) {
  double flops = 0;
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    const bool cut = plan.at("layers." + std::to_string(layer) + ".attention.wq").cut == 0;
    const auto length = static_cast<double>(seq);
    flops +=
        2 * static_cast<double>(batch) * length * length * static_cast<double>(config.hidden) / (cut ? plan.world : 1);
  }
  return flops;
}

/// Notes the peak at the moment when the head begins.
class HeadWatch final : public Observer {
 public:
  explicit HeadWatch(const AllocationMeter& meter) : meter_(meter) {}

  void begin(Part part, std::string_view label) override {
    if (part == Part::gemm && label == "output") peak_bytes_ = meter_.peak_bytes();
  }
  void end() noexcept override {}
  std::int64_t peak_bytes() const { return peak_bytes_; }

 private:
  const AllocationMeter& meter_;
  std::int64_t peak_bytes_ = 0;
};

}  // namespace

Preview preview(const ModelConfig& config, const LoweredPlan& plan, std::int64_t batch, std::int64_t seq,
                c10::ScalarType dtype, const PreviewOf& of) {
  AllocationMeter meter(c10::kMeta);
  const ResidentWeights weights(plan, 0, {.seed = 0, .dtype = dtype, .device = at::kMeta, .kernel = of.kernel});
  DryCommunicator comm(0, plan.world, of.shares_memory);
  TransitionLog log;
  HeadWatch head(meter);
  const Llama model(config, plan, weights, {.comm = comm, .log = &log, .observer = &head});
  const auto tokens = at::empty({batch, seq}, at::TensorOptions(at::kLong).device(at::kMeta));
  meter.reset_peak();
  const auto before = meter.current_bytes();
  model.forward(tokens);

  Preview result{.modules = module_table(plan),
                 .seq_padded = model.padded_seq(seq),
                 .vocab_padded = model.padded_vocabulary(),
                 .weights_bytes = weights.bytes(),
                 .product_flops = product_flops(plan, batch * model.padded_seq(seq)),
                 .attention_flops = attention_flops(config, plan, batch, model.padded_seq(seq)),
                 .peak = meter.peak(),
                 .peak_activation_bytes = meter.peak_bytes() - before,
                 .before_head_bytes = head.peak_bytes() - before,
                 .room = comm.room(),
                 .findings = plan.findings};
  add_collectives(result, log, plan.world);
  const auto detours = find_detours(log, plan);
  result.findings.insert(result.findings.end(), detours.begin(), detours.end());
  return result;
}

}  // namespace tpsp
