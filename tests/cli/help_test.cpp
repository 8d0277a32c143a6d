// What the program says about itself.
#include <catch2/catch.hpp>

#include "run.h"

using namespace tpsp;
using Catch::Contains;

TEST_CASE("the help text has groups, defaults, examples and exit codes, in 80 columns") {
  const TemporaryFolder folder;
  const Run run(folder, "--help");
  CHECK(run.code() == 0);
  CHECK(widest_line(run.out()) <= 80);
  CHECK(run.err().empty());
  for (const auto* part : {"Case:", "Machine:", "Protocol:", "Output:", "Examples:", "Exit codes:", "--seq LIST",
                           "(default: 256,512,1024)", "mpirun -n 2 tpsp-bench"}) {
    CHECK_THAT(run.out(), Contains(part));
  }
  CHECK_THAT(run.out(), !Contains("\n\n\n"));
}

TEST_CASE("plan --help is about plan, in 80 columns") {
  const TemporaryFolder folder;
  const Run run(folder, "plan --help");
  CHECK(run.code() == 0);
  CHECK(widest_line(run.out()) <= 80);
  CHECK_THAT(run.out(), Contains("Usage: tpsp-bench plan [OPTIONS]") && Contains("--world T") && Contains("--json"));
  CHECK_THAT(run.out(), !Contains("--reps"));
}

TEST_CASE("info --help and -h work as well") {
  const TemporaryFolder folder;
  const Run info(folder, "info --help");
  CHECK(info.code() == 0);
  CHECK_THAT(info.out(), Contains("Usage: tpsp-bench info"));
  const Run brief(folder, "-h");
  CHECK(brief.code() == 0);
  CHECK_THAT(brief.out(), Contains("Examples:"));
}

TEST_CASE("help is printed once under mpirun") {
  const TemporaryFolder folder;
  const Run run(folder, "--help", {.ranks = 2});
  CHECK(run.code() == 0);
  CHECK(run.out().find("Usage:") == run.out().rfind("Usage:"));
}

TEST_CASE("the version is one line with the number") {
  const TemporaryFolder folder;
  const Run run(folder, "--version");
  CHECK(run.code() == 0);
  CHECK_THAT(run.out(), Catch::Matches("tpsp-bench [0-9]+\\.[0-9]+\\.[0-9]+(\\+[0-9a-f]{10}(\\.[0-9a-f]{8})?)?\n"));
}

TEST_CASE("info --peaks measures GEMMs and memory") {
  const TemporaryFolder folder;
  const Run run(folder, "info --peaks --threads 1");
  CHECK(run.code() == 0);
  CHECK(widest_line(run.out()) <= 80);
  CHECK_THAT(run.out(), Contains("1 thread\n") && Contains("arithmetic") && Contains("GFLOP/s (") && Contains("GB/s"));
}

TEST_CASE("info names the build, the machine, the models, the plans and the backends") {
  const TemporaryFolder folder;
  const Run run(folder, "info");
  CHECK(run.code() == 0);
  CHECK(widest_line(run.out()) <= 80);
  for (const auto* part : {"LibTorch", "Open MPI", "CUDA", "cores", "llama-tiny", "tp+sp", "serial", "mpi "}) {
    CHECK_THAT(run.out(), Contains(part));
  }
}

TEST_CASE("columns --json is the description that the Python scripts read") {
  const TemporaryFolder folder;
  const Run run(folder, "columns --json");
  CHECK(run.code() == 0);
  CHECK(run.out() == text_of(TPSP_SOURCE_DIR "/scripts/columns.json"));
}
