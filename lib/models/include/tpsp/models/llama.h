// The LLaMA forward pass, written once. TP, TP+SP, one rank and any mix are the same code under other placements.
#pragma once

#include <memory>
#include <string>

#include "tpsp/models/architecture.h"
#include "tpsp/models/config.h"

namespace tpsp {

/// LLaMA as in Touvron et al., arXiv:2302.13971. The reference is plain ATen operations with the formulas of Llama in
/// transformers, batch-first; one weight is in memory at a time, so that a reference of any depth fits.
class Llama final : public Architecture {
 public:
  explicit Llama(LlamaConfig config) : config_(std::move(config)) {}

  std::string name() const override { return config_.name; }
  std::string shapes() const override;
  std::int64_t layers() const override { return config_.layers; }
  std::int64_t vocabulary() const override { return config_.vocabulary; }
  std::vector<Module> modules() const override { return modules_of(config_); }
  RoundingFacts rounding(std::int64_t seq) const override;
  std::unique_ptr<Model> bind(const LoweredPlan& plan, const WeightSource& weights) const override;
  at::Tensor reference_logits(const WeightRecipe& recipe, const at::Tensor& tokens) const override;
  ReferenceStep reference_step(const WeightRecipe& recipe, const Input& input, double scale) const override;
  std::int64_t reference_extra_bytes(std::int64_t batch, std::int64_t seq) const override;
  std::int64_t reference_step_bytes(std::int64_t batch, std::int64_t seq, at::ScalarType dtype) const override;
  std::string hugging_face_name(const std::string& module) const override;
  std::string hugging_face_config(at::ScalarType dtype) const override;

 private:
  LlamaConfig config_;
};

}  // namespace tpsp
