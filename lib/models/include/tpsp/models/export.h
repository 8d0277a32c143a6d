// A model and one of its results as files that other implementations can read.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <string>

#include "tpsp/comm/world.h"
#include "tpsp/models/architecture.h"

namespace tpsp {

/// Makes the folder where there is none; the exports do so too. Throws Error(output_failed) with path and reason.
void make_export_folder(const std::filesystem::path& folder);

/// Writes `config.json` and `model.safetensors` in the layout and names of Hugging Face's transformers.
/// Weights are made one at a time, so a model larger than memory can be written. Throws Error(output_failed) with path
/// and reason.
void export_model(const std::filesystem::path& folder, const Architecture& model, const WeightRecipe& recipe);

/// Writes `io.safetensors`: `tokens` `[batch, seq]` int64 and `logits` `[batch, seq, vocabulary]` as fp32.
void export_io(const std::filesystem::path& folder, const at::Tensor& tokens, const at::Tensor& logits);

/// The same of a training step, with `targets` `[batch, seq]` int64 and `loss` `[1]` fp32 beside them.
void export_step_io(const std::filesystem::path& folder, const Input& input, const at::Tensor& logits, double loss);

/// A module's whole gradient, on any device in any dtype, shaped as the unsharded weight.
using WholeGradient = std::function<at::Tensor(const std::string& module)>;

/// Writes `gradients.safetensors`: the names and shapes of `model.safetensors`, as fp32. Rank 0 writes; every rank asks
/// `gradient` for every weight once, in the same order, one at a time, so it may be a collective, and a model's
/// gradients are never in one memory. Throws Error(output_failed) with path and reason on all ranks. Collective.
void export_gradients(const std::filesystem::path& folder, const Architecture& model, const WholeGradient& gradient,
                      World& world);

}  // namespace tpsp
