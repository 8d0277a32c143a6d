// The LLaMA forward pass, written once. TP, TP+SP, one rank and any mix are the same code under other layouts.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>

#include "tpsp/model/config.h"
#include "tpsp/model/weights.h"
#include "tpsp/parallel/lowering.h"
#include "tpsp/parallel/sharded.h"

namespace tpsp {

namespace ops {
struct RotaryTable;
}

/// One rank of a LLaMA model. Holds references: config, plan, weights and the context outlive it.
class Llama {
 public:
  Llama(const ModelConfig& config, const LoweredPlan& plan, const WeightSource& weights, ParallelContext context)
      : config_(config), plan_(plan), weights_(weights), context_(context) {}

  /// Logits of `tokens` (`[batch, seq]` int64, on the weights' device) as `[seq_padded, batch, vocabulary_padded]` in
  /// the layout that the plan gives the head's output. Throws bad_input, naming the module, where a rule's in= is not
  /// what arrives, or a layout does not divide.
  Sharded forward(const at::Tensor& tokens) const;

  /// The same, whole on every rank and without padding: `[batch, seq, vocabulary]`, a view where possible.
  at::Tensor logits(const at::Tensor& tokens) const;
  /// `forward`'s result made whole and cut to the real sizes.
  at::Tensor whole(Sharded logits, std::int64_t seq) const;

  std::int64_t padded_seq(std::int64_t seq) const;
  std::int64_t padded_vocabulary() const;

 private:
  /// A sublayer's last product, which has not met the residual stream yet.
  struct Delta {
    Sharded value;
    std::string module;  ///< whose out= the seam applies
  };

  Sharded arrive(Sharded value, const std::string& module) const;
  Sharded embed(const at::Tensor& tokens) const;
  Sharded multiply(Sharded value, const std::string& module) const;
  Sharded product(Sharded input, const std::string& module) const;
  std::vector<Sharded> products(Sharded input, const std::string& container,
                                const std::vector<std::string>& modules) const;
  at::Tensor normalized(const at::Tensor& input, const std::string& module) const;
  Sharded norm(Sharded input, const std::string& module) const;
  Sharded add_norm(Sharded& stream, std::optional<Delta> delta, const std::string& norm_module,
                   const std::string& reader) const;
  Delta attention(Sharded input, const std::string& module, const ops::RotaryTable& rotary) const;
  Delta feed_forward(Sharded input, const std::string& module) const;
  std::vector<at::Tensor> addends_of(Delta delta, Sharded& stream) const;
  Sharded with_heads_of(const Sharded& queries, Sharded keys, const std::string& module) const;

  const ModelConfig& config_;
  const LoweredPlan& plan_;
  const WeightSource& weights_;
  ParallelContext context_;
};

}  // namespace tpsp
