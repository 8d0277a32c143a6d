#include "tpsp/core/environment.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <random>

#include "tpsp/core/error.h"
#include "tpsp/core/text.h"
#include "tpsp/core/width.h"

namespace tpsp {
namespace {

// How the names begin of variables that a row may show.
constexpr std::array recorded_names{"ATEN_CPU_CAPABILITY=",
                                    "CUBLAS_",
                                    "CUDA_DEVICE_",
                                    "CUDA_LAUNCH_",
                                    "CUDA_MODULE_LOADING=",
                                    "CUDA_VISIBLE_DEVICES=",
                                    "DNNL_",
                                    "GLIBC_TUNABLES=",
                                    "GOMP_",
                                    "KMP_",
                                    "LD_PRELOAD=",
                                    "MALLOC_",
                                    "MKL_",
                                    "NCCL_",
                                    "NVIDIA_TF32_",
                                    "OMP_",
                                    "OMPI_MCA_btl",
                                    "OMPI_MCA_coll",
                                    "OMPI_MCA_mtl",
                                    "OMPI_MCA_osc",
                                    "OMPI_MCA_pml",
                                    "ONEDNN_",
                                    "PYTORCH_",
                                    "TORCH_",
                                    "TPSP_",
                                    "UCX_"};

std::string utc(const char* format) {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  const std::size_t length = std::strftime(text.data(), text.size(), format, &parts);
  return {text.data(), length};
}

int number(const char* name, const std::string& text, int min) {
  return static_cast<int>(parse_integer(text, name, min, std::numeric_limits<int>::max()));
}

/// The launch that two variables describe, or nothing when the first is not set.
std::optional<Launch> launched_by(const char* rank_name, const char* size_name) {
  const auto rank_text = environment(rank_name);
  if (!rank_text) return std::nullopt;
  const auto size_text = environment(size_name);
  if (!size_text) {
    throw bad_input({"launcher",
                     fmt::format("{} is set but {} is not", rank_name, size_name),
                     {},
                     "start the ranks with mpirun, or with srun --mpi=pmix"});
  }
  const Launch launch{true, number(rank_name, *rank_text, 0), number(size_name, *size_text, 1)};
  if (launch.rank >= launch.size) {
    throw bad_input({"launcher", fmt::format("rank {} of {}", launch.rank, launch.size),
                     fmt::format("{} and {} contradict each other", rank_name, size_name),
                     "unset both, or start the ranks with mpirun"});
  }
  return launch;
}

}  // namespace

std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
}

std::vector<std::string> variables_with(std::string_view prefix) {
  std::vector<std::string> names;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view variable(*entry);
    if (variable.starts_with(prefix)) names.emplace_back(variable.substr(0, variable.find('=')));
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> recorded_environment() {
  constexpr std::size_t longest = 200;
  std::vector<std::string> recorded;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view variable(*entry);
    const auto begins = [&](std::string_view name) { return variable.starts_with(name); };
    if (std::none_of(recorded_names.begin(), recorded_names.end(), begins)) continue;
    const auto equals = variable.find('=');
    auto text = std::string(variable.substr(0, equals + 1)) + without_home(std::string(variable.substr(equals + 1)));
    std::replace_if(
        text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == ';' || c == 0x7F; }, ' ');
    recorded.push_back(shortened(valid_utf8(text), longest));
  }
  std::sort(recorded.begin(), recorded.end());
  return recorded;
}

std::string without_home(const std::string& path) {
  const auto home = environment("HOME").value_or("");
  const bool inside = home.size() > 1 && path.starts_with(home) && path.substr(home.size()).starts_with('/');
  return inside ? "~" + path.substr(home.size()) : path;
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? valid_utf8(name.data()) : "unknown";
}

std::string utc_time() { return utc("%Y-%m-%dT%H:%M:%SZ"); }

std::string make_run_id() { return fmt::format("{}-{:04x}", utc("%Y%m%dT%H%M%SZ"), std::random_device()() & 0xFFFFU); }

Launch detect_launch() {
  if (const auto launch = launched_by("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")) return *launch;
  const char* tasks = environment("SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS";
  if (const auto launch = launched_by("PMIX_RANK", tasks)) return *launch;
  if (const auto launch = launched_by("PMI_RANK", "PMI_SIZE")) return *launch;
  if (!environment("SLURM_STEP_NUM_TASKS")) return {};
  auto step = launched_by("SLURM_PROCID", "SLURM_STEP_NUM_TASKS").value_or(Launch{});
  step.mpi = false;
  return step;
}

}  // namespace tpsp
