#include "provenance.h"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <torch/headeronly/version.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "tpsp/core/environment.h"
#include "tpsp/core/error.h"
#include "tpsp/core/files.h"
#include "tpsp/core/text.h"
#include "tpsp/machine/device.h"
#include "tpsp/results/case.h"
#include "version.h"

namespace tpsp {

namespace {

using Variables = std::vector<std::string>;

std::string operating_system() {
  utsname names{};
  if (uname(&names) != 0) return {};
  return std::string(names.sysname) + " " + names.release;
}

// What differs between rank 0's variables, separated by ;, and those of the first rank that has others; empty for none.
std::string difference_of_environments(const std::vector<std::string>& environments) {
  const auto other = std::find_if(environments.begin(), environments.end(),
                                  [&](const auto& text) { return text != environments.front(); });
  if (other == environments.end()) return {};
  const auto variables = [](const std::string& text) { return text.empty() ? Variables() : split(text, ';'); };
  const auto first = variables(environments.front());
  const auto theirs = variables(*other);
  Variables only;
  std::set_difference(theirs.begin(), theirs.end(), first.begin(), first.end(), std::back_inserter(only));
  const auto rank = other - environments.begin();
  if (!only.empty()) return fmt::format("rank {} has {}, and rank 0 has not", rank, only.front());
  std::set_difference(first.begin(), first.end(), theirs.begin(), theirs.end(), std::back_inserter(only));
  return fmt::format("rank 0 has {}, and rank {} has not", only.front(), rank);
}

// Of the variables that ranks should share; each may see a GPU of its own.
std::string shared_environment() {
  auto variables = recorded_environment();
  std::erase_if(variables, [](const auto& entry) { return entry.starts_with("CUDA_VISIBLE_DEVICES="); });
  return join(variables, ";");
}

}  // namespace

std::string program_fact() {
  constexpr std::size_t largest = std::size_t{1} << 30;
  try {
    return fmt::format("program {} {}\n", program_version(), hash_of(read_file("/proc/self/exe", largest)));
  } catch (const Error&) {  // a system without it
    return fmt::format("program {}\n", program_version());
  }
}

std::string program_version() { return TPSP_VERSION; }

std::int64_t host_memory_bytes() { return std::int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE); }

Provenance provenance_of(const CommandLine& line, World& world) {
  Provenance run;
  const auto host_names = world.exchange(host_name());
  const std::set<std::string> distinct(host_names.begin(), host_names.end());
  const std::vector<std::string> hosts(distinct.begin(), distinct.end());
  run.run_id = world.exchange(make_run_id()).front();
  run.host = join(hosts, "+");
  run.memory_bytes = host_memory_bytes();
  run.os = operating_system();
  run.command = line.text;
  run.environment = join(recorded_environment(), ";");
  if (const auto differs = difference_of_environments(world.exchange(shared_environment())); !differs.empty()) {
    run.warnings.push_back({"environment", differs + "; give all ranks the same environment (mpirun -x NAME)"});
  }
  run.version = program_version();
  run.build = TPSP_BUILD_TYPE;
  run.torch_version = TORCH_VERSION;
  run.mpi_version = mpi_version();
  run.cuda_version = cuda_version();
  run.nccl_version = nccl_version();
  return run;
}

}  // namespace tpsp
