// The optimizer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>

#include "tpsp/weights/gradients.h"
#include "tpsp/weights/weights.h"

namespace tpsp {

/// PyTorch's defaults.
struct AdamWOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;
};

/// AdamW (Loshchilov and Hutter, arXiv:1711.05101) of what one rank has to update. Moments are fp32; so is a master
/// copy of each weight that is not.
class AdamW {
 public:
  /// The parameters of `weights` are written by every step and outlive the optimizer.
  explicit AdamW(const TrainableWeights& weights, const AdamWOptions& options = {});

  /// Of gradients that are summed over the ranks: see Gradients::finish_step.
  void step(const Gradients& gradients);
  std::int64_t bytes() const;

 private:
  struct State {
    at::Tensor weight;
    at::Tensor master;  ///< undefined for fp32
    at::Tensor mean;
    at::Tensor square;
  };

  AdamWOptions options_;
  std::map<std::string, State> states_;
  int steps_ = 0;
};

}  // namespace tpsp
