// The CUDA half: NCCL, the probe, and a whole sweep on a GPU. Registered with ctest where a GPU is found.
#include "support/torch_and_catch.h"
#include "tpsp/bench/sweep.h"
#include "tpsp/comm/backend.h"
#include "tpsp/machine/device.h"
#include "tpsp/models/llama.h"
#include "tpsp/weights/weights.h"

using namespace tpsp;

namespace {

const c10::Device gpu(c10::kCUDA, 0);

std::vector<Row> sweep_rows(const std::string& backend) {
  SerialWorld world;
  Sweep sweep;
  sweep.model = std::make_shared<Llama>(load_model("llama-tiny"));
  sweep.plans = {lower(load_plan("tp"), sweep.model->modules(), 1),
                 lower(load_plan("tp+sp"), sweep.model->modules(), 1)};
  sweep.seqs = {7, 64};
  sweep.device = gpu;
  const auto comm = make_process_group(standard_backends(), backend, world, gpu);
  std::vector<Row> rows;
  run_sweep(sweep, world, *comm, {.row = [&](const Row& row) { rows.push_back(row); }});
  return rows;
}

}  // namespace

TEST_CASE("NCCL's collectives on one rank leave the values as they are") {
  SerialWorld world;
  const auto comm = make_process_group(standard_backends(), "nccl", world, gpu);
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const auto values = at::arange(96, at::TensorOptions(dtype).device(gpu));
    const auto sum = values.clone();
    comm->all_reduce(sum, sum);
    CHECK(at::equal(sum, values));
    const auto full = at::empty_like(values);
    comm->all_gather(values, full);
    CHECK(at::equal(full, values));
    const auto shard = at::empty_like(values);
    comm->reduce_scatter(values, shard);
    CHECK(at::equal(shard, values));
  }
}

TEST_CASE("weights on the GPU have the bits of weights on the CPU") {
  const auto modules = modules_of(load_model("llama-tiny"));
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const auto on_gpu = make_weight(modules.back(), {}, {.seed = 1, .dtype = dtype, .device = gpu});
    const auto on_cpu = make_weight(modules.back(), {}, {.seed = 1, .dtype = dtype, .device = at::kCPU});
    CHECK(at::equal(on_gpu.cpu(), on_cpu));
  }
}

TEST_CASE("the probe sees a tensor's bytes, and their end") {
  const auto probe = make_device_probe(gpu);
  probe->release_unused();
  probe->reset_peaks();
  const auto before = probe->peak_allocated_bytes();
  constexpr std::int64_t bytes = 64 << 20;
  {
    const auto tensor = at::empty({bytes}, at::TensorOptions(at::kByte).device(gpu));
    CHECK(probe->peak_allocated_bytes() - before >= bytes);
  }
  probe->release_unused();
  probe->reset_peaks();
  CHECK(probe->peak_allocated_bytes() == before);
  CHECK(!device_name(gpu).empty());
}

TEST_CASE("a sweep on one GPU is checked and right under both backends") {
  for (const std::string backend : {"serial", "nccl"}) {
    const auto rows = sweep_rows(backend);
    REQUIRE(rows.size() == 4);
    for (const auto& row : rows) {
      INFO(backend << ' ' << row.plan << ' ' << row.seq);
      CHECK(row.status == Status::ok);
      CHECK(row.check == Check::pass);
      CHECK(*row.allocated_bytes >= row.weights_bytes);
      CHECK(*row.reserved_bytes >= *row.allocated_bytes);
    }
  }
}
