// --workload train: what its rows, files and messages say.
#include <catch2/catch.hpp>
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
             Contains("--micro-batches: a batch of 3 does not divide into 2; choose a number that divides the batch"));
  CHECK_THAT(complaint_of("--workload train --gemm packed"), Contains("a training step has no packed weights"));
}
