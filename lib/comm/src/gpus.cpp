#include "tpsp/comm/gpus.h"

#include <fmt/format.h>

#include <algorithm>

namespace tpsp {

#ifndef TPSP_WITH_CUDA
std::string gpu_uuid(at::Device) { return {}; }
#endif

std::vector<std::string> gpus_of_ranks(World& world, at::Device device) { return world.exchange(gpu_uuid(device)); }

std::optional<std::string> shared_gpu(const std::vector<std::string>& gpus) {
  for (auto rank = gpus.begin(); rank != gpus.end(); ++rank) {
    const auto first = std::find(gpus.begin(), rank, *rank);
    if (rank->empty() || first == rank) continue;
    return fmt::format("ranks {} and {} are on one GPU ({})", first - gpus.begin(), rank - gpus.begin(), *rank);
  }
  return std::nullopt;
}

int ranks_on_gpu_of(const std::vector<std::string>& gpus, int rank) {
  return static_cast<int>(std::count(gpus.begin(), gpus.end(), gpus.at(static_cast<std::size_t>(rank))));
}

}  // namespace tpsp
