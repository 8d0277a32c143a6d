#include "support/torch_and_catch.h"

#include "tpsp/comm/backend.h"

#include <set>

#include "comm/ranks.h"
#include "support/thrown.h"
#include "tpsp/comm/dry.h"
#include "tpsp/comm/gpus.h"
#include "tpsp/comm/mesh.h"
#include "tpsp/comm/threads.h"

using namespace tpsp;

namespace {

/// A transport that doubles: easy to distinguish from every other.
class DoublingProcessGroup final : public ProcessGroup {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::string_view backend() const override { return "doubling"; }
  void all_reduce(const at::Tensor&, const at::Tensor& sum) override { sum.mul_(2); }
  void all_gather(const at::Tensor&, const at::Tensor&) override {}
  void reduce_scatter(const at::Tensor&, const at::Tensor&) override {}
};

Backend doubling_backend() {
  return {.name = "doubling",
          .meaning = "for this test",
          .preference = 1000,
          .refusal = [](const World&, at::Device) { return std::optional<std::string>(); },
          .make = [](World&, at::Device) { return std::make_unique<DoublingProcessGroup>(); }};
}

/// A backend that serves, or refuses with a reason. Its process group has `preference` for a size, to be known by.
Backend backend_of(const std::string& name, int preference, std::optional<std::string> reason = std::nullopt) {
  return {.name = name,
          .meaning = "for this test",
          .preference = preference,
          .refusal = [reason](const World&, at::Device) { return reason; },
          .make = [preference](World&, at::Device) { return std::make_unique<DryProcessGroup>(0, preference); }};
}

int size_of_chosen(const std::vector<Backend>& backends, const std::string& name) {
  SerialWorld world;
  return make_process_group(backends, name, world, at::kCPU)->size();
}

std::string complaint_about(const std::vector<Backend>& backends, const std::string& name, int ranks) {
  ImaginedWorld world(ranks);
  return complaint_of([&] { make_process_group(backends, name, world, at::kCPU); });
}

}  // namespace

TEST_CASE("auto takes the backend of the highest preference") {
  CHECK(size_of_chosen({backend_of("low", 1), backend_of("high", 9), backend_of("middle", 5)}, "auto") == 9);
}

TEST_CASE("auto passes over a backend that refuses") {
  CHECK(size_of_chosen({backend_of("low", 1), backend_of("high", 9, "not here")}, "auto") == 1);
}

TEST_CASE("a name chooses its backend against every preference") {
  CHECK(size_of_chosen({backend_of("low", 1), backend_of("high", 9)}, "low") == 1);
}

TEST_CASE("an unknown name is answered with the nearest") {
  CHECK(complaint_about(standard_backends(), "thread", 1) ==
        "--backend: there is no backend 'thread' in this build; did you mean 'threads'?");
}

TEST_CASE("a name that is near to none is answered with the choices") {
  CHECK(complaint_about({backend_of("low", 1), backend_of("high", 9)}, "infiniband", 1) ==
        "--backend: there is no backend 'infiniband' in this build; the choices are auto, low, high");
}

TEST_CASE("a backend that refuses says why") {
  CHECK(complaint_about({backend_of("high", 9, "its cable is out")}, "high", 1) ==
        "--backend high: its cable is out; use --backend auto");
}

TEST_CASE("auto says so when no backend serves") {
  CHECK(complaint_about({backend_of("high", 9, "its cable is out")}, "auto", 4) ==
        "--backend auto: no backend serves 4 ranks on cpu; start the ranks with mpirun or srun");
}

TEST_CASE("a backend added from outside by one value is chosen and used") {
  auto backends = standard_backends();
  backends.push_back(doubling_backend());
  const auto name = GENERATE("auto", "doubling");
  SerialWorld world;
  const auto comm = make_process_group(backends, name, world, at::kCPU);
  auto buffer = at::full({3}, 21.0F);
  comm->all_reduce(buffer, buffer);
  CHECK(comm->backend() == "doubling");
  CHECK(at::equal(buffer, at::full({3}, 42.0F)));
}

TEST_CASE("every backend of the build has a name of its own and a meaning") {
  std::set<std::string> names;
  for (const auto& backend : standard_backends()) {
    CHECK(names.insert(backend.name).second);
    CHECK_FALSE(backend.meaning.empty());
  }
}

TEST_CASE("one rank alone is served by serial") {
  SerialWorld world;
  CHECK(make_process_group(standard_backends(), "auto", world, at::kCPU)->backend() == "serial");
}

TEST_CASE("ranks of one process are served by threads") {
  const auto backends = on_ranks(2, [](World& world, ProcessGroup&) {
    return std::string(make_process_group(standard_backends(), "auto", world, at::kCPU)->backend());
  });
  CHECK(backends == std::vector<std::string>{"threads", "threads"});
}

TEST_CASE("serial refuses more than one rank") {
  CHECK(complaint_about(standard_backends(), "serial", 2) ==
        "--backend serial: serial is for one rank, and there are 2; use --backend auto");
}

TEST_CASE("threads refuses ranks that are processes") {
  CHECK(complaint_about(standard_backends(), "threads", 2) ==
        "--backend threads: threads is for ranks inside one process, and these are processes; use --backend auto");
}

TEST_CASE("mpi refuses where MPI is not running") {
  CHECK(complaint_about(standard_backends(), "mpi", 2) ==
        "--backend mpi: mpi needs ranks started by mpirun or srun; use --backend auto");
}

TEST_CASE("hierarchical refuses where MPI is not running, and CUDA tensors") {
  CHECK(complaint_about(standard_backends(), "hierarchical", 2) ==
        "--backend hierarchical: hierarchical needs ranks started by mpirun or srun; use --backend auto");
  ImaginedWorld world(2);
  CHECK(complaint_of([&] { choose_backend(standard_backends(), "hierarchical", world, at::Device(at::kCUDA, 0)); }) ==
        "--backend hierarchical: hierarchical is for tensors in host memory; use --backend auto");
}

TEST_CASE("gloo refuses CUDA tensors") {
  ImaginedWorld world(2);
  CHECK(complaint_of([&] { choose_backend(standard_backends(), "gloo", world, at::Device(at::kCUDA, 0)); }) ==
        "--backend gloo: gloo needs CPU tensors; use --backend auto");
}

#ifdef TPSP_WITH_CUDA
TEST_CASE("nccl refuses CPU tensors") {
  CHECK(complaint_about(standard_backends(), "nccl", 2) ==
        "--backend nccl: nccl needs CUDA tensors; use --backend auto");
}
#endif

namespace {

/// What each of four ranks agrees on, in groups of two, where a rank has `backends(rank)`.
template <typename Backends>
std::vector<std::string> agreed_by_four(const std::string& name, const Backends& backends) {
  std::vector<std::string> names(4);
  run_threads(4, [&](World& world) {
    const Mesh mesh(world, 2);
    const auto rank = static_cast<std::size_t>(world.rank());
    names[rank] = agree_on_backend(backends(world.rank()), name, mesh.tp(), world, at::kCPU).name;
  });
  return names;
}

}  // namespace

TEST_CASE("auto is one backend on all ranks: the best of those that refuse no rank's group") {
  const auto names = agreed_by_four("auto", [](int rank) {
    const auto reason = rank < 2 ? std::nullopt : std::optional<std::string>("its hosts are two");
    return std::vector{backend_of("low", 1), backend_of("high", 9, reason), backend_of("middle", 5)};
  });
  CHECK(names == std::vector<std::string>(4, "middle"));
}

TEST_CASE("a backend by name that refuses some rank's group is refused on all ranks") {
  const auto message = complaint_of([] {
    agreed_by_four("high", [](int rank) {
      return std::vector{backend_of("high", 9, rank < 2 ? std::nullopt : std::optional<std::string>("no cable"))};
    });
  });
  CHECK(message == "rank 2: --backend high: no cable; use --backend auto");
}

TEST_CASE("auto says so when each backend refuses some rank's group") {
  const auto message = complaint_of([] {
    agreed_by_four("auto", [](int rank) {
      return std::vector{backend_of("high", 9, rank < 2 ? std::nullopt : std::optional<std::string>("no cable"))};
    });
  });
  CHECK(message == "--backend auto: no backend serves 2 ranks on cpu; start the ranks with mpirun or srun");
}

TEST_CASE("a backend that needs a device for each rank does not serve ranks that share a GPU") {
  auto devices = backend_of("devices", 9);
  devices.device_a_rank = true;
  const std::vector backends{backend_of("low", 1), devices};
  const std::optional<std::string> shared = "ranks 0 and 1 are on one GPU (GPU-1)";
  const SerialWorld world;
  CHECK(choose_backend(backends, "auto", world, at::kCPU).name == "devices");
  CHECK(choose_backend(backends, "auto", world, at::kCPU, shared).name == "low");
  CHECK(complaint_of([&] { choose_backend(backends, "devices", world, at::kCPU, shared); }) ==
        "--backend devices: ranks 0 and 1 are on one GPU (GPU-1); use --backend auto");
}

TEST_CASE("ranks on one GPU are found by its UUID, whatever numbers they see it under") {
  CHECK_FALSE(shared_gpu({"GPU-a", "GPU-b", "GPU-c"}).has_value());
  CHECK_FALSE(shared_gpu({"", ""}).has_value());  // CPUs
  CHECK(shared_gpu({"GPU-a", "GPU-b", "GPU-c", "GPU-b", "GPU-a"}) == "ranks 1 and 3 are on one GPU (GPU-b)");
  CHECK(ranks_on_gpu_of({"GPU-a", "GPU-b", "GPU-a"}, 2) == 2);
  CHECK(ranks_on_gpu_of({"GPU-a", "GPU-b", "GPU-a"}, 1) == 1);
  CHECK(gpu_uuid(at::kCPU).empty());
  const auto gpus = on_ranks(2, [](World& each, ProcessGroup&) { return gpus_of_ranks(each, at::kCPU); });
  CHECK(gpus.front() == std::vector<std::string>(2));
}
