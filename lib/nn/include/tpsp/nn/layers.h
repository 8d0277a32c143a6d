// What the modules of a transformer compute under a plan, each with the redistributions around it. An architecture is
// made of these.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <vector>

#include "tpsp/parallel/lowering.h"
#include "tpsp/parallel/sharded.h"
#include "tpsp/weights/weights.h"

namespace tpsp::nn {

/// What a sublayer adds to the residual stream: its last GEMM's result, not redistributed yet.
struct Delta {
  Sharded value;
  std::string module;  ///< whose output placement it will get
};

/// The modules of one forward. Holds references: plan, weights and what the context refers to outlive it. Every
/// function throws bad_input, naming the module, where a rule's in= is not what arrives, or a placement does not
/// divide.
class Layers {
 public:
  Layers(const LoweredPlan& plan, const WeightSource& weights, const Context& context)
      : plan_(plan), weights_(weights), context_(context) {}

  const Context& context() const { return context_; }
  /// Brings `value` to what the module computes from.
  Sharded arrive(Sharded value, const std::string& module) const;
  /// Brings `value`, in the placement that the module computes, to the one that its rule gives its output.
  Sharded leave(Sharded value, const std::string& module, Use use = Use::read) const;

  /// Rows of the module's weight for `tokens` (`[batch, seq]` int64): `[padded seq, batch, hidden]`, to be written on.
  Sharded embedding(const at::Tensor& tokens, const std::string& module) const;
  /// `input` `[seq, batch, in]`, which has arrived, times the module's weight `[out, in]` transposed, in the placement
  /// that is computed.
  Sharded gemm(const Sharded& input, const std::string& module) const;
  /// The same of several modules that read what has arrived at their container: one GEMM where their weights are fused.
  std::vector<Sharded> gemms(Sharded input, const std::string& container,
                             const std::vector<std::string>& modules) const;
  /// The GEMM of the module that makes the logits, brought to its output placement. Their memory counts as logits.
  Sharded logits(Sharded input, const std::string& module) const;

  /// stream += delta, and the RMSNorm (Zhang & Sennrich, arXiv:1910.07467) of it, ready for `reader`. Under TP the
  /// delta is all-reduced here; under TP+SP it is reduce-scattered, added and normalised on this rank's tokens, and
  /// gathered for the reader. Where ranks see each other's memory, sum, add and norm are one pass over it.
  Sharded add_norm(Sharded& stream, std::optional<Delta> delta, const std::string& norm, const std::string& reader,
                   double eps) const;

  /// silu(gate) * up (Shazeer, arXiv:2002.05202) of two modules' results, in the placement that costs least.
  Sharded swiglu(Sharded gate, const std::string& gate_module, Sharded up, const std::string& up_module) const;

 private:
  /// The length that is computed: a multiple of the ranks where the plan shards sequences.
  std::int64_t padded_seq(std::int64_t seq) const;
  std::int64_t global_size(const ModulePlan& plan, int dim, std::int64_t local) const;
  Sharded norm(Sharded input, const std::string& module, double eps) const;
  std::vector<at::Tensor> terms_of(Delta delta, Sharded& stream) const;

  const LoweredPlan& plan_;
  const WeightSource& weights_;
  Context context_;
};

}  // namespace tpsp::nn
