// Memory that runs out while the program runs: under a limit of the process (ulimit -d), which no look at the host's
// free memory foresees.
#include "support/torch_and_catch.h"

#include "run.h"
#include "tpsp/gemm/weight.h"

using namespace tpsp;
using Catch::Contains;

namespace {

// What LibTorch's libraries take differs from build to build: the least limit, in steps of 100 MB, that a small run
// passes, and 300 MB more.
int limit_kilobytes(const TemporaryFolder& folder) {
  for (int limit = 300'000; limit < 8'000'000; limit += 100'000) {
    const auto small =
        run_command(folder, "env TPSP_DEVICE=cpu TPSP_THREADS=1 bash -c \"ulimit -d " + std::to_string(limit) +
                                "; exec '" TPSP_BENCH
                                "' --model llama-tiny --tp --seq 16 --batch 192 "
                                "--warmup 0 --reps 1 --check off --profile off --peaks off --out none.csv\"");
    if (small.code == 0) return limit + 300'000;
  }
  FAIL("the program does not start under any limit of its data");
  return 0;
}

std::string limited_program(const TemporaryFolder& folder, const std::string& condition = "true") {
  const auto path = folder / "limited.sh";
  const auto limit = std::to_string(limit_kilobytes(folder));
  write_text(path,
             "#!/bin/bash\nif " + condition + "; then ulimit -d " + limit + "; fi\nexec '" TPSP_BENCH "' \"$@\"\n");
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  return path.string();
}

const std::string options = "--tp --warmup 0 --reps 1 --check off --profile off ";
const std::string large_forward = options + "--model llama-tiny --batch 192 --seq 16,4096 ";  // 2.2 GB

}  // namespace

TEST_CASE("a forward that runs out of memory is a row that says so, and what was measured stays") {
  const TemporaryFolder folder;
  const Run run(folder, large_forward + "--out r.csv", {.program = limited_program(folder)});
  CHECK(run.code() == 3);
  const auto rows = read_csv(folder / "r.csv");
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].at("status") == "ok");
  CHECK(rows[1].at("status") == "out_of_memory");
  CHECK_THAT(rows[1].at("message"), Contains("ran out of memory; use fewer layers, a smaller batch or seq"));
}

TEST_CASE("weights that run out of memory are rows that say so, whether or not kernels were tried") {
  const TemporaryFolder folder;
  const auto gemm = GENERATE("plain", "auto");
  CAPTURE(gemm);
  const Run run(folder, options + "--model llama-7b --layers 4 --seq 4,8 --out r.csv",
                {.environment = {{"TPSP_GEMM", gemm}}, .program = limited_program(folder)});
  CHECK(run.code() == 3);
  const auto rows = read_csv(folder / "r.csv");
  REQUIRE(rows.size() == 2);
  for (const auto& row : rows) {
    CHECK(row.at("status") == "out_of_memory");
    CHECK_THAT(row.at("message"), Contains("the weights ran out of memory"));
  }
  const bool tried = std::string(gemm) == "auto" && packed_kernels(at::kFloat, at::kCPU).size() > 1;
  CHECK((run.err().find("too little memory to try the kernels") != std::string::npos) == tried);
}

namespace {

// Its forward's first tensor, 537 MB at seq 4096, is too large: later ones leave the limit to MPI's own buffers.
void write_wide_model(const TemporaryFolder& folder) {
  write_text(folder / "wide.yaml", "{hidden: 1024, layers: 1, heads: 8, ffn: 64, vocabulary: 16}\n");
}

}  // namespace

TEST_CASE("where ranks share memory, one that runs out of it in a forward makes a row, and the sweep goes on") {
  constexpr std::uintmax_t needed = 3'000'000'000;
  if (std::filesystem::space("/dev/shm").available < needed) {
    WARN("not run: it needs 3 GB in /dev/shm");
    return;
  }
  const TemporaryFolder folder;
  write_wide_model(folder);
  const Run run(folder, options + "--model wide.yaml --batch 32 --seq 16,4096,32 --backend shm --out r.csv",
                {.ranks = 2, .program = limited_program(folder, "[ \"$OMPI_COMM_WORLD_RANK\" = 1 ]")});
  INFO(run.err());
  CHECK(run.code() == 3);
  const auto rows = read_csv(folder / "r.csv");
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].at("status") == "ok");
  CHECK(rows[1].at("status") == "out_of_memory");
  CHECK(rows[2].at("status") == "ok");
}

TEST_CASE("where they do not, it ends all ranks with the reason") {
  const TemporaryFolder folder;
  write_wide_model(folder);
  const Run run(folder, options + "--model wide.yaml --batch 32 --seq 16,4096 --backend mpi --out r.csv",
                {.ranks = 2, .program = limited_program(folder, "[ \"$OMPI_COMM_WORLD_RANK\" = 1 ]")});
  CHECK(run.code() == 3);
  CHECK_THAT(run.err(), Contains("rank 1: memory: it ran out"));
  CHECK(read_csv(folder / "r.csv").size() == 1);
}
