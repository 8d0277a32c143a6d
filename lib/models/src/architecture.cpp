#include "tpsp/models/architecture.h"

#include <ATen/ATen.h>

namespace tpsp {

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
