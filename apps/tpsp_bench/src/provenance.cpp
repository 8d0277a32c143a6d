#include "provenance.h"

#include <sys/utsname.h>
#include <torch/headeronly/version.h>
#include <unistd.h>

#include <set>

#include "tpsp/bench/device.h"
#include "tpsp/core/environment.h"
#include "tpsp/core/text.h"
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

void add_provenance(Row& row, const CommandLine& line, World& world) {
  const auto host_names = world.exchange(host_name());
  const std::set<std::string> distinct(host_names.begin(), host_names.end());
  const std::vector<std::string> hosts(distinct.begin(), distinct.end());
  row.run_id = world.exchange(make_run_id()).front();
  row.host = join(hosts, "+");
  row.memory_bytes = host_memory_bytes();
  row.os = operating_system();
  row.command = line.text;
  row.version = program_version();
  row.build = TPSP_BUILD_TYPE;
  row.torch_version = TORCH_VERSION;
  row.mpi_version = mpi_version();
  row.cuda_version = cuda_version();
  row.nccl_version = nccl_version();
}

Row with_provenance(const Row& prototype, Row provenance) {
  provenance.suite = prototype.suite;
  provenance.dtype = prototype.dtype;
  provenance.device = prototype.device;
  return provenance;
}

}  // namespace tpsp
