#include "support/torch_and_catch.h"

#include "tpsp/bench/comm_sweep.h"

#include <set>

#include "support/forwarding.h"
#include "support/process_groups.h"
#include "tpsp/comm/backend.h"
#include "tpsp/comm/threads.h"

using namespace tpsp;
using Catch::Contains;

namespace {

using Change = std::function<void(const at::Tensor&)>;

CommSweep sweep_of(const std::vector<std::int64_t>& bytes) {
  CommSweep sweep;
  sweep.ops = {CommOp::all_reduce, CommOp::reduce_scatter, CommOp::all_gather, CommOp::all_gather_read,
               CommOp::fused_add_norm};
  sweep.buffers = {Buffer::user, Buffer::registered};
  sweep.bytes = bytes;
  sweep.protocol = {.warmup = 1, .reps = 3};
  return sweep;
}

/// Rank 0's rows of two process groups, one of which lets `change` at the results on the last rank.
std::vector<Row> rows_of(const CommSweep& sweep, int world, const Change& change = {},
                         const std::function<bool(const std::string&)>& is_done = {}) {
  std::vector<Row> rows;
  run_threads(world, [&](World& ranks) {
    const auto plain = make_process_group(standard_backends(), "threads", ranks, at::kCPU);
    const auto other = make_process_group(standard_backends(), "threads", ranks, at::kCPU);
    ChangingProcessGroup changing(*other, [&](const at::Tensor& result) {
      if (change && ranks.rank() == world - 1) change(result);
    });
    const auto keep = [&](const Row& row) {
      if (ranks.rank() == 0) rows.push_back(row);
    };
    run_comm_sweep(sweep, ranks, {plain.get(), &changing}, {.row = keep, .is_done = is_done});
  });
  return rows;
}

/// Remembers where the gathered tensors of its rank lie.
class RememberingProcessGroup final : public ForwardingProcessGroup {
 public:
  explicit RememberingProcessGroup(ProcessGroup& inner) : ForwardingProcessGroup(inner) {}

  at::Tensor alloc_gathered(at::IntArrayRef sizes, const at::TensorOptions& options) override {
    auto tensor = ForwardingProcessGroup::alloc_gathered(sizes, options);
    buffers.push_back(tensor.const_data_ptr());
    return tensor;
  }

  std::vector<const void*> buffers;
};

std::string words_of(const Row& row) {
  return row.collective + " " + row.buffer + " " + std::to_string(row.message_bytes.value_or(0));
}

}  // namespace

TEST_CASE("every operation, buffer and size has a row of each process group, with right results") {
  for (const int world : {1, 2, 3, 4}) {
    const auto rows = rows_of(sweep_of({4096, 400'000}), world);
    REQUIRE(rows.size() == 2 * 2 * (4 * 2 + 1));
    for (const auto& row : rows) {
      INFO(words_of(row) << " " << world << " ranks: " << row.message);
      CHECK(row.status == Status::ok);
      CHECK(row.check == Check::pass);
      CHECK(row.wrong == 0);
      CHECK(row.world == world);
      CHECK(row.latency_s.value() > 0);
      CHECK(row.reps == 3);
      CHECK(row.turns == "threads;threads");
    }
  }
}

TEST_CASE("bf16 results are right too") {
  auto sweep = sweep_of({100'000});
  sweep.dtypes = {at::kBFloat16};
  for (const auto& row : rows_of(sweep, 3)) {
    INFO(words_of(row) << ": " << row.message);
    CHECK(row.wrong == 0);
    CHECK(row.dtype == "bf16");
  }
}

TEST_CASE("bandwidths follow from size and time, the bus's by nccl-tests' factors") {
  CHECK(bus_bandwidth(CommOp::all_reduce, 12, 4) == Approx(18));
  CHECK(bus_bandwidth(CommOp::fused_add_norm, 12, 4) == Approx(18));
  CHECK(bus_bandwidth(CommOp::all_gather, 12, 4) == Approx(9));
  CHECK(bus_bandwidth(CommOp::reduce_scatter, 12, 3) == Approx(8));
  for (const auto& row : rows_of(sweep_of({8192}), 4)) {
    if (row.collective == "all-gather" && row.buffer == "registered") {
      CHECK(!row.algbw_bytes_per_s);  // the shards lie where all ranks read them: nothing moves
      CHECK(!row.busbw_bytes_per_s);
      continue;
    }
    const double algbw = 8192 / row.latency_s.value();
    CHECK(row.algbw_bytes_per_s.value() == Approx(algbw));
    const bool once = row.collective.starts_with("all-gather") || row.collective == "reduce-scatter";
    CHECK(row.busbw_bytes_per_s.value() == Approx(algbw * (once ? 0.75 : 1.5)));
    CHECK(row.comm_bytes == (once ? 6144 : 12288));
  }
}

TEST_CASE("one rank moves nothing, and has no bandwidth") {
  for (const auto& row : rows_of(sweep_of({8192}), 1)) {
    CHECK(row.latency_s.value() > 0);
    CHECK(!row.busbw_bytes_per_s);
  }
}

TEST_CASE("sizes are rounded down to whole elements for each rank, and those of a fused add-norm to whole rows") {
  auto sweep = sweep_of({1003});
  sweep.buffers = {Buffer::user};
  std::set<std::string> words;
  for (const auto& row : rows_of(sweep, 3)) words.insert(words_of(row));
  CHECK(words == std::set<std::string>{"all-reduce user 996", "reduce-scatter user 996", "all-gather user 996",
                                       "all-gather-read user 996",
                                       "fused-add-norm registered 768"});  // 83 elements a rank, 64 of them a row
}

TEST_CASE("sizes that are rounded down to one are measured once, and one below an element a rank is refused") {
  auto sweep = sweep_of({1024, 1025, 1031});
  sweep.ops = {CommOp::all_gather};
  CHECK(rows_of(sweep, 2).size() == 2 * 2);
  CHECK(comm_cases(sweep, 2) == 2);
  sweep.bytes = {7};
  CHECK(smallest_message(sweep, 2) == 8);
  CHECK_THROWS_WITH(rows_of(sweep, 2), Contains("7 is less than one element for each of 2 ranks"));
}

TEST_CASE("buffers in place are one memory for all ranks, whatever was measured before") {
  auto sweep = sweep_of({8192, 65536, 16384});
  sweep.buffers = {Buffer::registered};
  std::vector<std::vector<const void*>> places(2);
  run_threads(2, [&](World& ranks) {
    const auto comm = make_process_group(standard_backends(), "threads", ranks, at::kCPU);
    RememberingProcessGroup remembering(*comm);
    run_comm_sweep(sweep, ranks, {&remembering}, {.row = [](const Row&) {}});
    places[static_cast<std::size_t>(ranks.rank())] = remembering.buffers;
  });
  CHECK(places[0].size() == 15);
  CHECK(places[0] == places[1]);
}

TEST_CASE("one wrong element of one rank fails the rows of that process group alone, and is counted") {
  const auto rows = rows_of(sweep_of({4096}), 2, [](const at::Tensor& result) {
    if (result.numel() > 5) result.view(-1)[5].add_(1000);
  });
  REQUIRE(rows.size() == 18);
  for (std::size_t i = 0; i < rows.size(); i += 2) {
    const auto& changed = rows[i + 1];
    INFO(words_of(changed));
    CHECK(rows[i].wrong == 0);
    CHECK(changed.wrong.value() >= 2);  // one in each of two checked calls
    CHECK(changed.status == Status::failed);
    CHECK(changed.check == Check::fail);
    CHECK_THAT(changed.message, Contains("wrong"));
    CHECK(changed.latency_s.has_value());
  }
  CHECK(rows[1].wrong == 2);
}

TEST_CASE("a transport that leaves results as they were is found out") {
  const auto rows = rows_of(sweep_of({4096}), 2, [](const at::Tensor& result) { result.zero_(); });
  for (std::size_t i = 1; i < rows.size(); i += 2) CHECK(rows[i].wrong.value() > 100);
}

TEST_CASE("small messages are timed many at once, large ones one by one") {
  auto sweep = sweep_of({64, 64 << 20});
  sweep.ops = {CommOp::all_reduce};
  sweep.buffers = {Buffer::user};
  sweep.protocol.reps = 1;
  const auto rows = rows_of(sweep, 1);
  REQUIRE(rows.size() == 4);
  CHECK(rows[0].calls.value() > 1);
  CHECK(rows[2].calls == 1);
  for (const auto& row : rows) CHECK(row.all_reduces == 1);
}

TEST_CASE("a collective has the same key in every run, and no other has it; backends share their case") {
  std::set<std::string> keys;
  std::set<std::string> cases;
  const auto rows = rows_of(sweep_of({1024, 2048}), 2);
  for (const auto& row : rows) {
    keys.insert(row.key);
    cases.insert(row.case_id);
  }
  CHECK(keys.size() == rows.size() / 2);  // the two process groups have one name
  CHECK(cases.size() == rows.size() / 2);
  for (const auto& row : rows_of(sweep_of({1024, 2048}), 2)) CHECK(keys.contains(row.key));
  auto other = sweep_of({1024, 2048});
  other.dtypes = {at::kBFloat16};
  for (const auto& row : rows_of(other, 2)) CHECK_FALSE(keys.contains(row.key));
}

TEST_CASE("collectives that are done are left out") {
  const auto all = rows_of(sweep_of({1024, 2048}), 2);
  const auto is_done = [&](const std::string& key) { return key != all.back().key; };
  const auto rows = rows_of(sweep_of({1024, 2048}), 2, {}, is_done);
  REQUIRE(rows.size() == 2);
  CHECK(words_of(rows[0]) == "fused-add-norm registered 2048");
}

TEST_CASE("buffers that do not fit in memory make skipped rows that say so") {
  auto sweep = sweep_of({std::int64_t{1} << 44});
  sweep.ops = {CommOp::fused_add_norm};
  const auto rows = rows_of(sweep, 1);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].status == Status::skipped);
  CHECK_THAT(rows[0].message, Contains("more than is free; use smaller --bytes"));
}
