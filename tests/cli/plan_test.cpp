// tpsp-bench plan: the preview of a plan.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "run.h"
#include "support/expected_collectives.h"
#include "tiny_model.h"

using namespace tpsp;
using Catch::Contains;

namespace {

const std::string llama_7b = "plan --model llama-7b --layers 2 --plan tp+sp --world 2 --batch 2 --seq 256";

// Appends a rule to a copy of the built-in tp plan.
void write_tp_with(const TemporaryFolder& folder, const std::string& rule) {
  write_text(folder / "mine.rules", text_of(TPSP_SOURCE_DIR "/configs/plans/tp.rules") + rule + "\n");
}

}  // namespace

TEST_CASE("the preview of tp+sp shows Megatron's five pairs of collectives and their bytes") {
  const TemporaryFolder folder;
  const Run run(folder, llama_7b);
  REQUIRE(run.code() == 0);
  CHECK_THAT(run.out(), Contains("llama-7b · 2 layers · plan tp+sp · 2 ranks · batch 2 · fp32"));
  CHECK_THAT(run.out(), Contains("0/5/5+1") && Contains("41,943,040 + 32,768,000"));
  CHECK_THAT(run.out(), Contains("layers.0 to layers.1, each"));
  CHECK(run.err().empty());
  CHECK(widest_line(run.out()) <= 80);
}

TEST_CASE("the preview as JSON has the same numbers") {
  constexpr std::int64_t one_reduction = 2 * 256 * 4096 * 4;  // an all-reduce of two ranks sends 2 (1/2) of it
  const TemporaryFolder folder;
  const Run run(folder, llama_7b + " --json");
  REQUIRE(run.code() == 0);
  const auto json = nlohmann::json::parse(run.out());
  REQUIRE(json.size() == 1);
  CHECK(json[0]["plan"] == "tp+sp");
  CHECK(json[0]["world"] == 2);
  const auto& counts = json[0]["per_forward_and_rank"];
  CHECK(counts["layers"]["all_reduces"] == 0);
  CHECK(counts["layers"]["reduce_scatters"] == expected_reductions(2));
  CHECK(counts["layers"]["all_gathers"] == expected_reductions(2));
  CHECK(counts["layers"]["bytes_sent"] == expected_reductions(2) * one_reduction);
  CHECK(counts["logits"]["all_gathers"] == expected_logit_gathers);
  CHECK(counts["logits"]["bytes_sent"] == std::int64_t{2} * 256 * 32'000 * 4 / 2);
  CHECK(json[0]["findings"].empty());
}

TEST_CASE("the preview and the measured row agree, byte for byte") {
  const TemporaryFolder folder;
  const Run measured(folder, "--model llama-tiny --seq 6,7 --reps 1 --warmup 0", {.ranks = 4});
  const Run previewed(folder, "plan --model llama-tiny --seq 6,7 --world 4 --json");
  REQUIRE(measured.code() + previewed.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  const auto json = nlohmann::json::parse(previewed.out());
  REQUIRE(json.size() == rows.size());
  for (const auto& row : rows) {
    const auto found = std::find_if(json.begin(), json.end(), [&](const auto& preview) {
      return preview["plan"] == row.at("plan") && preview["seq"] == integer(row, "seq");
    });
    REQUIRE(found != json.end());
    const auto& counts = (*found)["per_forward_and_rank"];
    for (const std::string kind : {"all_reduces", "all_gathers", "reduce_scatters"}) {
      CHECK(counts["layers"][kind].get<std::int64_t>() + counts["logits"][kind].get<std::int64_t>() ==
            integer(row, kind));
    }
    CHECK(counts["layers"]["bytes_sent"].get<std::int64_t>() + counts["logits"]["bytes_sent"].get<std::int64_t>() ==
          integer(row, "comm_bytes"));
    CHECK((*found)["seq_padded"] == integer(row, "seq_padded"));
    CHECK((*found)["bytes_per_rank"]["weights"] == integer(row, "weights_bytes"));
  }
}

TEST_CASE("every built-in model previews within 80 columns") {
  const TemporaryFolder folder;
  const std::string model = GENERATE("llama-tiny", "llama-7b", "llama-13b", "llama-3-8b", "llama-70b");
  const Run run(folder, "plan --model " + model + " --world 2 --batch 64 --seq 4096,65536");
  REQUIRE(run.code() == 0);
  CHECK(widest_line(run.out()) <= 80);
}

TEST_CASE("a model that no machine here could hold is previewed at eight ranks") {
  const TemporaryFolder folder;
  const Run run(folder, "plan --model llama-70b --world 8");
  REQUIRE(run.code() == 0);
  CHECK_THAT(run.out(), Contains("161/0/0+1") && Contains("0/161/161+1") && Contains("layers.0 to layers.79, each"));
  CHECK(widest_line(run.out()) <= 80);
}

TEST_CASE("under mpirun the preview is printed once") {
  const TemporaryFolder folder;
  const Run run(folder, "plan --model llama-tiny --tp --seq 8", {.ranks = 2});
  REQUIRE(run.code() == 0);
  const auto lines = lines_of(run.out());
  CHECK(std::count_if(lines.begin(), lines.end(), [](const auto& line) { return line.starts_with("llama-tiny"); }) ==
        1);
}

TEST_CASE("a finding about a plan is a warning on stderr, and the preview goes on") {
  const TemporaryFolder folder;
  write_tp_with(folder, R"(layers\.1\.attention\.wo  rowwise  out=replicate)");
  const Run run(folder, "plan --model llama-tiny --seq 8 --plan mine.rules");
  REQUIRE(run.code() == 0);
  CHECK_THAT(run.err(), Contains("warning: mine.rules:5:1:") && Contains("the last match wins"));
  CHECK_THAT(run.out(), Contains("plan mine"));
}

TEST_CASE("a measured plan's findings are logged once") {
  const TemporaryFolder folder;
  write_tp_with(folder, R"(layers\.1\.attention\.wo  rowwise  out=replicate)");
  const Run run(folder, "--model llama-tiny --seq 8,9 --reps 1 --plan mine.rules", {.ranks = 2});
  REQUIRE(run.code() == 0);
  const auto lines = lines_of(run.err());
  CHECK(std::count_if(lines.begin(), lines.end(),
                      [](const auto& line) { return line.find("the last match wins") != std::string::npos; }) == 1);
}

TEST_CASE("a rule that matches no module is refused with the name it was meant to be") {
  const TemporaryFolder folder;
  write_tp_with(folder, R"(layers\.\d+\.attention\.wos  rowwise)");
  const Run run(folder, "plan --model llama-tiny --plan mine.rules");
  CHECK(run.code() == 2);
  CHECK_THAT(complaint(run), Contains("mine.rules:10:1:") && Contains("matches no module") &&
                                 Contains(R"(did you mean 'layers\.\d+\.attention\.wo'?)"));
}

TEST_CASE("the option --allow-unused-rules lets a rule match nothing") {
  const TemporaryFolder folder;
  write_tp_with(folder, R"(layers\.\d+\.attention\.w0  rowwise)");
  const Run preview(folder, "plan --model llama-tiny --seq 8 --plan mine.rules --allow-unused-rules");
  CHECK(preview.code() == 0);
  CHECK_THAT(preview.err(), Contains("matches no module"));
  const Run measured(folder, "--model llama-tiny --seq 8 --reps 1 --plan mine.rules --allow-unused-rules");
  CHECK(measured.code() == 0);
}

TEST_CASE("one layer that differs is shown apart from its neighbours") {
  const TemporaryFolder folder;
  write_tp_with(folder, R"(layers\.1\.attention\.wo  rowwise  out=shard(seq))");
  const Run run(folder, "plan --model llama-tiny --layers 4 --seq 8 --plan mine.rules");
  REQUIRE(run.code() == 0);
  CHECK_THAT(run.out(),
             Contains("\nlayers.0\n") && Contains("\nlayers.1\n") && Contains("\nlayers.2 to layers.3, each\n"));
  CHECK(widest_line(run.out()) <= 80);
}

TEST_CASE("a module with two collectives shows one below the other") {
  const TemporaryFolder folder;
  write_tp_with(folder, R"(layers\.\d+\.attention\.wo  colwise  out=replicate)");
  const Run run(folder, "plan --model llama-tiny --seq 8 --plan mine.rules");
  REQUIRE(run.code() == 0);
  CHECK_THAT(run.out(), Contains("\n" + std::string(56, ' ') + "all-gather"));
  CHECK(widest_line(run.out()) <= 80);
}

TEST_CASE("a long plan name gets a line of its own") {
  const TemporaryFolder folder;
  const std::string name = "a-plan-with-a-name-as-long-as-people-write-them.yaml";
  std::filesystem::copy_file(TPSP_SOURCE_DIR "/configs/plans/tp.yaml", folder / name);
  const Run run(folder, "plan --model llama-tiny --layers 1 --world 1 --seq 8 --plan " + name);
  REQUIRE(run.code() == 0);
  CHECK_THAT(run.out(), Contains("llama-tiny · 1 layer · plan a-plan") && Contains("\n1 rank · batch 2"));
  CHECK(widest_line(run.out()) <= 80);
}

TEST_CASE("the preview of a training step shows its memory and both its halves' collectives") {
  const TemporaryFolder folder;
  const Run run(folder, "plan --workload train --model llama-70b --world 8 --seq 4096,65536 --recompute attention");
  REQUIRE(run.code() == 0);
  CHECK_THAT(run.out(), Contains("llama-70b · 80 layers · 8 ranks · batch 2 · fp32"));
  CHECK_THAT(run.out(), Contains("training: recompute attention, regather on, optimizer none"));
  CHECK_THAT(run.out(), Contains("161/0/1") && Contains("161/0/0"));      // tp
  CHECK_THAT(run.out(), Contains("0/161/162") && Contains("0/161/322"));  // tp+sp
  CHECK(widest_line(run.out()) <= 80);
}

TEST_CASE("the preview of a training step as JSON") {
  const TemporaryFolder folder;
  const Run run(folder, "plan --workload train --sp --seq 256 --recompute block --regather off --dtype bf16 --json");
  REQUIRE(run.code() == 0);
  const auto json = nlohmann::json::parse(run.out());
  REQUIRE(json.size() == 1);
  CHECK(json[0]["workload"] == "train");
  CHECK(json[0]["recompute"] == "block");
  CHECK(json[0]["regather"] == false);
  const auto& bytes = json[0]["bytes_per_rank"];
  const std::int64_t logits = 2 * 256 * 32'000 / 2 * 2;
  CHECK(bytes["saved_logits"] == logits);
  CHECK(bytes["saved"] == 3 * 2 * 256 * 4096 / 2 * 2 + logits);  // the stream before each layer and before the head
  CHECK(json[0]["per_step_and_rank"]["gradients"]["all_reduces"] == 1);
}

TEST_CASE("the preview of replicas divides the ranks, the batch and what they hold") {
  const TemporaryFolder folder;
  const std::string train = "plan --workload train --model llama-tiny --tp --seq 64 --optimizer adamw --batch 4 ";
  const auto json_of = [&](const std::string& more) {
    const Run run(folder, train + more + " --json");
    CHECK(run.code() == 0);
    return nlohmann::json::parse(run.out())[0];
  };
  const auto alone = json_of("--world 2");
  const auto replicas = json_of("--world 8 --dp 4 --shard parameters");
  CHECK(replicas["world"] == 8);
  CHECK(replicas["dp"] == 4);
  CHECK(replicas["shard"] == "parameters");
  for (const auto* held : {"weights", "gradients", "optimizer"}) {
    CHECK(replicas["bytes_per_rank"][held] == alone["bytes_per_rank"][held].get<std::int64_t>() / 4);
  }
  CHECK(replicas["per_step_and_rank"]["replicas"]["reduce_scatters"] == 4);
  CHECK(replicas["per_step_and_rank"]["forward"]["all_reduces"] ==
        alone["per_step_and_rank"]["forward"]["all_reduces"]);
  CHECK(replicas["bytes_per_rank_at_peak"]["unit"] > 0);
  const Run table(folder, train + "--world 8 --dp 4 --shard parameters");
  CHECK_THAT(table.out(), Contains("4 replicas, sharded: parameters") && Contains("1/4/6"));
  CHECK(widest_line(table.out()) <= 80);
  const Run fit(folder,
                train.substr(0, train.find("--batch")) + "--world 4 --dp 2 --micro-batches 3 --fit 30MB --json");
  REQUIRE(fit.code() == 0);
  CHECK(nlohmann::json::parse(fit.out())[0]["largest_batch"].get<int>() % 6 == 0);
}

TEST_CASE("options of a training step that do not belong are refused") {
  const TemporaryFolder folder;
  const Run forward(folder, "plan --recompute block");
  CHECK(forward.code() == 2);
  CHECK_THAT(forward.err(), Contains("--recompute: a forward has no recompute; add --workload train"));
  const Run word(folder, "plan --workload train --recompute blocks");
  CHECK(word.code() == 2);
  CHECK_THAT(word.err(), Contains("--recompute") && Contains("did you mean 'block'"));
  const Run workload(folder, "plan --workload training");
  CHECK(workload.code() == 2);
}

TEST_CASE("the largest batch that fits: the next one does not, and more memory takes more") {
  const TemporaryFolder folder;
  const std::string train = "plan --workload train --optimizer adamw --model llama-tiny --world 2 --seq 64 ";
  const Run run(folder, train + "--fit 20MB --json");
  REQUIRE(run.code() == 0);
  const auto json = nlohmann::json::parse(run.out());
  REQUIRE(json.size() == 2);
  for (const auto& fit : json) {
    const auto batch = fit["largest_batch"].get<int>();
    CHECK(batch > 1);
    for (const int more : {0, 1}) {
      const Run step(folder, train + "--json --plan " + fit["plan"].get<std::string>() + " --batch " +
                                 std::to_string(batch + more));
      const auto bytes = nlohmann::json::parse(step.out())[0]["bytes_per_rank"];
      const auto all = bytes["weights"].get<std::int64_t>() + bytes["gradients"].get<std::int64_t>() +
                       bytes["optimizer"].get<std::int64_t>() + bytes["peak_activations"].get<std::int64_t>();
      CHECK((all <= 20'000'000) == (more == 0));
    }
  }
  CHECK(json[1]["largest_batch"] > json[0]["largest_batch"]);  // tp+sp saves less
}

TEST_CASE("a memory in which nothing fits, or everything, or that is none") {
  const TemporaryFolder folder;
  const Run none(folder, "plan --fit 1MB --tp --seq 8");
  REQUIRE(none.code() == 0);
  CHECK_THAT(none.out(), Contains("none: one sequence needs the bytes in its line"));
  const Run table(folder, "plan --workload train --fit 80GiB --model llama-70b --world 8 --seq 4096 --dtype bf16");
  REQUIRE(table.code() == 0);
  CHECK_THAT(table.out(), Contains("85.9 GB a rank") && Contains("optimizer none"));
  CHECK(widest_line(table.out()) <= 80);
  const Run most(folder, "plan --workload train --model llama-tiny --tp --seq 1,1048576 --fit 80GB");
  REQUIRE(most.code() == 0);
  CHECK_THAT(most.out(), Contains("65536+") && Contains("more would fit"));
  CHECK(widest_line(most.out()) <= 80);
  const Run both(folder, "plan --fit 48GB --batch 2");
  CHECK(both.code() == 2);
  CHECK_THAT(both.err(), Contains("--batch: batch does not go together with --fit"));
  const Run wrong(folder, "plan --fit 48");
  CHECK(wrong.code() == 2);
  CHECK_THAT(wrong.err(), Contains("--fit: '48' is no size of memory; write a number and its unit, such as 48GB"));
}
