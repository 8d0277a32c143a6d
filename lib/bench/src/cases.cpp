#include "cases.h"

#include <fmt/format.h>

#include "tpsp/bench/check.h"
#include "tpsp/bench/sweep.h"
#include "tpsp/comm/dtype.h"
#include "tpsp/machine/device.h"

namespace tpsp {
namespace {

// The plans whose weights lie beside those of `plan` and count in its memory.
std::string kept_before(const Sweep& sweep, const LoweredPlan& plan) {
  std::string facts;
  if (sweep.weights != WeightPolicy::kept) return facts;
  for (auto other = sweep.plans.begin(); other != sweep.plans.end() && other->name != plan.name; ++other) {
    facts += fmt::format("\n{}", other->weight_sharding());
  }
  return facts;
}

}  // namespace

Case case_of(const Sweep& sweep, const LoweredPlan& plan, std::int64_t seq) {
  Case one{.model = sweep.model->name(),
           .layers = sweep.model->layers(),
           .plan = plan.name,
           .batch = sweep.batch,
           .seq = seq,
           .world = plan.world * sweep.replicas(),
           .rank = sweep.rank,
           .dtype = std::string(to_string(dtype_of(sweep.dtype))),
           .device = device_kind(sweep.device),
           .backend = sweep.backend,
           .threads = sweep.threads,
           .seed = sweep.seed,
           .model_shapes = sweep.model->shapes(),
           .plan_hash = hash_of(plan.signature() + kept_before(sweep, plan)),
           .protocol = fmt::format("{}, weights {}, check {}, profile {}, gemm {}", to_string(sweep.protocol),
                                   to_string(sweep.weights), sweep.check ? check_version : 0,
                                   sweep.profile ? "on" : "off", to_string(sweep.gemm))};
  if (const auto& step = sweep.training) {
    one.workload = "train";
    one.recompute = to_string(step->saved.recompute);
    one.regather = step->saved.regather ? "on" : "off";
    one.optimizer = step->adamw ? "adamw" : "none";
    one.micro_batches = step->micro_batches;
    one.dp = step->dp;
    one.shard = to_string(step->shard);
  }
  return one;
}

Case case_of(const CommSweep& sweep, const CommShape& shape, const ProcessGroup& comm) {
  return {.collective = std::string(to_string(shape.op)),
          .message_bytes = shape.bytes(),
          .buffer = std::string(to_string(shape.buffer)),
          .world = comm.size(),
          .dtype = std::string(to_string(dtype_of(shape.dtype))),
          .device = device_kind(sweep.device),
          .backend = std::string(comm.backend()),
          .threads = sweep.threads,
          .seed = sweep.seed,
          .protocol = to_string(sweep.protocol)};
}

}  // namespace tpsp
