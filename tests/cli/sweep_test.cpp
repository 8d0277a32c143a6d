// What is measured: plans, lengths, ranks, and the numbers in the rows.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "run.h"
#include "tiny_model.h"

using namespace tpsp;
using Catch::Contains;

namespace {

const std::string tiny_run = "--model llama-tiny --warmup 0 --reps 1 ";

std::vector<std::string> column(const std::vector<Record>& rows, const std::string& name) {
  std::vector<std::string> cells;
  for (const auto& row : rows) cells.push_back(row.at(name));
  return cells;
}

void check_good(const std::vector<Record>& rows) {
  for (const auto& row : rows) {
    CHECK(row.at("status") == "ok");
    CHECK(row.at("check") == "pass");
    CHECK(row.at("message").empty());
  }
}

// Everything in a row that arithmetic can predict.
void check_formulas(const Record& row) {
  const bool sequence = row.at("plan") == "tp+sp";
  const auto ranks = integer(row, "world");
  const auto element = row.at("dtype") == "bf16" ? 2 : 4;
  const auto seq = integer(row, "seq");
  const auto padded = sequence ? tiny::round_up(seq, ranks) : seq;
  CHECK(integer(row, "seq_padded") == padded);
  CHECK(integer(row, "vocab_padded") == tiny::round_up(tiny::vocabulary, ranks));
  CHECK(integer(row, "all_reduces") == (sequence ? 0 : expected_reductions(tiny::layers)));
  CHECK(integer(row, "reduce_scatters") == (sequence ? expected_reductions(tiny::layers) : 0));
  CHECK(integer(row, "all_gathers") == (sequence ? expected_reductions(tiny::layers) : 0) + expected_logit_gathers);
  CHECK(integer(row, "comm_bytes") == tiny::bytes_sent(integer(row, "batch") * padded, ranks, element));
  CHECK(integer(row, "weights_bytes") == tiny::weights_bytes(ranks, element));
}

}  // namespace

TEST_CASE("two ranks measure tp and tp+sp at every length, a checked row each") {
  const TemporaryFolder folder;
  const Run run(folder, tiny_run + "--seq 8,9", {.ranks = 2});
  REQUIRE(run.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  CHECK(column(rows, "plan") == std::vector<std::string>{"tp", "tp+sp", "tp", "tp+sp"});
  CHECK(column(rows, "seq") == std::vector<std::string>{"8", "8", "9", "9"});
  CHECK(column(rows, "world") == std::vector<std::string>(4, "2"));
  CHECK(column(rows, "backend") == std::vector<std::string>(4, "shm"));
  check_good(rows);
  for (const auto& row : rows) check_formulas(row);
}

TEST_CASE("every backend of one host moves the same bytes and passes the check, whatever the plan") {
  const auto* const backend = GENERATE("shm", "mpi", "gloo");
  const auto* const dtype = GENERATE("fp32", "bf16");
  CAPTURE(backend, dtype);
  const TemporaryFolder folder;
  const Run run(folder,
                tiny_run + "--seq 12 --plan tp,tp+sp,ffn-only,attention-only,tp-sharded-logits,tp-attention-sp-ffn " +
                    "--backend " + backend + " --dtype " + dtype,
                {.ranks = 4});
  REQUIRE(run.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  REQUIRE(rows.size() == 6);
  check_good(rows);
  for (const auto& row : rows) {
    if (row.at("plan") == "tp" || row.at("plan") == "tp+sp") check_formulas(row);
    // at::mm takes scratch of its own in bf16, and Gloo copies; that shows in a model as small as this.
    const bool takes_more = dtype == std::string("bf16") || backend == std::string("gloo");
    if (!takes_more) CHECK(row.at("allocated_bytes") == row.at("predicted_bytes"));
  }
}

TEST_CASE("GEMMs with packed weights pass the check, and rows name the kernel") {
  const auto* const policy = GENERATE("auto", "packed", "plain");
  CAPTURE(policy);
  const TemporaryFolder folder;
  const Run run(folder, tiny_run + "--seq 9 --gemm " + policy, {.ranks = 2});
  REQUIRE(run.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  check_good(rows);
  for (const auto& row : rows) {
    const std::string kernels = row.at("gemm");
    const bool plain = kernels.find("plain") != std::string::npos;
    CHECK_FALSE(kernels.empty());
    if (policy == std::string("plain")) CHECK(kernels == "plain");
    if (policy == std::string("packed")) CHECK_FALSE(plain);
    CHECK(row.at("allocated_bytes") == row.at("predicted_bytes"));
  }
}

TEST_CASE("rows are set against peaks measured in the same run") {
  const TemporaryFolder folder;
  const Run run(folder, tiny_run + "--tp --seq 64", {.ranks = 2, .environment = {{"TPSP_PEAKS", "on"}}});
  REQUIRE(run.code() == 0);
  const auto row = read_csv(folder / "tpsp-results.csv").front();
  const auto peak = std::stod(row.at("peak_flops_per_s"));
  CHECK(peak > 1e9);
  CHECK(std::stod(row.at("peak_bytes_per_s")) > 1e8);
  CHECK(std::stod(row.at("gemm_fraction")) ==
        Approx(std::stod(row.at("product_flops")) / std::stod(row.at("gemm_s")) / peak));
  CHECK(std::stod(row.at("limit_s")) >= std::stod(row.at("product_flops")) / peak);
  CHECK(std::stod(row.at("limit_fraction")) == Approx(std::stod(row.at("limit_s")) / std::stod(row.at("latency_s"))));
}

TEST_CASE("gloo moves the tensors of ranks that mpirun started, and every row passes its check") {
  const std::string dtype = GENERATE("fp32", "bf16");
  const TemporaryFolder folder;
  const Run run(folder, tiny_run + "--seq 9 --backend gloo --dtype " + dtype, {.ranks = 2});
  REQUIRE(run.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  CHECK(column(rows, "plan") == std::vector<std::string>{"tp", "tp+sp"});
  CHECK(column(rows, "backend") == std::vector<std::string>(2, "gloo"));
  check_good(rows);
  for (const auto& row : rows) check_formulas(row);
}

TEST_CASE("four ranks pad a sequence that is shorter than they are many") {
  const TemporaryFolder folder;
  const Run run(folder, tiny_run + "--seq 3,9", {.ranks = 4});
  REQUIRE(run.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  CHECK(column(rows, "seq_padded") == std::vector<std::string>{"3", "4", "9", "12"});
  check_good(rows);
  for (const auto& row : rows) check_formulas(row);
}

TEST_CASE("the times of a row are in order, and its throughput is tokens over seconds") {
  const TemporaryFolder folder;
  const Run run(folder, "--model llama-tiny --tp --seq 8 --batch 3 --reps 4");
  REQUIRE(run.code() == 0);
  const auto row = read_csv(folder / "tpsp-results.csv").at(0);
  const double latency = std::stod(row.at("latency_s"));
  CHECK(std::stod(row.at("latency_min_s")) > 0);
  CHECK(std::stod(row.at("latency_min_s")) <= latency);
  CHECK(std::stod(row.at("latency_max_s")) >= latency);
  CHECK(std::stod(row.at("tokens_per_s")) == Approx(3 * 8 / latency));
  CHECK(integer(row, "allocated_bytes") > integer(row, "weights_bytes"));
}

TEST_CASE("one plan and one length, --sp --seq 9, are one row, whatever folder the program is started from") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "elsewhere");
  const Run run(folder, tiny_run + "--sp --seq 9 --out elsewhere/mine.csv", {.ranks = 2});
  REQUIRE(run.code() == 0);
  const auto rows = read_csv(folder / "elsewhere/mine.csv");
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].at("plan") == "tp+sp");
  CHECK(rows[0].at("seq") == "9");
  CHECK_FALSE(std::filesystem::exists(folder / "tpsp-results.csv"));
}

TEST_CASE("without mpirun there is one rank, and the program says how to have more") {
  const TemporaryFolder folder;
  const Run run(folder, tiny_run + "--seq 9");
  REQUIRE(run.code() == 0);
  CHECK_THAT(run.err(), Contains("one rank") && Contains("mpirun -n 2 tpsp-bench"));
  const auto rows = read_csv(folder / "tpsp-results.csv");
  check_good(rows);
  CHECK(column(rows, "world") == std::vector<std::string>{"1", "1"});
  CHECK(column(rows, "backend") == std::vector<std::string>{"serial", "serial"});
  CHECK(column(rows, "comm_bytes") == std::vector<std::string>{"0", "0"});
}

TEST_CASE("the options --tp, --sp and --plan add up, and a plan that is named twice runs once") {
  const TemporaryFolder folder;
  const Run run(folder, tiny_run + "--seq 4 --sp --plan tp --plan 'tp+sp, tp' --tp");
  REQUIRE(run.code() == 0);
  CHECK(column(read_csv(folder / "tpsp-results.csv"), "plan") == std::vector<std::string>{"tp", "tp+sp"});
  CHECK_THAT(run.err(), Contains("warning: --plan: tp is in the list more than once, and is taken once"));
}

TEST_CASE("a length that is given twice is measured once, with a warning") {
  const TemporaryFolder folder;
  const Run run(folder, tiny_run + "--tp --seq 4,8 --seq 4..16*2,4", {.ranks = 2});
  REQUIRE(run.code() == 0);
  CHECK(column(read_csv(folder / "tpsp-results.csv"), "seq") == std::vector<std::string>{"4", "8", "16"});
  CHECK_THAT(run.err(), Contains("[3/3] tp at seq 16") &&
                            Contains("warning: --seq: 4 is in the list more than once, and is taken once\n") &&
                            Contains("warning: --seq: 8 is in the list more than once, and is taken once\n"));
  const Run previewed(folder, "plan --model llama-tiny --tp --seq 4,4 --json");
  CHECK(nlohmann::json::parse(previewed.out()).size() == 1);
}

TEST_CASE("bf16 passes its check and sends half the bytes") {
  const TemporaryFolder folder;
  const Run run(folder, tiny_run + "--seq 9 --dtype bf16", {.ranks = 2});
  REQUIRE(run.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  CHECK(column(rows, "dtype") == std::vector<std::string>{"bf16", "bf16"});
  check_good(rows);
  for (const auto& row : rows) check_formulas(row);
}

TEST_CASE("a plan file of either form runs as the built-in plan that it copies") {
  for (const std::string ending : {".yaml", ".rules"}) {
    const TemporaryFolder folder;
    std::filesystem::copy_file(TPSP_SOURCE_DIR "/configs/plans/tp+sp" + ending, folder / ("mine" + ending));
    const Run run(folder, tiny_run + "--seq 9 --plan tp+sp,mine" + ending, {.ranks = 2});
    REQUIRE(run.code() == 0);
    const auto rows = read_csv(folder / "tpsp-results.csv");
    REQUIRE(rows.size() == 2);
    check_good(rows);
    CHECK(rows[1].at("plan") == (ending == ".yaml" ? "mine" : "mine.rules"));
    for (const auto* name : {"all_reduces", "all_gathers", "reduce_scatters", "comm_bytes", "max_abs_err"}) {
      CHECK(rows[0].at(name) == rows[1].at(name));
    }
  }
}

TEST_CASE("the options --threads, --warmup, --reps, --seed, --batch and --layers are in the row") {
  const TemporaryFolder folder;
  const Run run(folder,
                "--model llama-tiny --tp --seq 4 --threads 2 --warmup 3 --reps 2 --seed 77 --batch 5 --layers 1");
  REQUIRE(run.code() == 0);
  const auto row = read_csv(folder / "tpsp-results.csv").at(0);
  CHECK(row.at("threads") == "2");
  CHECK(integer(row, "warmup") >= 3);
  CHECK(row.at("reps") == "2");
  CHECK(row.at("seed") == "77");
  CHECK(row.at("batch") == "5");
  CHECK(row.at("layers") == "1");
  CHECK(row.at("model") == "llama-tiny");
}

TEST_CASE("the options of the stopping rule, --order and --weights are obeyed") {
  const TemporaryFolder folder;
  const Run noise(folder,
                  "--model llama-tiny --seq 4 --min-reps 7 --min-time 0 --max-noise 100 --max-time 0 --order "
                  "sequential --weights own",
                  {.ranks = 2});
  const Run time(folder, "--model llama-tiny --seq 4 --min-reps 2 --min-time 0 --max-noise 0 --max-time 0.05",
                 {.ranks = 2});
  REQUIRE(noise.code() + time.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  REQUIRE(rows.size() == 4);
  for (const std::size_t i : {0U, 1U}) {
    CHECK(rows[i].at("stop") != "reps");  // which of the two depends on the machine
    CHECK(rows[i].at("reps") == "7");
    CHECK(rows[i].at("order") == "sequential");
    CHECK(rows[i].at("weights") == "own");
  }
  CHECK(rows[2].at("stop") == "time");
  CHECK(rows[2].at("turns") == "tp;tp+sp");
}

TEST_CASE("the option --check off leaves the errors empty") {
  const TemporaryFolder folder;
  const Run run(folder, tiny_run + "--tp --seq 4 --check off", {.ranks = 2});
  REQUIRE(run.code() == 0);
  const auto row = read_csv(folder / "tpsp-results.csv").at(0);
  CHECK(row.at("check") == "off");
  CHECK(row.at("max_abs_err").empty());
  CHECK(row.at("max_rel_err").empty());
  CHECK(row.at("status") == "ok");
}

TEST_CASE("one seed always gives the same numbers, another seed gives others") {
  const TemporaryFolder folder;
  const Run first(folder, tiny_run + "--tp --seq 16 --seed 1", {.ranks = 2});
  const Run again(folder, tiny_run + "--tp --seq 16 --seed 1", {.ranks = 2});
  const Run other(folder, tiny_run + "--tp --seq 16 --seed 2", {.ranks = 2});
  REQUIRE(first.code() + again.code() + other.code() == 0);
  const auto errors = column(read_csv(folder / "tpsp-results.csv"), "max_rel_err");
  CHECK(errors.at(0) == errors.at(1));
  CHECK(errors.at(0) != errors.at(2));
}

TEST_CASE("the option --seq takes commas, repeats and ranges") {
  const TemporaryFolder folder;
  const Run run(folder, tiny_run + "--tp --check off --seq 5,7 --seq 4..16*2");
  REQUIRE(run.code() == 0);
  CHECK(column(read_csv(folder / "tpsp-results.csv"), "seq") == std::vector<std::string>{"5", "7", "4", "8", "16"});
}

TEST_CASE("a model file is measured under its own name") {
  const TemporaryFolder folder;
  write_text(folder / "small.yaml", "hidden: 32\nlayers: 1\nheads: 4\nffn: 48\nvocabulary: 50\n");
  const Run run(folder, "--model small.yaml --seq 6 --reps 1", {.ranks = 2});
  REQUIRE(run.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  check_good(rows);
  CHECK(column(rows, "model") == std::vector<std::string>{"small", "small"});
}

TEST_CASE("eight ranks share memory, however few cores there are") {
  const TemporaryFolder folder;
  write_text(folder / "small.yaml", "hidden: 64\nlayers: 2\nheads: 8\nffn: 96\nvocabulary: 50\n");
  const Run run(folder, "--model small.yaml --seq 64 --reps 3 --backend shm", {.ranks = 8});
  REQUIRE(run.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  check_good(rows);
  CHECK(column(rows, "backend") == std::vector<std::string>(2, "shm"));
}
