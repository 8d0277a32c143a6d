// A model and one of its results as files that other implementations can read.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>

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

}  // namespace tpsp
