// Which ranks compute on one GPU. Its index does not tell: a process may see some of a host's GPUs, under numbers of
// its own (CUDA_VISIBLE_DEVICES, srun --gpus-per-task).
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <vector>

#include "tpsp/comm/world.h"

namespace tpsp {

/// "GPU-8f6c2d5a-...", as nvidia-smi -L prints it; of a CPU nothing, nor where CUDA does not tell.
std::string gpu_uuid(at::Device device);

/// Of every rank, in rank order. Collective.
std::vector<std::string> gpus_of_ranks(World& world, at::Device device);

/// "ranks 0 and 1 are on one GPU (GPU-8f6c2d5a-...)", of the first two such ranks; nothing where there are none.
std::optional<std::string> shared_gpu(const std::vector<std::string>& gpus);

/// The ranks on one GPU with this one, itself included.
int ranks_on_gpu_of(const std::vector<std::string>& gpus, int rank);

}  // namespace tpsp
