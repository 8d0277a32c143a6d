#include "tpsp/models/architecture.h"

#include <ATen/ATen.h>

#include "tpsp/core/error.h"

namespace tpsp {
namespace {

Error no_training_step() {
  return bad_input({.where = "model", .what = "it has no training step", .remedy = "measure its forward"});
}

}  // namespace

double Model::loss(const Input& /*input*/, double /*scale*/, const Context& /*context*/) const {
  throw no_training_step();
}

void Model::backward(const Input& /*input*/, const Context& /*context*/, Gradients& /*gradients*/) const {
  throw no_training_step();
}

ReferenceStep Architecture::reference_step(const WeightRecipe& /*recipe*/, const Input& /*input*/,
                                           double /*scale*/) const {
  throw no_training_step();
}

std::int64_t Architecture::reference_step_bytes(std::int64_t /*batch*/, std::int64_t /*seq*/,
                                                at::ScalarType /*dtype*/) const {
  throw no_training_step();
}

at::Tensor gathered_logits(Sharded logits, std::int64_t seq, std::int64_t vocabulary, const Context& context) {
  const auto all = redistribute(std::move(logits), Placement::replicate(), context, logits_module);
  return all.local.narrow(0, 0, seq).narrow(2, 0, vocabulary).transpose(0, 1);
}

std::int64_t Architecture::parameters() const {
  std::int64_t total = 0;
  for (const auto& module : modules()) {
    if (module.dims.empty()) continue;
    std::int64_t elements = 1;
    for (const auto& dim : module.dims) elements *= dim.size;
    total += elements;
  }
  return total;
}

}  // namespace tpsp
