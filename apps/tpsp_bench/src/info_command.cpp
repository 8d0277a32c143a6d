#include <fmt/format.h>
#include <torch/headeronly/version.h>
#include <unistd.h>

#include <utility>

#include "commands.h"
#include "provenance.h"
#include "tpsp/bench/device.h"
#include "tpsp/core/configs.h"
#include "tpsp/core/environment.h"
#include "tpsp/core/text.h"
#include "tpsp/core/width.h"

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

}  // namespace

void info_command(const Parts& parts) {
  line("tpsp-bench", TPSP_VERSION " (" TPSP_BUILD_TYPE ")");
  line("LibTorch", TORCH_VERSION);
  line("MPI", mpi_version());
  line("CUDA", cuda_line());
  line("host", host_name());
  line("CPU", fmt::format("{}, {} cores", cpu_name(), sysconf(_SC_NPROCESSORS_ONLN)));
  line("memory", human_bytes(host_memory_bytes()));
  line("models", join(builtin_names("models"), ", "));
  line("plans", join(builtin_names("plans"), ", "));
  line("suites", join(builtin_names("suites"), ", "));
  fmt::print("\nbackends\n");
  for (const auto& backend : parts.backends) fmt::print("  {:<10} {}\n", backend.name, backend.meaning);
}

}  // namespace tpsp
