// A program with a backend and a column added from outside (cli_parts/broken_bench.cpp), and what it does when the
// numbers are wrong or a rank fails.
#include <catch2/catch.hpp>

#include "run.h"

using namespace tpsp;
using Catch::Contains;

namespace {

Start broken(int ranks) { return {.ranks = ranks, .program = TPSP_BROKEN_BENCH}; }

const std::string tiny_run = "--model llama-tiny --warmup 0 --reps 1 ";

}  // namespace

TEST_CASE("wrong numbers are a failed row and exit code 4, and the next case is measured") {
  const TemporaryFolder folder;
  const Run run(folder, tiny_run + "--seq 8 --backend broken", broken(2));
  CHECK(run.code() == 4);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].at("status") == "failed");
  CHECK(rows[0].at("check") == "fail");
  CHECK(rows[0].at("backend") == "broken");
  CHECK(std::stod(rows[0].at("max_rel_err")) > 1e-4);
  CHECK_THAT(rows[0].at("message"), Contains("differ from the unsharded reference"));
  CHECK(rows[1].at("status") == "ok");
  CHECK(rows[1].at("check") == "pass");
  CHECK_THAT(run.out(), Contains("fail"));
}

TEST_CASE("a wrong result on a rank that computes no part of the reference fails the check") {
  const TemporaryFolder folder;
  const Run run(folder, tiny_run + "--tp --seq 8 --batch 1 --backend zeroed", broken(2));
  CHECK(run.code() == 4);
  CHECK(read_csv(folder / "tpsp-results.csv").at(0).at("check") == "fail");
}

TEST_CASE("what a buffer still holds from a timed forward fails the check") {
  const TemporaryFolder folder;
  const Run run(folder, tiny_run + "--tp --seq 8 --layers 2 --backend stale", broken(2));
  CHECK(run.code() == 4);
  CHECK(read_csv(folder / "tpsp-results.csv").at(0).at("check") == "fail");
}

TEST_CASE("a column that is added from outside is in the header and in every row") {
  const TemporaryFolder folder;
  const Run run(folder, tiny_run + "--tp --seq 8,9 --batch 3", broken(0));
  REQUIRE(run.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].at("tokens_per_forward") == "24");
  CHECK(rows[1].at("tokens_per_forward") == "27");
}

TEST_CASE("backends that are added from outside are listed, and chosen only by name") {
  const TemporaryFolder folder;
  const Run info(folder, "info", broken(0));
  CHECK_THAT(info.out(), Contains("broken") && Contains("throwing"));
  const Run run(folder, tiny_run + "--tp --seq 8", broken(2));
  REQUIRE(run.code() == 0);
  CHECK(read_csv(folder / "tpsp-results.csv").at(0).at("backend") == "shm");
}

TEST_CASE("results of a program with other columns do not mix") {
  const TemporaryFolder folder;
  const Run first(folder, tiny_run + "--tp --seq 8");
  const Run second(folder, tiny_run + "--tp --seq 8", broken(0));
  CHECK(first.code() == 0);
  CHECK(second.code() == 2);
  CHECK_THAT(complaint(second), Contains("tokens_per_forward"));
  CHECK(read_csv(folder / "tpsp-results.csv").size() == 1);
}

TEST_CASE("a rank that fails inside a forward ends all ranks and leaves the rows before it") {
  const TemporaryFolder folder;
  const Run run(folder, tiny_run + "--tp --seq 4,8 --backend throwing", broken(2));
  CHECK(run.code() == 3);
  CHECK_THAT(complaint(run), Contains("rank 1: the cable was pulled"));
  const auto rows = read_csv(folder / "tpsp-results.csv");
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].at("seq") == "4");
  CHECK(rows[0].at("status") == "ok");
}

TEST_CASE("a failed check is red on a terminal") {
  const TemporaryFolder folder;
  const auto outcome =
      run_command(folder,
                  "script -qec \"env -u NO_COLOR TPSP_DEVICE=cpu TPSP_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 "
                  "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --oversubscribe -n 2 '" TPSP_BROKEN_BENCH "' " +
                      tiny_run + "--tp --seq 8 --backend broken\" /dev/null");
  CHECK(outcome.code == 4);
  CHECK_THAT(outcome.out, Contains("\033[31mtp "));
}

TEST_CASE("ranks of different programs are refused, those of different environments are warned of") {
  const TemporaryFolder folder;
  const std::string start =
      "env TPSP_DEVICE=cpu TPSP_THREADS=1 TPSP_PEAKS=off TPSP_GEMM=plain OMPI_ALLOW_RUN_AS_ROOT=1 "
      "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --oversubscribe -n 1 ";
  const std::string run = "' " + tiny_run + "--tp --seq 8 ";
  const auto programs = run_command(folder, start + "'" TPSP_BENCH + run + ": -n 1 '" TPSP_SLOWED_BENCH + run);
  CHECK(programs.code == 2);
  CHECK_THAT(programs.err, Contains("rank 1: it was not started as rank 0 was: 'program "));
  const auto environments =
      run_command(folder, start + "'" TPSP_BENCH + run + ": -n 1 env MALLOC_ARENA_MAX=3 '" TPSP_BENCH + run);
  REQUIRE(environments.code == 0);
  CHECK_THAT(environments.out, Contains("rank 1 has MALLOC_ARENA_MAX=3, and rank 0 has not"));
  const auto row = read_csv(folder / "tpsp-results.csv").at(0);
  CHECK_THAT(row.at("warnings"), Contains("environment"));
  CHECK_THAT(row.at("environment"), Contains("TPSP_THREADS=1") && !Contains("MALLOC") && !Contains("PATH="));
}

TEST_CASE("ranks that were started with other options are refused before any of them waits") {
  const TemporaryFolder folder;
  const auto outcome =
      run_command(folder,
                  "env TPSP_DEVICE=cpu TPSP_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
                  "mpirun --oversubscribe -n 1 '" TPSP_BENCH
                  "' --model llama-tiny --seq 8 : "
                  "-n 1 '" TPSP_BENCH "' --model llama-tiny --seq 16");
  CHECK(outcome.code == 2);
  CHECK_THAT(outcome.err, Contains("rank 1: it was not started as rank 0 was: 'seq 16' here, 'seq 8' on rank 0"));
}
