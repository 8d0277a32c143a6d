// The CUDA half: NCCL, the probe, and a whole sweep on a GPU. Registered with ctest where a GPU is found.
#include "support/torch_and_catch.h"
#include "tpsp/bench/sweep.h"
#include "tpsp/comm/backend.h"
#include "tpsp/machine/device.h"
#include "tpsp/models/llama.h"
#include "tpsp/nn/ops.h"
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

TEST_CASE("marks tell how long the device worked, not the host") {
  const auto probe = make_device_probe(gpu);
  const auto matrix = at::ones({4096, 4096}, at::TensorOptions().device(gpu));
  const auto product = at::mm(matrix, matrix);
  probe->mark();
  for (int i = 0; i < 10; ++i) at::mm(matrix, matrix);
  probe->mark();
  probe->mark();
  const auto seconds = probe->take_marks();
  REQUIRE(seconds.size() == 3);
  CHECK(seconds[0] == 0);
  CHECK(seconds[1] > 10 * 2 * 4096.0 * 4096 * 4096 / 1e15);  // no GPU does fp32 that fast
  CHECK(seconds[2] - seconds[1] < seconds[1]);
  CHECK(probe->take_marks().empty());
}

TEST_CASE("the operations between GEMMs give on a GPU what they give on a CPU") {
  const auto near = [](const at::Tensor& on_gpu, const at::Tensor& on_cpu) {
    const auto bound = on_cpu.scalar_type() == at::kFloat ? 1e-5 : 2e-2;
    return at::allclose(on_gpu.cpu().to(at::kFloat), on_cpu.to(at::kFloat), bound, bound);
  };
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const std::int64_t width : {64, 30}) {
      const auto random = [&](at::IntArrayRef sizes) { return at::randn(sizes).to(dtype); };
      const auto stream = random({5, 2, width}), partial = random({5, 2, width}), weight = random({width});
      const auto sum = at::empty_like(stream), normed = at::empty_like(stream);
      ops::add_norm(stream, {partial}, sum, weight, 1e-5, normed);
      const auto gpu_sum = at::empty_like(stream.to(gpu)), gpu_normed = at::empty_like(gpu_sum);
      ops::add_norm(stream.to(gpu), {partial.to(gpu)}, gpu_sum, weight.to(gpu), 1e-5, gpu_normed);
      CHECK(near(gpu_sum, sum));
      CHECK(near(gpu_normed, normed));

      const auto gate_up = random({5, 2, 2 * width});
      const auto halves = gate_up.to(gpu).chunk(2, -1);
      const auto cpu_halves = gate_up.chunk(2, -1);
      const auto activated = ops::swiglu(halves[0], halves[1]);
      CHECK(near(activated, ops::swiglu(cpu_halves[0], cpu_halves[1])));

      const auto table = random({7, width});
      const auto ids = at::arange(10, at::kLong).view({5, 2});
      const auto rows = at::empty({5, 2, width}, dtype),
                 gpu_rows = at::empty({5, 2, width}, rows.options().device(gpu));
      ops::embedding(table, ids, 2, rows);
      ops::embedding(table.to(gpu), ids.to(gpu), 2, gpu_rows);
      CHECK(at::equal(gpu_rows.cpu(), rows));
    }
    const ops::QueriesKeysValues heads{at::randn({5, 2, 4, 16}).to(dtype), at::randn({5, 2, 2, 16}).to(dtype),
                                       at::randn({5, 2, 2, 16}).to(dtype)};
    const auto table = ops::rotary_table(5, 16, 10000, heads.queries.options());
    const auto gpu_table = ops::rotary_table(5, 16, 10000, heads.queries.to(gpu).options());
    const auto turned = ops::by_head(heads, table);
    const auto gpu_turned = ops::by_head({heads.queries.to(gpu), heads.keys.to(gpu), heads.values.to(gpu)}, gpu_table);
    CHECK(near(gpu_turned.queries, turned.queries));
    CHECK(near(gpu_turned.keys, turned.keys));
    CHECK(at::equal(gpu_turned.values.cpu(), turned.values));
    CHECK(near(ops::causal_attention(gpu_turned.queries, gpu_turned.keys, gpu_turned.values),
               ops::causal_attention(turned.queries, turned.keys, turned.values)));
  }
}

TEST_CASE("attention of grouped queries is right with every kernel that LibTorch may choose") {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const std::int64_t head_dim : {64, 128}) {
      for (const std::int64_t group : {1, 4}) {
        const auto heads = [&](std::int64_t count) { return at::randn({2, count, 33, head_dim}).to(dtype); };
        const auto queries = heads(2 * group), keys = heads(2), values = heads(2);
        const auto on_gpu = ops::causal_attention(queries.to(gpu), keys.to(gpu), values.to(gpu));
        const auto on_cpu = ops::causal_attention(queries, keys, values);
        INFO(ops::attention_kernel(queries.to(gpu), keys.to(gpu), values.to(gpu), false));
        const auto bound = dtype == at::kFloat ? 1e-4 : 3e-2;
        CHECK(at::allclose(on_gpu.cpu().to(at::kFloat), on_cpu.to(at::kFloat), bound, bound));
      }
    }
  }
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
