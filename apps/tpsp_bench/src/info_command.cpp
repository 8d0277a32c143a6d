#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <fmt/format.h>
#include <torch/headeronly/version.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "choices.h"
#include "commands.h"
#include "provenance.h"
#include "tpsp/comm/dtype.h"
#include "tpsp/core/configs.h"
#include "tpsp/core/environment.h"
#include "tpsp/core/text.h"
#include "tpsp/core/width.h"
#include "tpsp/gemm/peaks.h"
#include "tpsp/gemm/weight.h"
#include "tpsp/kernels/kernels.h"
#include "tpsp/machine/device.h"

namespace tpsp {
namespace {

constexpr std::size_t name_width = 12;

void line(std::string_view name, std::string_view value) {
  for (const auto& part : wrapped(value, terminal_width - name_width - 1)) {
    fmt::print("{:<{}} {}\n", std::exchange(name, ""), name_width, part);
  }
}

std::string cuda_line() {
  if (cuda_version().empty()) return "not built in";
  const int gpus = cuda_device_count();
  return fmt::format("{}, NCCL {}, {}", cuda_version(), nccl_version(),
                     gpus == 0 ? "no GPU visible" : fmt::format("{} GPU{} visible", gpus, gpus == 1 ? "" : "s"));
}

// The fp32 arithmetic of a thread without any memory, the best of some tries.
double arithmetic_peak() {
  constexpr std::size_t some_milliseconds = 4'000'000;
  constexpr int tries = 10;
  double best = 0;
  for (int i = 0; i < tries; ++i) {
    float sums = 0;
    const auto start = std::chrono::steady_clock::now();
    const auto flops = kernels::multiply_add(some_milliseconds, &sums);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    if (sums > 0) best = std::max(best, flops / taken.count());
  }
  return best;
}

// What one rank can do alone; ranks that share memory bandwidth have less of it each.
void print_peaks(int threads) {
  at::set_num_threads(threads);
  fmt::print("\npeaks of one process, {} thread{}\n", threads, threads == 1 ? "" : "s");
  fmt::print("  {:<10} {:.0f} GFLOP/s (fp32 in registers, one thread, {}; LibTorch {})\n", "arithmetic",
             arithmetic_peak() / 1e9, kernels::instruction_set(), at::get_cpu_capability());
  double memory = 0;
  for (const auto dtype : all_dtypes) {
    const auto peaks = measure_peaks(scalar_type(dtype), c10::kCPU);
    fmt::print("  {:<10} {:.0f} GFLOP/s ({})\n", to_string(dtype), peaks.gemm_flops_per_s / 1e9, peaks.gemm_kernel);
    memory = std::max(memory, peaks.memory_bytes_per_s);
  }
  fmt::print("  {:<10} {:.1f} GB/s\n", "memory", memory / 1e9);
}

}  // namespace

void info_command(const CommandLine& command_line, const Parts& parts) {
  line("tpsp-bench", program_version() + " (" TPSP_BUILD_TYPE ")");
  line("LibTorch", TORCH_VERSION);
  line("oneDNN", onednn_version().empty() ? "not built in" : onednn_version());
  line("MPI", mpi_version());
  line("CUDA", cuda_line());
  line("host", host_name());
  line("CPU", fmt::format("{}, {} cores, {}", cpu_name(), sysconf(_SC_NPROCESSORS_ONLN), kernels::instruction_set()));
  line("memory", human_bytes(host_memory_bytes()));
  line("models", join(builtin_names("models"), ", "));
  line("plans", join(builtin_names("plans"), ", "));
  line("suites", join(builtin_names("suites"), ", "));
  fmt::print("\nbackends\n");
  for (const auto& backend : parts.backends) fmt::print("  {:<12} {}\n", backend.name, backend.meaning);
  if (!command_line.flags.contains("peaks")) return;
  print_peaks(static_cast<int>(integer_setting(Settings(command_line), "threads", 1, 4096)));
}

}  // namespace tpsp
