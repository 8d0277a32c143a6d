// The safetensors file format: eight bytes of length, a JSON header, the tensors' bytes.
// https://huggingface.co/docs/safetensors
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace tpsp {

/// One tensor to write: what the header needs, and how to make the values when their turn comes.
struct SafeTensor {
  std::string name;
  at::ScalarType dtype;
  std::vector<std::int64_t> shape;
  std::function<at::Tensor()> values;  ///< contiguous, on the CPU
};

/// Throws Error(output_failed) with path and reason.
void write_safetensors(const std::filesystem::path& path, const std::vector<SafeTensor>& tensors);

}  // namespace tpsp
