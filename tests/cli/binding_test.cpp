// The cores that ranks run on, as users start them.
#include <catch2/catch.hpp>
#include <set>

#include "run.h"
#include "tpsp/core/text.h"
#include "tpsp/machine/cpus.h"

using namespace tpsp;
using Catch::Contains;

namespace {

const std::string tiny_run = "--model llama-tiny --warmup 0 --reps 1 --seq 8 --tp ";

// mpirun without binding, as srun and plain starts are.
Start unbound(int ranks) { return {.ranks = ranks, .environment = {{"OMPI_MCA_hwloc_base_binding_policy", "none"}}}; }

std::size_t cores() {
  const HostCores host;
  return host.within(host.binding()).size();
}

bool are_disjoint(const std::string& lists) {
  std::set<int> all;
  std::size_t sum = 0;
  for (const auto& list : split(lists, ';')) {
    const auto cpus = parse_cpu_list(list);
    sum += cpus.size();
    all.insert(cpus.begin(), cpus.end());
  }
  return all.size() == sum && sum > 0;
}

}  // namespace

TEST_CASE("unbound ranks get cores of their own, and the run and the row say which") {
  if (cores() < 2) return;
  const TemporaryFolder folder;
  const Run run(folder, tiny_run, unbound(2));
  REQUIRE(run.code() == 0);
  const auto row = read_csv(folder / "tpsp-results.csv").at(0);
  CHECK(row.at("binding") == "tpsp-bench");
  CHECK(are_disjoint(row.at("cpus")));
  CHECK_THAT(run.err(), Contains("ranks bound to cores: 0: ") && Contains("(tpsp-bench)"));
  CHECK_THAT(row.at("warnings"), !Contains("shared-core") && !Contains("oversubscribed"));
}

TEST_CASE("a rank has as many threads as cores, unless --threads says otherwise") {
  if (cores() < 2) return;
  const TemporaryFolder folder;
  auto start = unbound(2);
  start.environment["TPSP_THREADS"] = std::to_string(cores());
  const Run many(folder, tiny_run + "--out many.csv", start);
  REQUIRE(many.code() == 0);
  CHECK(read_csv(folder / "many.csv").at(0).at("threads") == std::to_string(cores()));
  CHECK_THAT(read_csv(folder / "many.csv").at(0).at("warnings"), Contains("oversubscribed"));
  const auto own = run_command(folder,
                               "env -u TPSP_THREADS OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
                               "mpirun -n 2 --bind-to none " TPSP_BENCH " --device cpu --out own.csv " +
                                   tiny_run);
  REQUIRE(own.code == 0);
  CHECK(read_csv(folder / "own.csv").at(0).at("threads") == std::to_string(cores() / 2));
}

TEST_CASE("with --bind off unbound ranks stay unbound") {
  const TemporaryFolder folder;
  const Run run(folder, tiny_run + "--bind off", unbound(2));
  REQUIRE(run.code() == 0);
  const auto row = read_csv(folder / "tpsp-results.csv").at(0);
  CHECK(row.at("binding") == "none");
  const auto lists = split(row.at("cpus"), ';');
  REQUIRE(lists.size() == 2);
  CHECK(lists[0] == lists[1]);
  CHECK_THAT(run.err(), !Contains("bound to cores"));
}

TEST_CASE("ranks that mpirun bound are left where they are") {
  if (cores() < 2) return;
  const TemporaryFolder folder;
  const Run run(folder, tiny_run, {.ranks = 2});
  REQUIRE(run.code() == 0);
  const auto row = read_csv(folder / "tpsp-results.csv").at(0);
  CHECK(row.at("binding") == "launcher");
  CHECK(are_disjoint(row.at("cpus")));
}

TEST_CASE("more ranks than cores are not bound, and the run says so") {
  if (cores() >= 4) return;
  const TemporaryFolder folder;
  const Run run(folder, tiny_run, unbound(4));
  REQUIRE(run.code() == 0);
  CHECK(read_csv(folder / "tpsp-results.csv").at(0).at("binding") == "none");
  CHECK_THAT(run.err(), Contains("ranks not bound to cores: 4 ranks on "));
}

TEST_CASE("each case of a suite may bind or not, and one that does not is where it was started") {
  if (cores() < 2) return;
  const TemporaryFolder folder;
  write_text(folder / "mine.yaml",
             "model: llama-tiny\nplan: tp\nreps: 1\ncases:\n"
             "  - {seq: 4, bind: auto}\n  - {seq: 5, bind: off}\n  - {seq: 6, bind: auto}\n");
  const Run run(folder, "--suite mine.yaml", unbound(2));
  REQUIRE(run.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].at("binding") == "tpsp-bench");
  CHECK(rows[1].at("binding") == "none");
  CHECK(rows[2].at("binding") == "tpsp-bench");
  CHECK(rows[0].at("cpus") == rows[2].at("cpus"));
  const auto lists = split(rows[1].at("cpus"), ';');
  CHECK(lists.at(0) == lists.at(1));
}

TEST_CASE("a value of --bind that there is not is refused") {
  const TemporaryFolder folder;
  CHECK_THAT(complaint(Run(folder, tiny_run + "--bind all")), Contains("--bind: 'all'") && Contains("auto, off"));
}
