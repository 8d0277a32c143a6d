// What a model is to the rest of the program: its modules, its forward, and an independent reference. Everything that
// measures, previews, profiles, checks and lints knows this and module names, and no model.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tpsp/parallel/lowering.h"
#include "tpsp/parallel/saved.h"
#include "tpsp/parallel/sharded.h"
#include "tpsp/weights/gradients.h"
#include "tpsp/weights/weights.h"

namespace tpsp {

/// What a forward reads.
struct Input {
  at::Tensor tokens;     ///< `[batch, seq]` int64, on the weights' device
  at::Tensor targets{};  ///< of a loss: the token that is to follow each, shaped alike
};

/// One rank of an architecture with its plan and weights.
class Model {
 public:
  virtual ~Model() = default;

  /// Logits `[padded seq, batch, padded vocabulary]` in the placement that the plan gives the head's output. Throws
  /// bad_input, naming the module, where a rule's in= is not what arrives, or a placement does not divide.
  virtual Sharded forward(const Input& input, const Context& context) const = 0;

  /// `scale` times the sum over all tokens of the cross-entropy of the logits with `input.targets`; 1 / tokens makes it
  /// the mean. The same on all ranks. The logits are never gathered; what `backward` needs goes to `context.saved`.
  /// Throws as `forward` does, and bad_input where the architecture has no training step.
  virtual double loss(const Input& input, double scale, const Context& context) const;
  /// Adds the gradient of the last `loss` to `gradients`, those of weights that are replicated perhaps in parts: see
  /// Gradients::finish_step. Takes what the loss has saved. Ends with Gradients::finish_backward.
  virtual void backward(const Input& input, const Context& context, Gradients& gradients) const;
};

/// Logits of `Model::forward`, gathered on every rank and without padding: `[batch, seq, vocabulary]`, a view where
/// possible.
at::Tensor gathered_logits(Sharded logits, std::int64_t seq, std::int64_t vocabulary, const Context& context);

/// What the bound on rounding errors follows from: see `error_bound`.
struct RoundingFacts {
  std::int64_t sublayers = 0;    ///< whose results are rounded one after the other
  std::int64_t longest_sum = 0;  ///< terms
};

/// What a training step is checked against.
struct ReferenceStep {
  double loss = 0;
  std::map<std::string, at::Tensor> gradients;  ///< of every module's weight, in the weight's dtype
};

class Architecture {
 public:
  virtual ~Architecture() = default;

  virtual std::string name() const = 0;     ///< "llama-7b"
  virtual std::string shapes() const = 0;   ///< "hidden 4096, heads 32, ...": all that its configuration says
  virtual std::int64_t layers() const = 0;  ///< blocks
  virtual std::int64_t vocabulary() const = 0;
  /// In forward order, containers before their children, the head last.
  virtual std::vector<Module> modules() const = 0;
  virtual RoundingFacts rounding(std::int64_t seq) const = 0;

  /// `plan` and `weights` outlive the model; so does the architecture.
  virtual std::unique_ptr<Model> bind(const LoweredPlan& plan, const WeightSource& weights) const = 0;

  /// Logits `[batch, seq, vocabulary]` of `tokens` in the recipe's dtype, by a program that shares nothing with
  /// `bind`'s but `make_weight`.
  virtual at::Tensor reference_logits(const WeightRecipe& recipe, const at::Tensor& tokens) const = 0;
  /// The loss of `Model::loss` and its gradients, as unlike it: by automatic differentiation of the reference. Throws
  /// bad_input where the architecture has no training step.
  virtual ReferenceStep reference_step(const WeightRecipe& recipe, const Input& input, double scale) const;
  /// Bytes that the reference has at its peak for so many sequences, beyond what a forward of an unsharded plan has.
  virtual std::int64_t reference_extra_bytes(std::int64_t batch, std::int64_t seq) const = 0;
  /// Bytes that `reference_step` takes at its peak for so many sequences, about.
  virtual std::int64_t reference_step_bytes(std::int64_t batch, std::int64_t seq, at::ScalarType dtype) const;

  /// The Hugging Face name of a module's weight, and config.json.
  virtual std::string hugging_face_name(const std::string& module) const = 0;
  virtual std::string hugging_face_config(at::ScalarType dtype) const = 0;

  std::int64_t parameters() const;
};

}  // namespace tpsp
