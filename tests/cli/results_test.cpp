// Results files: what resumes, what is refused, what is shown.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "run.h"

using namespace tpsp;
using Catch::Contains;

namespace {

const std::string tiny_run = "--model llama-tiny --warmup 0 --reps 1 ";

std::multiset<std::string> keys(const std::filesystem::path& csv) {
  std::multiset<std::string> found;
  for (const auto& row : read_csv(csv)) found.insert(row.at("key"));
  return found;
}

}  // namespace

TEST_CASE("the option --resume adds what is not there and repeats nothing") {
  const TemporaryFolder folder;
  const Run first(folder, tiny_run + "--seq 4", {.ranks = 2});
  const Run second(folder, tiny_run + "--seq 4,8 --resume", {.ranks = 2});
  REQUIRE(first.code() + second.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  REQUIRE(rows.size() == 4);
  CHECK(keys(folder / "tpsp-results.csv").count(rows[0].at("key")) == 1);
  CHECK(rows[2].at("seq") == "8");
  const Run third(folder, tiny_run + "--seq 4,8 --resume", {.ranks = 2});
  REQUIRE(third.code() == 0);
  CHECK(read_csv(folder / "tpsp-results.csv").size() == 4);
  CHECK_THAT(third.out(), !Contains("pass"));
}

TEST_CASE("a row that only one of two files has is added to the other, not measured again") {
  const TemporaryFolder folder;
  const Run first(folder, tiny_run + "--tp --seq 4,8");
  REQUIRE(first.code() == 0);
  auto lines = lines_of(text_of(folder / "tpsp-results.csv"));
  write_text(folder / "tpsp-results.csv", lines[0] + "\n" + lines[1] + "\n");  // as if killed between the two writes
  const Run second(folder, tiny_run + "--tp --seq 4,8 --resume");
  REQUIRE(second.code() == 0);
  CHECK(lines_of(text_of(folder / "tpsp-results.csv")) == lines);
  CHECK(lines_of(text_of(folder / "tpsp-results.jsonl")).size() == 2);
}

TEST_CASE("ranks with different numbers of threads resume without waiting for each other") {
  const TemporaryFolder folder;
  const std::string one = " -n 1 env TPSP_DEVICE=cpu '" TPSP_BENCH "' " + tiny_run + "--seq 4 --resume --threads ";
  const auto command =
      "env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --oversubscribe" + one + "1 :" + one + "2";
  CHECK(run_command(folder, command).code == 0);
  const auto again = run_command(folder, command);
  CHECK(again.code == 0);
  CHECK_THAT(again.err, Contains("different numbers of threads"));
  CHECK(read_csv(folder / "tpsp-results.csv").size() == 2);
}

TEST_CASE("a plan that is resumed is compared with the rows that were there") {
  const TemporaryFolder folder;
  const std::string run = "--model llama-tiny --seq 8 --reps 7 --plan tp,ffn-only ";
  const Run first(folder, run, {.ranks = 2});
  REQUIRE(first.code() == 0);
  const auto lines = lines_of(text_of(folder / "tpsp-results.csv"));
  write_text(folder / "tpsp-results.csv", lines[0] + "\n" + lines[1] + "\n");
  std::filesystem::remove(folder / "tpsp-results.jsonl");
  const Run second(folder, run + "--resume", {.ranks = 2});
  REQUIRE(second.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  REQUIRE(rows.size() == 2);
  CHECK(rows[1].at("baseline") == "tp");
  CHECK(std::stod(rows[1].at("ratio")) ==
        Approx(std::stod(rows[1].at("latency_s")) / std::stod(rows[0].at("latency_s"))));
}

TEST_CASE("a plan that is resumed on another machine is not compared with the rows that were there") {
  const TemporaryFolder folder;
  const std::string run = "--model llama-tiny --seq 8 --reps 7 --out r.csv --plan ";
  REQUIRE(Run(folder, run + "tp", {.ranks = 2}).code() == 0);
  set_first_cell(folder, "r.csv", "r.csv", "host", "elsewhere");
  const Run resumed(folder, run + "tp,ffn-only --resume", {.ranks = 2});
  REQUIRE(resumed.code() == 0);
  const auto rows = read_csv(folder / "r.csv");
  REQUIRE(rows.size() == 2);
  CHECK(rows[1].at("baseline").empty());
  CHECK(rows[1].at("ratio").empty());
  CHECK_THAT(resumed.out(), !Contains("ffn-only against tp"));
}

TEST_CASE("a resumed run whose file has rows that are not ok does not end as if all were") {
  const TemporaryFolder folder;
  const std::string run = "--model llama-70b --layers 1000 --tp --seq 16 ";
  CHECK(Run(folder, run).code() == 3);
  CHECK(Run(folder, run + "--resume").code() == 3);
  CHECK(read_csv(folder / "tpsp-results.csv").size() == 1);
}

TEST_CASE("the exit code of a resumed run does not depend on the order of rows, nor on what is measured again") {
  const std::string options = tiny_run + "--plan tp,tp+sp --seq 4 --out r.csv ";
  const TemporaryFolder folder;
  REQUIRE(Run(folder, options).code() == 0);
  const auto full = text_of(folder / "r.csv");
  for (const auto* plan : {"tp", "tp+sp"}) {
    for (const bool alone : {false, true}) {
      INFO(plan << " failed" << (alone ? ", and is the only one that is there" : ""));
      auto lines = lines_of(full);
      auto& failed = lines.at(plan == std::string("tp") ? 1 : 2);
      failed.replace(failed.find("ok"), 2, "failed");
      failed.replace(failed.find(",pass,"), 6, ",fail,");
      write_text(folder / "r.csv", lines[0] + "\n" + (alone ? failed : lines[1] + "\n" + lines[2]) + "\n");
      CHECK(Run(folder, options + "--resume").code() == 4);
    }
  }
}

TEST_CASE(
    "a case that was ok, and is wrong when it is measured again together with a missing one, is named in the log") {
  const TemporaryFolder folder;
  const std::string options = tiny_run + "--backend broken --plan tp,tp+sp --seq 4 --out r.csv ";
  REQUIRE(Run(folder, options, {.ranks = 2, .program = TPSP_BROKEN_BENCH}).code() == 4);
  const auto lines = lines_of(text_of(folder / "r.csv"));
  write_text(folder / "r.csv", lines[0] + "\n" + lines[1] + "\n");
  set_first_cell(folder, "r.csv", "r.csv", "status", "ok");
  set_first_cell(folder, "r.csv", "r.csv", "check", "pass");
  const Run resumed(folder, options + "--resume", {.ranks = 2, .program = TPSP_BROKEN_BENCH});
  CHECK(resumed.code() == 4);
  CHECK(read_csv(folder / "r.csv").at(0).at("status") == "ok");
  CHECK_THAT(resumed.err(), Contains("tp at seq 4, measured again, is not ok: the logits differ") &&
                                Contains("its earlier row stays in the files"));
  CHECK_THAT(resumed.err(), !Contains("tp+sp at seq 4, measured again"));
}

TEST_CASE("two protocols of one case in a suite are not compared with each other") {
  const TemporaryFolder folder;
  write_text(folder / "mine.yaml",
             "model: llama-tiny\nseq: 8\nreps: 7\ncases:\n  - {order: random}\n"
             "  - {order: sequential, weights: own}\n");
  const Run run(folder, "--suite mine.yaml", {.ranks = 2});
  REQUIRE(run.code() == 0);
  const auto rows = read_csv(folder / "tpsp-results.csv");
  REQUIRE(rows.size() == 4);
  CHECK(rows[2].at("baseline").empty());
  CHECK(rows[3].at("baseline") == "tp");
  CHECK(rows[0].at("turns") == "tp;tp+sp");
  CHECK(rows[2].at("turns").empty());
}

TEST_CASE("measurements are not written over by a report or a trace") {
  const TemporaryFolder folder;
  REQUIRE(Run(folder, tiny_run + "--tp --seq 4").code() == 0);
  const auto before = text_of(folder / "tpsp-results.csv");
  const Run report(folder, "report tpsp-results.csv -o tpsp-results.csv");
  CHECK(report.code() == 2);
  CHECK_THAT(complaint(report), Contains("ends as results do"));
  const Run trace(folder, tiny_run + "--tp --seq 4 --trace tpsp-results.csv");
  CHECK(trace.code() == 2);
  std::filesystem::create_symlink("tpsp-results.csv", folder / "link");
  CHECK(Run(folder, "report tpsp-results.csv -o link").code() == 2);
  CHECK(Run(folder, tiny_run + "--tp --seq 4 --trace link").code() == 2);
  CHECK(text_of(folder / "tpsp-results.csv") == before);
}

TEST_CASE("options that exclude each other are refused") {
  const TemporaryFolder folder;
  const Run trace(folder, tiny_run + "--tp --seq 4 --trace t.json --profile off");
  CHECK(trace.code() == 2);
  CHECK_THAT(complaint(trace), Contains("--trace: there is nothing to trace with --profile off"));
  const Run exported(folder, tiny_run + "--tp --seq 4 --export there --resume");
  CHECK(exported.code() == 2);
  CHECK_THAT(complaint(exported), Contains("--resume"));
}

TEST_CASE("a file that can not grow ends the run at once with 6, its complete rows stay") {
  const TemporaryFolder folder;
  const auto outcome = run_command(folder, "env TPSP_DEVICE=cpu bash -c \"ulimit -f 6; '" TPSP_BENCH "' " + tiny_run +
                                               "--tp --seq 4..128+4 --profile off --check off --out r.csv\"");
  CHECK(outcome.code == 6);
  CHECK_THAT(outcome.err, Contains("r.csv: cannot be appended to"));
  const auto text = text_of(folder / "r.csv");
  CHECK(text.back() == '\n');
  const auto rows = read_csv(folder / "r.csv");
  CHECK(rows.size() > 2);
  CHECK(rows.size() < 16);
}

TEST_CASE("JSON Lines have the raw samples of every rank, and Markdown the few columns to read") {
  const TemporaryFolder folder;
  const Run run(folder, "--model llama-tiny --tp --seq 4 --reps 7 --out r.jsonl --out r.md", {.ranks = 2});
  REQUIRE(run.code() == 0);
  const auto row = nlohmann::json::parse(text_of(folder / "r.jsonl"));
  CHECK(row["samples_s"].size() == 7);
  CHECK(row["rank_samples_s"].size() == 2);
  CHECK(row["rank_samples_s"][1].size() == 7);
  CHECK(row["latency_low_s"] <= row["latency_s"]);
  CHECK(row["schema"] == 3);
  CHECK_THAT(row["plan_text"].get<std::string>(), Contains("rules:"));
  CHECK_THAT(row["command"].get<std::string>(), Contains("tpsp-bench --model llama-tiny --tp"));
  CHECK_THAT(text_of(folder / "r.md"), Contains("schema 3") && Contains("| llama-tiny |"));
}

TEST_CASE("an output file of no known format is refused") {
  const TemporaryFolder folder;
  const Run run(folder, tiny_run + "--out results.txt", {.ranks = 2});
  CHECK(run.code() == 2);
  CHECK_THAT(complaint(run), Contains("results.txt") && Contains(".csv") && Contains(".jsonl"));
}

TEST_CASE("a report is one page with the rows and the verdicts in words") {
  const TemporaryFolder folder;
  const Run run(folder, "--model llama-tiny --seq 8 --reps 8", {.ranks = 2});
  REQUIRE(run.code() == 0);
  const Run report(folder, "report tpsp-results.jsonl -o page.html");
  REQUIRE(report.code() == 0);
  CHECK_THAT(report.out(), Contains("2 rows of tpsp-results.jsonl are shown in page.html"));
  const auto page = text_of(folder / "page.html");
  CHECK_THAT(page, Contains("<html") && Contains("llama-tiny") && Contains("tp+sp against tp at seq 8"));
  CHECK(page.find("http://") == page.find("http://www.w3.org"));  // nothing is loaded from elsewhere
}

TEST_CASE("a report of nothing, or to nowhere, says so") {
  const TemporaryFolder folder;
  write_text(folder / "empty.jsonl", "");
  const Run empty(folder, "report empty.jsonl");
  CHECK(empty.code() == 2);
  CHECK_THAT(complaint(empty), Contains("empty.jsonl"));
  const Run run(folder, tiny_run + "--tp --seq 4");
  const Run nowhere(folder, "report tpsp-results.jsonl --output no/such/folder.html");
  CHECK(nowhere.code() == 6);
  CHECK_THAT(complaint(nowhere), Contains("no/such/folder.html"));
}

TEST_CASE("the command columns prints every column within eighty columns") {
  const TemporaryFolder folder;
  const Run run(folder, "columns");
  CHECK(run.code() == 0);
  CHECK(widest_line(run.out()) <= 80);
  for (const auto* name : {"latency_s", "samples_s", "before_head_bytes", "wait_s"}) {
    CHECK_THAT(run.out(), Contains(std::string("\n") + name));
  }
}

TEST_CASE("a trace has a track for each rank, and parts that lie within their forward") {
  const TemporaryFolder folder;
  const Run run(folder, tiny_run + "--seq 8 --trace trace.json", {.ranks = 2});
  REQUIRE(run.code() == 0);
  const auto trace = nlohmann::json::parse(text_of(folder / "trace.json"));
  std::set<int> tracks;
  std::set<std::string> forwards;
  int gathers = 0;
  double forward_end = 0;
  for (const auto& event : trace["traceEvents"]) {
    tracks.insert(event["tid"].get<int>());
    if (event["ph"] != "X") continue;
    const double end = event["ts"].get<double>() + event["dur"].get<double>();
    if (event["cat"] == "forward") {
      forwards.insert(event["name"].get<std::string>());
      forward_end = end;
    }
    CHECK(end <= forward_end + 1e-3);
    gathers += event["name"].get<std::string>().starts_with("all-gather ") && event["cat"] == "move" ? 1 : 0;
  }
  CHECK(tracks == std::set<int>{0, 1});
  CHECK(forwards == std::set<std::string>{"llama-tiny fp32 tp seq 8", "llama-tiny fp32 tp+sp seq 8"});
  CHECK(gathers == 2 * (1 + 6));
}

TEST_CASE("names that are no UTF-8 reach every output as valid text") {
  const std::string latin = "caf\xE9";
  const std::string shown = "caf\xEF\xBF\xBD";
  const TemporaryFolder folder;
  std::filesystem::copy_file(TPSP_SOURCE_DIR "/configs/plans/tp.rules", folder / (latin + ".rules"));
  std::filesystem::copy_file(TPSP_SOURCE_DIR "/configs/models/llama-tiny.yaml", folder / (latin + ".yaml"));
  const std::string options = "--model " + latin + ".yaml --plan " + latin + ".rules --seq 4 ";
  const Run run(folder, options + "--warmup 0 --reps 1 --trace t.json --out r.jsonl --out r.csv", {.ranks = 2});
  REQUIRE(run.code() == 0);
  const auto row = nlohmann::json::parse(text_of(folder / "r.jsonl"));
  CHECK(row["plan"] == shown + ".rules");
  CHECK(row["model"] == shown);
  CHECK_THAT(row["command"].get<std::string>(), Contains(shown + ".rules"));
  CHECK(read_csv(folder / "r.csv").at(0).at("plan") == shown + ".rules");
  const auto trace = nlohmann::json::parse(text_of(folder / "t.json"));
  CHECK_THAT(trace.dump(), Contains(shown + " fp32 " + shown + ".rules seq 4"));
  const Run previewed(folder, "plan " + options + "--json");
  REQUIRE(previewed.code() == 0);
  CHECK(nlohmann::json::parse(previewed.out()).at(0)["plan"] == shown + ".rules");
}

TEST_CASE("a warning that names a file whose name is no UTF-8 does not end a preview as JSON") {
  const TemporaryFolder folder;
  write_text(folder / "caf\xE9.rules", text_of(TPSP_SOURCE_DIR "/configs/plans/tp.rules") + "nothing replicate\n");
  const Run run(folder, "plan --model llama-tiny --seq 4 --plan caf\xE9.rules --allow-unused-rules --json");
  REQUIRE(run.code() == 0);
  CHECK_THAT(nlohmann::json::parse(run.out()).at(0)["findings"].dump(), Contains("caf\xEF\xBF\xBD.rules:10:1"));
}

TEST_CASE("a trace that can not be written ends the run with 6") {
  const TemporaryFolder folder;
  const Run run(folder, tiny_run + "--tp --seq 8 --trace no/such/trace.json", {.ranks = 2});
  CHECK(run.code() == 6);
  CHECK_THAT(complaint(run), Contains("no/such/trace.json"));
  CHECK(read_csv(folder / "tpsp-results.csv").empty());
}

TEST_CASE("parts of a run share its lengths, and merged they are the whole") {
  const TemporaryFolder folder;
  for (const std::string part : {"1/3", "2/3", "3/3"}) {
    const auto out = "part-" + part.substr(0, 1) + ".jsonl";
    REQUIRE(Run(folder, tiny_run + "--seq 4,8,12,16 --part " + part + " --out " + out).code() == 0);
  }
  const Run merged(folder, "merge part-1.jsonl part-2.jsonl part-3.jsonl -o all.csv");
  REQUIRE(merged.code() == 0);
  CHECK_THAT(merged.out(), Contains("8 rows of 3 files in all.csv"));
  std::multiset<std::string> cases;
  for (const auto& row : read_csv(folder / "all.csv")) cases.insert(row.at("plan") + " " + row.at("seq"));
  CHECK(cases ==
        std::multiset<std::string>{"tp 4", "tp 8", "tp 12", "tp 16", "tp+sp 4", "tp+sp 8", "tp+sp 12", "tp+sp 16"});
}

TEST_CASE("a part that is none, or has nothing to do, is refused") {
  const TemporaryFolder folder;
  CHECK_THAT(complaint(Run(folder, tiny_run + "--seq 4 --part 2")), Contains("--part") && Contains("such as 2/4"));
  CHECK_THAT(complaint(Run(folder, tiny_run + "--seq 4 --part 3/2")), Contains("--part"));
  CHECK_THAT(complaint(Run(folder, tiny_run + "--seq 4 --part 2/2")), Contains("only 1 length to share"));
}

TEST_CASE("of a case in several files, merged rows have the one that is ok") {
  const TemporaryFolder folder;
  REQUIRE(Run(folder, tiny_run + "--tp --seq 4 --out good.jsonl").code() == 0);
  auto bad = text_of(folder / "good.jsonl");
  bad.replace(bad.find("\"status\":\"ok\""), 13, "\"status\":\"failed\"");
  write_text(folder / "bad.jsonl", bad);
  const Run merged(folder, "merge bad.jsonl good.jsonl -o all.jsonl");
  REQUIRE(merged.code() == 0);
  CHECK_THAT(merged.out(), Contains("1 row of 2 files in all.jsonl; 1 case there more than once"));
  CHECK(text_of(folder / "all.jsonl") == text_of(folder / "good.jsonl"));
}

TEST_CASE("merging overwrites nothing") {
  const TemporaryFolder folder;
  REQUIRE(Run(folder, tiny_run + "--tp --seq 4 --out one.jsonl").code() == 0);
  const auto before = text_of(folder / "one.jsonl");
  const Run merged(folder, "merge one.jsonl -o one.jsonl");
  CHECK(merged.code() == 2);
  CHECK_THAT(complaint(merged), Contains("is there already"));
  CHECK(text_of(folder / "one.jsonl") == before);
}
