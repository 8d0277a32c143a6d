#include "provenance.h"

#include <sys/utsname.h>
#include <torch/headeronly/version.h>
#include <unistd.h>

#include <set>

#include "tpsp/core/environment.h"
#include "tpsp/core/text.h"
#include "tpsp/machine/device.h"
#include "version.h"

namespace tpsp {

namespace {

std::string operating_system() {
  utsname names{};
  if (uname(&names) != 0) return {};
  return std::string(names.sysname) + " " + names.release;
}

}  // namespace

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
  run.version = program_version();
  run.build = TPSP_BUILD_TYPE;
  run.torch_version = TORCH_VERSION;
  run.mpi_version = mpi_version();
  run.cuda_version = cuda_version();
  run.nccl_version = nccl_version();
  return run;
}

}  // namespace tpsp
