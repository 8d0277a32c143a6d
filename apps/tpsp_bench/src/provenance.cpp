#include "provenance.h"

#include <torch/headeronly/version.h>

#include <set>

#include "tpsp/bench/device.h"
#include "tpsp/core/environment.h"
#include "tpsp/core/text.h"

namespace tpsp {

void add_provenance(Row& row, World& world) {
  const auto host_names = world.exchange(host_name());
  const std::set<std::string> distinct(host_names.begin(), host_names.end());
  const std::vector<std::string> hosts(distinct.begin(), distinct.end());
  row.run_id = world.exchange(make_run_id()).front();
  row.host = join(hosts, "+");
  row.version = TPSP_VERSION;
  row.torch_version = TORCH_VERSION;
  row.mpi_version = mpi_version();
  row.cuda_version = cuda_version();
  row.nccl_version = nccl_version();
}

}  // namespace tpsp
