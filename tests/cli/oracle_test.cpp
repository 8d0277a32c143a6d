// Our logits, loss and gradients against two other implementations: one in plain PyTorch, one of Hugging Face.
#include <catch2/catch.hpp>

#include "run.h"

using namespace tpsp;

namespace {

void check_agrees(const TemporaryFolder& folder) {
  for (const std::string oracle : {"llama_oracle.py", "transformers_oracle.py"}) {
    const auto outcome = run_command(folder, TPSP_PYTHON " " TPSP_SOURCE_DIR "/tests/oracle/" + oracle + " exported");
    INFO(oracle << ": " << outcome.out << outcome.err);
    CHECK(outcome.code == 0);
  }
}

void check_step_agrees(const std::string& plan, int ranks) {
  const TemporaryFolder folder;
  const Run run(folder, "--model llama-tiny --workload train " + plan + " --seq 7 --reps 1 --export exported",
                {.ranks = ranks});
  REQUIRE(run.code() == 0);
  REQUIRE(std::filesystem::exists(folder / "exported/gradients.safetensors"));
  check_agrees(folder);
}

}  // namespace

TEST_CASE("one rank's logits are those of two other implementations") {
  const TemporaryFolder folder;
  const Run run(folder, "--model llama-tiny --tp --seq 7 --reps 1 --export exported");
  REQUIRE(run.code() == 0);
  check_agrees(folder);
}

TEST_CASE("a model with settings of its own has the logits of two other implementations") {
  const TemporaryFolder folder;
  write_text(folder / "mine.yaml",
             "hidden: 64\nlayers: 3\nheads: 4\nkv_heads: 1\nffn: 96\nvocabulary: 77\nrope_theta: 500000\n"
             "norm_eps: 0.001\n");
  const Run run(folder, "--model mine.yaml --tp --seq 33 --seed 9 --reps 1 --export exported");
  REQUIRE(run.code() == 0);
  check_agrees(folder);
}

TEST_CASE("two ranks' logits under tp+sp are those of two other implementations") {
  const TemporaryFolder folder;
  const Run run(folder, "--model llama-tiny --sp --seq 7 --reps 1 --export exported", {.ranks = 2});
  REQUIRE(run.code() == 0);
  check_agrees(folder);
}

TEST_CASE("one rank's loss and gradients are those of two other implementations") {
  check_step_agrees("--tp", 0);
  check_step_agrees("--sp", 0);
}

TEST_CASE("two ranks' loss and gradients are those of two other implementations") {
  check_step_agrees("--tp", 2);
  check_step_agrees("--sp", 2);
}

TEST_CASE("replicas' loss and gradients are those of two other implementations") {
  check_step_agrees("--sp --dp 2 --shard parameters", 4);
  check_step_agrees("--tp --dp 2 --shard optimizer", 2);
  check_step_agrees("--tp --dp 2", 2);
}
