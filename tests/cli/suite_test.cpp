// Suites: many cases and their protocol from one file.
#include <catch2/catch.hpp>
#include <set>

#include "run.h"

using namespace tpsp;
using Catch::Contains;

namespace {

// Overrides that make any suite small.
const std::string tiny = " --model llama-tiny --layers 2 --seq 8 ";

std::vector<std::string> column(const std::vector<Record>& rows, const std::string& name) {
  std::vector<std::string> cells;
  for (const auto& row : rows) cells.push_back(row.at(name));
  return cells;
}

std::string complaint_about(const std::string& suite_text, int ranks = 0) {
  const TemporaryFolder folder;
  write_text(folder / "mine.yaml", suite_text);
  const Run run(folder, "--suite mine.yaml", {.ranks = ranks});
  CHECK(run.code() == 2);
  return complaint(run);
}

}  // namespace

TEST_CASE("a suite's entries are measured one after the other, under its name and with its settings") {
  const TemporaryFolder folder;
  write_text(folder / "mine.yaml",
             "model: llama-tiny\nreps: 2\nwarmup: 0\nseed: 3\ncases:\n"
             "  - {plan: tp, seq: [4, 8]}\n"
             "  - {plan: [tp, tp+sp], seq: 8, dtype: bf16, reps: 3, batch: 1}\n");
  const Run run(folder, "--suite mine.yaml", {.ranks = 2});
  REQUIRE(run.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  CHECK(column(rows, "plan") == std::vector<std::string>{"tp", "tp", "tp", "tp+sp"});
  CHECK(column(rows, "dtype") == std::vector<std::string>{"fp32", "fp32", "bf16", "bf16"});
  CHECK(column(rows, "reps") == std::vector<std::string>{"2", "2", "3", "3"});
  CHECK(column(rows, "batch") == std::vector<std::string>{"2", "2", "1", "1"});
  CHECK(column(rows, "suite") == std::vector<std::string>(4, "mine"));
  CHECK(column(rows, "seed") == std::vector<std::string>(4, "3"));
}

TEST_CASE("entries of a suite divide the ranks into replicas each as it says") {
  const TemporaryFolder folder;
  write_text(folder / "mine.yaml",
             "model: llama-tiny\nworkload: train\nplan: tp\nseq: 8\nbatch: 4\nreps: 1\nwarmup: 0\ncases:\n"
             "  - {dp: 2}\n  - {dp: 4, shard: parameters}\n  - {dp: 1}\n  - {dp: 2, shard: optimizer}\n");
  const Run run(folder, "--suite mine.yaml", {.ranks = 4});
  REQUIRE(run.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  CHECK(column(rows, "dp") == std::vector<std::string>{"2", "4", "1", "2"});
  CHECK(column(rows, "shard") == std::vector<std::string>{"none", "parameters", "none", "optimizer"});
  CHECK(column(rows, "world") == std::vector<std::string>(4, "4"));
  CHECK(column(rows, "check") == std::vector<std::string>(4, "pass"));
}

TEST_CASE("a case that two entries of a suite have gets one row, with a warning") {
  const TemporaryFolder folder;
  write_text(folder / "mine.yaml",
             "model: llama-tiny\nreps: 2\nseq: 8\ncases:\n  - {plan: tp, seq: [4, 8]}\n"
             "  - {plan: [tp, tp+sp]}\n  - {plan: tp}\n");
  const Run run(folder, "--suite mine.yaml", {.ranks = 2});
  REQUIRE(run.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  CHECK(column(rows, "plan") == std::vector<std::string>{"tp", "tp", "tp+sp"});
  const std::string warning = "tp at seq 8 is in the suite 'mine' more than once; its first row counts";
  CHECK(run.err().find(warning) != run.err().rfind(warning));
  CHECK(lines_of(text_of(folder / "tpsp-results.jsonl")).size() == 3);
}

TEST_CASE("the command line and the environment beat a suite") {
  const TemporaryFolder folder;
  write_text(folder / "mine.yaml", "model: llama-tiny\nreps: 1\nbatch: 4\ncases:\n  - {plan: tp, seq: [4, 8]}\n");
  const Run run(folder, "--suite mine.yaml --seq 16", {.environment = {{"TPSP_BATCH", "3"}}});
  REQUIRE(run.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].at("seq") == "16");
  CHECK(rows[0].at("batch") == "3");
}

TEST_CASE("the as-published protocol shows its artifact: TP's memory is TP+SP's and one more model") {
  const TemporaryFolder folder;
  const Run run(folder, "--suite hpml-as-published" + tiny, {.ranks = 2});
  REQUIRE(run.code() == 0);
  CHECK_THAT(run.err(), Contains("is left out: it is for a GPU"));
  const auto rows = read_csv(folder / "tpsp-results.csv");
  REQUIRE(column(rows, "plan") == std::vector<std::string>{"tp+sp", "tp"});
  CHECK(column(rows, "weights") == std::vector<std::string>(2, "kept"));
  CHECK(column(rows, "warmup") == std::vector<std::string>(2, "0"));
  CHECK(column(rows, "reps") == std::vector<std::string>(2, "1"));
  CHECK(column(rows, "verdict") == std::vector<std::string>{"", "undecided"});
  const auto own = [&](std::size_t i) {
    return integer(rows[i], "allocated_bytes") - integer(rows[i], "resident_bytes");
  };
  CHECK(integer(rows[0], "resident_bytes") == 0);
  CHECK(integer(rows[1], "resident_bytes") == integer(rows[0], "weights_bytes"));
  CHECK(static_cast<double>(own(1)) == Approx(static_cast<double>(own(0))).epsilon(0.05));
}

TEST_CASE("the sound protocol has the same cases warmed up, interleaved, on shared weights") {
  const TemporaryFolder folder;
  const Run run(folder, "--suite hpml --max-time 1" + tiny, {.ranks = 2});
  REQUIRE(run.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  REQUIRE(column(rows, "plan") == std::vector<std::string>{"tp", "tp+sp"});
  CHECK(column(rows, "order") == std::vector<std::string>(2, "random"));
  CHECK(column(rows, "weights") == std::vector<std::string>(2, "shared"));
  for (const auto& row : rows) {
    CHECK(integer(row, "warmup") >= 2);
    CHECK(integer(row, "reps") >= 9);
    CHECK(row.at("resident_bytes") == "0");
  }
  CHECK_FALSE(rows[1].at("verdict").empty());
  CHECK_FALSE(rows[1].at("ratio_low").empty());  // enough repetitions for an interval
}

TEST_CASE("the suite of scaling grows over world sizes in one file, run by run") {
  const TemporaryFolder folder;
  for (const int ranks : {1, 2, 4}) {
    const Run run(folder, "--suite scaling --reps 1 --out scaling.csv --resume" + tiny, {.ranks = ranks});
    REQUIRE(run.code() == 0);
  }
  const auto rows = read_csv(folder / "scaling.csv");
  CHECK(rows.size() == 3 * 2 * 2);
  CHECK(column({rows[0], rows[4], rows[8]}, "world") == std::vector<std::string>{"1", "2", "4"});
}

TEST_CASE("every plan of the suite of layouts gives the right numbers") {
  const TemporaryFolder folder;
  const Run run(folder, "--suite layouts --reps 1" + tiny, {.ranks = 2});
  REQUIRE(run.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  CHECK(rows.size() == 6);
  for (const auto& row : rows) CHECK(row.at("check") == "pass");
}

TEST_CASE("the suite called smoke has twenty cases on any number of ranks") {
  const TemporaryFolder folder;
  const Run run(folder, "--suite smoke --model llama-tiny --reps 1 --profile off", {.ranks = 2});
  REQUIRE(run.code() == 0);
  CHECK_THAT(run.err(), Contains("[1/20] "));
  CHECK(read_csv(folder / "tpsp-results.csv").size() == 18);  // two cases are the same with one model for all
  CHECK_THAT(run.err(), Contains("is in the suite 'smoke' more than once"));
}

TEST_CASE("a suite that says what no option is, or says it wrongly, is refused with its place") {
  CHECK_THAT(complaint_about("cases:\n  - {plan: tp, sequ: 8}\n"), Contains("mine.yaml:2:16") && Contains("'seq'"));
  CHECK_THAT(complaint_about("modle: x\ncases:\n  - {plan: tp}\n"), Contains("mine.yaml:1:1") && Contains("'model'"));
  CHECK_THAT(complaint_about("cases:\n  - {plan: tp, seq: x}\n"), Contains("mine.yaml:2:16: 'x'"));
  CHECK_THAT(complaint_about("cases: []\n"), Contains("the suite has no cases"));
  CHECK_THAT(complaint_about("model: llama-tiny\n"), Contains("cases"));
  CHECK_THAT(complaint_about("cases:\n  - {plan: tp, out: x.csv}\n"), Contains("mine.yaml:2:16"));
}

TEST_CASE("a suite without a case for these ranks is refused, and says for how many it is") {
  CHECK_THAT(complaint_about("model: llama-tiny\ncases:\n  - {plan: tp, world: [2, 4]}\n"),
             Contains("no case of the suite 'mine' is for this run (it is for 2, 4 ranks)"));
}

TEST_CASE("a suite that is not built in is answered with the nearest") {
  const TemporaryFolder folder;
  const Run run(folder, "--suite smokee");
  CHECK(run.code() == 2);
  CHECK_THAT(complaint(run), Contains("did you mean 'smoke'?"));
}
