// What the modules of a transformer compute under a plan, each with the redistributions around it. An architecture is
// made of these.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tpsp/parallel/lowering.h"
#include "tpsp/parallel/saved.h"
#include "tpsp/parallel/sharded.h"
#include "tpsp/weights/gradients.h"
#include "tpsp/weights/weights.h"

namespace tpsp::nn {

/// What a sublayer adds to the residual stream: its last GEMM's result, not redistributed yet.
struct Delta {
  Sharded value;
  std::string module;  ///< whose output placement it will get
};

/// What some modules have read, made again or taken from where it was saved; to be called once, when all that the
/// modules themselves have saved is taken.
using InputAgain = std::function<Sharded()>;

/// The modules of one forward, and of its backward. Holds references: plan, weights, gradients and what the context
/// refers to outlive it. Every function throws bad_input, naming the module, where a rule's in= is not what arrives, or
/// a placement does not divide.
///
/// A function that ends in _backward takes the gradient of the result of the one before it and returns that of its
/// input, each in the gradient_placement of the value; a result may also be partial where its caller reduces it. It
/// takes from `context.saved` what the other has put there, so that all are called in reverse order, and adds to the
/// gradients of its weights.
class Layers {
 public:
  Layers(const LoweredPlan& plan, const WeightSource& weights, const Context& context, Gradients* gradients = nullptr)
      : plan_(plan), weights_(weights), context_(context), gradients_(gradients) {}

  const Context& context() const { return context_; }
  bool saves() const { return context_.saved != nullptr; }
  /// The same modules, whose forward keeps nothing.
  Layers without_saved() const { return {plan_, weights_, context_.without_saved(), gradients_}; }
  /// The same modules, whose forward keeps in `saved` what their backward needs.
  Layers saving_in(Saved& saved) const { return {plan_, weights_, context_.saving_in(saved), gradients_}; }
  /// Brings `value` to what the module computes from.
  Sharded arrive(Sharded value, const std::string& module) const;
  /// Brings `value`, in the placement that the module computes, to the one that its rule gives its output.
  Sharded leave(Sharded value, const std::string& module, Use use = Use::read) const;
  /// Of arrive and leave alike.
  Sharded redistribute_backward(Sharded gradient, const std::string& module, Use use = Use::read) const;

  /// Rows of the module's weight for `tokens` (`[batch, seq]` int64): `[padded seq, batch, hidden]`, to be written on.
  Sharded embedding(const at::Tensor& tokens, const std::string& module) const;
  void embedding_backward(Sharded gradient, const at::Tensor& tokens, const std::string& module) const;
  /// `input` `[seq, batch, in]`, which has arrived, times the module's weight `[out, in]` transposed, in the placement
  /// that is computed.
  Sharded gemm(const Sharded& input, const std::string& module) const {
    return gemm(input, module, plan_.at(module).output);
  }
  /// The same, into memory from which a collective brings it to `next`.
  Sharded gemm(const Sharded& input, const std::string& module, Placement next) const;
  /// Its backward in two halves, in any order: the gradient of the input, and the weight's, for which `input` is what
  /// the forward has read.
  Sharded input_backward(const Sharded& gradient, const std::string& module) const;
  void weight_backward(const Sharded& gradient, const Sharded& input, const std::string& module) const;
  /// The same of several modules that read what has arrived at their container: one GEMM where their weights are fused.
  std::vector<Sharded> gemms(Sharded input, const std::string& container,
                             const std::vector<std::string>& modules) const;
  Sharded gemms_backward(std::vector<Sharded> gradients, const InputAgain& input, const std::string& container,
                         const std::vector<std::string>& modules) const;
  /// The GEMM of the module that makes the logits, brought to its output placement. Their memory counts as logits.
  Sharded logits(Sharded input, const std::string& module) const;

  /// stream += delta, and the RMSNorm (Zhang & Sennrich, arXiv:1910.07467) of it, ready for `reader`. Under TP the
  /// delta is all-reduced here; under TP+SP it is reduce-scattered, added and normalised on this rank's tokens, and
  /// gathered for the reader. Where ranks see each other's memory, sum, add and norm are one pass over it.
  Sharded add_norm(Sharded& stream, std::optional<Delta> delta, const std::string& norm, const std::string& reader,
                   double eps) const;

  /// What add_norm has returned, computed again from the stream that it saved, or taken from where it was saved.
  Sharded normed_again(const std::string& norm, const std::string& reader, double eps) const;
  /// Adds the norm's part to `stream`, the gradient of the stream after the addition, which may be undefined for 0, and
  /// brings it to what the stream was before. Returns the gradient of the delta of module `delta`, where there is one;
  /// it may be the stream's memory, and is to be used before the next call.
  /// Where ranks see each other's memory, sum, backward of the norm and add are one pass over it.
  std::optional<Sharded> add_norm_backward(Sharded& stream, Sharded gradient, const std::optional<std::string>& delta,
                                           const std::string& norm, const std::string& reader, double eps) const;

  /// silu(gate) * up (Shazeer, arXiv:2002.05202) of two modules' results, in the placement that costs least.
  Sharded swiglu(Sharded gate, const std::string& gate_module, Sharded up, const std::string& up_module) const;
  /// Gradients of gate and up, where those were; `gradient` becomes the result of the forward again.
  std::vector<Sharded> swiglu_backward(Sharded& gradient, const std::string& gate_module,
                                       const std::string& up_module) const;

 private:
  /// The length that is computed: a multiple of the ranks where the plan shards sequences.
  std::int64_t padded_seq(std::int64_t seq) const;
  std::int64_t global_size(const ModulePlan& plan, int dim, std::int64_t local) const;
  Sharded norm(Sharded input, const std::string& module, double eps) const;
  std::vector<at::Tensor> terms_of(Delta delta, Sharded& stream) const;
  bool norm_needs_arrival(const Sharded& stream, const std::string& norm) const;
  void add(Sharded& stream, const std::vector<at::Tensor>& terms) const;
  Sharded keep_gathered(Sharded arrived) const;
  void norm_backward(const Sharded& gradient, const Sharded& input, const std::string& module, double eps,
                     const at::Tensor& of_input, bool adds) const;
  Sharded input_gradient(const Sharded& gradient, const GemmWeight& weight, const std::string& name,
                         const ModulePlan& plan) const;
  void weight_gradient(const Sharded& gradient, const Sharded& input, const GemmWeight& weight,
                       const std::string& name) const;

  const LoweredPlan& plan_;
  const WeightSource& weights_;
  Context context_;
  Gradients* gradients_;
};

}  // namespace tpsp::nn
