// --workload train: what its rows, files and messages say.
#include <catch2/catch.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "run.h"
#include "tiny_model.h"

using namespace tpsp;
using Catch::Contains;

namespace {

const std::string tiny_step = "--workload train --model llama-tiny --warmup 0 --reps 1 --peaks off ";

}  // namespace

TEST_CASE("two ranks measure a training step of both plans, checked, over every backend of the host") {
  const TemporaryFolder folder;
  for (const auto* backend : {"shm", "mpi", "gloo"}) {
    const Run run(folder, tiny_step + "--seq 9 --optimizer adamw --out r.csv --backend " + backend, {.ranks = 2});
    INFO(backend << ": " << run.err());
    REQUIRE(run.code() == 0);
    const auto rows = read_csv(folder / "r.csv");
    REQUIRE(rows.size() == 2);
    for (const auto& row : rows) {
      CHECK(row.at("workload") == "train");
      CHECK(row.at("backend") == backend);
      CHECK(row.at("check") == "pass");
      CHECK(row.at("optimizer") == "adamw");
      CHECK(std::stod(row.at("max_rel_err")) < 1e-5);
      CHECK(std::stod(row.at("weights_error")) < 1e-5);
      CHECK(std::stod(row.at("backward_s")) > 0);
      if (std::string(backend) != "gloo") CHECK(row.at("predicted_bytes") == row.at("allocated_bytes"));
    }
    CHECK(integer(rows[0], "saved_bytes") > integer(rows[1], "saved_bytes"));
    std::filesystem::remove(folder / "r.csv");
  }
}

TEST_CASE("four ranks measure a step of two replicas, checked, over every backend of the host") {
  const TemporaryFolder folder;
  const auto [backend, shard] = GENERATE(table<std::string, std::string>({{"shm", "none"},
                                                                          {"mpi", "optimizer"},
                                                                          {"gloo", "gradients"},
                                                                          {"shm", "parameters"},
                                                                          {"mpi", "parameters"},
                                                                          {"gloo", "parameters"}}));
  const Run run(folder,
                tiny_step + "--seq 9 --optimizer adamw --out r.csv --dp 2 --shard " + shard + " --backend " + backend,
                {.ranks = 4});
  REQUIRE(run.code() == 0);
  const auto rows = read_csv(folder / "r.csv");
  REQUIRE(rows.size() == 2);
  for (const auto& row : rows) {
    CHECK(row.at("world") == "4");
    CHECK(row.at("dp") == "2");
    CHECK(row.at("shard") == shard);
    CHECK(row.at("backend") == backend);
    CHECK(row.at("check") == "pass");
    CHECK(std::stod(row.at("max_rel_err")) < 1e-5);
    CHECK(std::stod(row.at("weights_error")) < 1e-5);
    CHECK(integer(row, "dp_comm_bytes") > 0);
    if (backend != "gloo") CHECK(row.at("predicted_bytes") == row.at("allocated_bytes"));
  }
  CHECK_THAT(run.out(), Contains("2 replicas"));
}

TEST_CASE("50 steps of AdamW end at one loss, over plans, ranks, backends, replicas and what they divide") {
  const TemporaryFolder folder;
  const auto loss_of = [&](const std::string& more, int ranks) {
    const Run run(folder,
                  "--workload train --model llama-tiny --seq 9 --batch 4 --optimizer adamw --warmup 0 --reps 50 "
                  "--check off --profile off --peaks off --out r.csv " +
                      more,
                  {.ranks = ranks});
    REQUIRE(run.code() == 0);
    const auto rows = read_csv(folder / "r.csv");
    std::filesystem::remove(folder / "r.csv");
    REQUIRE(rows.size() == 1);
    return std::stod(rows.front().at("loss"));
  };
  const auto first = [&] {
    const Run run(folder,
                  "--workload train --model llama-tiny --tp --seq 9 --batch 4 --warmup 0 --reps 1 --check off "
                  "--peaks off --out first.csv");
    return std::stod(read_csv(folder / "first.csv").front().at("loss"));
  }();
  const auto alone = loss_of("--tp", 0);
  CHECK(alone < 0.8 * first);
  for (const std::string backend : {"shm", "mpi", "gloo"}) {
    CHECK(loss_of("--sp --backend " + backend, 2) == Approx(alone).epsilon(1e-4));
    CHECK(loss_of("--tp --recompute block --backend " + backend, 2) == Approx(alone).epsilon(1e-4));
  }
  for (const std::string shard : {"none", "optimizer", "gradients", "parameters"}) {
    CHECK(loss_of("--sp --dp 2 --backend mpi --shard " + shard, 4) == Approx(alone).epsilon(1e-4));
    CHECK(loss_of("--tp --dp 2 --recompute attention --micro-batches 2 --shard " + shard, 2) ==
          Approx(alone).epsilon(1e-4));
  }
}

TEST_CASE("a step that is there is not measured again, and one of another kind is") {
  const TemporaryFolder folder;
  const auto run = [&](const std::string& more) {
    const Run one(folder, tiny_step + "--tp --seq 5 --out r.csv --resume " + more);
    CHECK(one.code() == 0);
    return read_csv(folder / "r.csv").size();
  };
  CHECK(run("") == 1);
  CHECK(run("") == 1);
  CHECK(run("--recompute block") == 2);
  CHECK(run("--recompute attention") == 3);
  CHECK(run("--regather off") == 4);
  CHECK(run("--micro-batches 2") == 5);
  CHECK(run("--optimizer adamw") == 6);
  CHECK(run("--recompute block") == 6);
  const Run replicas(folder, tiny_step + "--tp --seq 5 --out r.csv --resume --dp 2", {.ranks = 2});
  CHECK(read_csv(folder / "r.csv").size() == 7);
  const Run sharded(folder, tiny_step + "--tp --seq 5 --out r.csv --resume --dp 2 --shard optimizer", {.ranks = 2});
  CHECK(read_csv(folder / "r.csv").size() == 8);
  const Run again(folder, tiny_step + "--tp --seq 5 --out r.csv --resume --dp 2", {.ranks = 2});
  CHECK(read_csv(folder / "r.csv").size() == 8);
}

TEST_CASE("a step's trace shows its forward, backward and optimizer") {
  const TemporaryFolder folder;
  const Run run(folder, tiny_step + "--sp --seq 8 --optimizer adamw --trace t.json", {.ranks = 2});
  REQUIRE(run.code() == 0);
  const auto trace = nlohmann::json::parse(text_of(folder / "t.json"));
  std::set<std::string> names;
  for (const auto& event : trace["traceEvents"]) names.insert(event["name"].get<std::string>());
  for (const auto* name : {"forward", "backward", "optimizer", "all-reduce gradients"}) {
    INFO(name);
    CHECK(names.contains(name));
  }
}

TEST_CASE("a trace of replicas shows the collectives over the plan's ranks and those over the replicas") {
  const TemporaryFolder folder;
  const Run run(folder, tiny_step + "--sp --seq 8 --dp 2 --shard parameters --trace t.json", {.ranks = 4});
  REQUIRE(run.code() == 0);
  const auto trace = nlohmann::json::parse(text_of(folder / "t.json"));
  std::map<std::string, std::set<int>> ranks;
  for (const auto& event : trace["traceEvents"]) ranks[event["name"]].insert(event["tid"].get<int>());
  for (const auto* name : {"reduce-scatter layers.0.attention.wo", "all-gather parameters", "reduce-scatter gradients",
                           "all-reduce loss"}) {
    INFO(name);
    CHECK(ranks[name] == std::set<int>{0, 1, 2, 3});
  }
}

TEST_CASE("a batch that the replicas, or a replica's micro-batches, do not divide is refused on all ranks at once") {
  const TemporaryFolder folder;
  const Run replicas(folder, tiny_step + "--tp --dp 2 --batch 3", {.ranks = 2});
  CHECK(replicas.code() == 2);
  CHECK_THAT(
      complaint(replicas),
      Contains("--dp: 3 sequences do not divide over 2 replicas (each takes equally many); use a batch that is a "
               "multiple of the replicas"));
  const Run parts(folder, tiny_step + "--tp --dp 2 --batch 6 --micro-batches 2", {.ranks = 2});
  CHECK(parts.code() == 2);
  CHECK_THAT(complaint(parts), Contains("--micro-batches: a batch of 3 does not divide into 2 (that is each replica's "
                                        "share); choose a number that divides 3"));
}

TEST_CASE("what makes no sense of a step is refused") {
  const TemporaryFolder folder;
  const auto complaint_of = [&](const std::string& arguments) {
    const Run run(folder, "--model llama-tiny --tp " + arguments);
    CHECK(run.code() == 2);
    return complaint(run);
  };
  CHECK_THAT(complaint_of("--workload training"),
             Contains("--workload: 'training' is not one of its values; the choices are forward, train"));
  CHECK_THAT(complaint_of("--recompute block"), Contains("a forward has no recompute; add --workload train"));
  CHECK_THAT(complaint_of("--micro-batches 2"), Contains("a forward has no micro-batches"));
  CHECK_THAT(complaint_of("--workload train --recompute all"), Contains("--recompute"));
  CHECK_THAT(complaint_of("--workload train --batch 3 --micro-batches 2"),
             Contains("--micro-batches: a batch of 3 does not divide into 2; choose a number that divides 3"));
  CHECK_THAT(complaint_of("--dp 2"), Contains("--dp: a forward has no dp; add --workload train"));
  CHECK_THAT(complaint_of("--shard optimizer"), Contains("--shard: a forward has no shard"));
  CHECK_THAT(complaint_of("--workload train --dp 3"),
             Contains("--dp: 1 rank does not divide into 3 replicas; start a multiple of 3 ranks"));
  CHECK_THAT(complaint_of("--workload train --shard parameters"),
             Contains("--shard: there is one replica, and parameters are divided over replicas; add --dp 2"));
  CHECK_THAT(complaint_of("--workload train --shard params"), Contains("--shard: 'params' is not one of its values"));
  CHECK_THAT(complaint_of("--workload train --gemm packed"), Contains("a training step has no packed weights"));
}
