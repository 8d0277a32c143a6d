// --backend null: one rank of a larger world, alone.
#include <catch2/catch.hpp>

#include "run.h"

using namespace tpsp;
using Catch::Contains;

namespace {

const std::string alone = "--backend null --model llama-tiny --seq 9 --warmup 0 --reps 1 --peaks off ";

void check_refused(const std::string& arguments, const std::string& said, int ranks = 0) {
  const TemporaryFolder folder;
  const Run run(folder, arguments, {.ranks = ranks});
  CHECK(run.code() == 2);
  CHECK_THAT(complaint(run), Contains(said));
}

}  // namespace

TEST_CASE("one rank of four runs alone, and its rows say which, what was not checked and what a link would add") {
  const TemporaryFolder folder;
  const Run run(folder, alone + "--world 4 --rank 3 --link pcie4 --out r.csv");
  REQUIRE(run.code() == 0);
  CHECK_THAT(run.err(), Contains("one rank alone: collectives move data inside it, and nothing is checked"));
  const auto rows = read_csv(folder / "r.csv");
  REQUIRE(rows.size() == 2);
  for (const auto& row : rows) {
    CHECK(row.at("world") == "4");
    CHECK(row.at("rank") == "3");
    CHECK(row.at("backend") == "null");
    CHECK(row.at("check") == "off");
    CHECK(row.at("link") == "pcie4");
    CHECK(std::stod(row.at("predicted_s")) > std::stod(row.at("latency_s")));
    CHECK(row.at("predicted_bytes") == row.at("allocated_bytes"));
  }
}

TEST_CASE("rank 0 is the one that runs where none is said, and a case of another rank is another case") {
  const TemporaryFolder folder;
  const Run first(folder, alone + "--tp --world 2 --out r.csv");
  REQUIRE(first.code() == 0);
  const Run second(folder, alone + "--tp --world 2 --rank 1 --out r.csv --resume");
  REQUIRE(second.code() == 0);
  const auto rows = read_csv(folder / "r.csv");
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].at("rank") == "0");
  CHECK(rows[1].at("rank") == "1");
  CHECK(rows[0].at("predicted_s").empty());
}

TEST_CASE("a training step of one rank of two replicas runs alone") {
  const TemporaryFolder folder;
  const Run run(folder, alone + "--workload train --optimizer adamw --world 4 --dp 2 --shard parameters --out r.csv");
  REQUIRE(run.code() == 0);
  for (const auto& row : read_csv(folder / "r.csv")) {
    CHECK(row.at("dp") == "2");
    CHECK(row.at("predicted_bytes") == row.at("allocated_bytes"));
  }
}

TEST_CASE("what one rank alone cannot do is refused") {
  check_refused(alone, "--backend: null runs one rank of a world, and there is no world; add --world");
  check_refused(alone + "--world 2 --rank 2", "--rank: '2' is out of range");
  check_refused(alone + "--suite scaling", "--backend: null runs one rank of a world, and there are several");
  check_refused(alone + "--world 2 --check on", "--check: one rank alone has no result to check");
  check_refused(alone + "--tp --world 2 --export e", "--export: one rank alone has no results");
  check_refused(alone + "--world 2 --link pcie44", "did you mean 'pcie4'?");
  check_refused(alone + "--world 2", "null runs one rank alone, and there are 2", 2);
  check_refused("--model llama-tiny --rank 0", "--rank: rank is of one rank alone; add --backend null");
  check_refused("--model llama-tiny --link pcie4", "--link: link is of one rank alone; add --backend null");
  check_refused("--model llama-tiny --world 3", "--world: there is 1 rank");
  check_refused("comm --backend null", "--backend null: it runs one rank alone");
}
