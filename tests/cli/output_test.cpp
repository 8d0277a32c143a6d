// Where results go: the table, the log, the CSV file.
#include <algorithm>
#include <catch2/catch.hpp>

#include "run.h"

using namespace tpsp;
using Catch::Contains;

namespace {

const std::string quick_run = "--model llama-tiny --tp --seq 4 --warmup 0 --reps 1 ";

// Runs the program on a terminal of its own, as script(1) makes one.
Outcome run_on_terminal(const TemporaryFolder& folder, const std::string& variables) {
  return run_command(folder, "script -qec \"env " + variables + " TPSP_DEVICE=cpu TERM=xterm '" TPSP_BENCH "' " +
                                 quick_run + "\" /dev/null");
}

}  // namespace

TEST_CASE("the table has a line a row, fits in 80 columns, and has no colours in a pipe") {
  const TemporaryFolder folder;
  const Run run(folder, "--model llama-tiny --seq 8,9 --reps 2", {.ranks = 2});
  REQUIRE(run.code() == 0);
  CHECK_THAT(run.out(), Contains("llama-tiny · 2 layers · batch 2 · fp32"));
  CHECK_THAT(run.out(), Contains("2 ranks · shm · 1 thread each · cpu"));
  CHECK(widest_line(run.out()) <= 80);
  CHECK(run.out().find('\033') == std::string::npos);
  const auto lines = lines_of(run.out());
  for (const auto* plan : {"tp ", "tp+sp "}) {
    CHECK(std::count_if(lines.begin(), lines.end(),
                        [&](const auto& l) { return l.starts_with(plan) && l.find("pass") != l.npos; }) == 2);
  }
  CHECK_THAT(run.out(), Contains("tp+sp against tp at seq 8:") && Contains("tp+sp against tp at seq 9:"));
}

TEST_CASE("long names do not widen the table") {
  const TemporaryFolder folder;
  const std::string name(100, 'n');
  std::filesystem::copy_file(TPSP_SOURCE_DIR "/configs/plans/tp.yaml", folder / (name + ".yaml"));
  std::filesystem::copy_file(TPSP_SOURCE_DIR "/configs/models/llama-tiny.yaml", folder / ("m" + name + ".yaml"));
  const Run run(folder, "--seq 4 --model m" + name + ".yaml --plan " + name + ".yaml");
  REQUIRE(run.code() == 0);
  CHECK(widest_line(run.out()) <= 80);
  const auto row = read_csv(folder / "tpsp-results.csv").at(0);
  CHECK(row.at("plan") == name);
  CHECK(row.at("model") == "m" + name);
}

TEST_CASE("a terminal gets colours, unless NO_COLOR is set") {
  const TemporaryFolder folder;
  const auto colored = run_on_terminal(folder, "-u NO_COLOR");
  REQUIRE(colored.code == 0);
  CHECK_THAT(colored.out, Contains("\033[32mpass"));
  CHECK_THAT(colored.out, Contains("\r[1/1] tp at seq 4: timing, 0 done"));
  const auto plain = run_on_terminal(folder, "NO_COLOR=1");
  REQUIRE(plain.code == 0);
  CHECK_THAT(plain.out, Contains("pass") && !Contains("\033["));
}

TEST_CASE("in a log the progress is plain lines") {
  const TemporaryFolder folder;
  const Run run(folder, "--model llama-tiny --seq 4,8 --reps 1", {.ranks = 2});
  REQUIRE(run.code() == 0);
  CHECK_THAT(run.err(), Contains("[1/4] tp and tp+sp at seq 4") && Contains("[3/4] tp and tp+sp at seq 8"));
  CHECK_THAT(run.err(), Contains("forwards") && Contains("harness"));
  CHECK(run.out().find('\r') == std::string::npos);
  CHECK(run.err().find('\r') == std::string::npos);
}

TEST_CASE("the option --quiet prints nothing at all when all is well") {
  const TemporaryFolder folder;
  const Run run(folder, quick_run + "--quiet", {.ranks = 2});
  REQUIRE(run.code() == 0);
  CHECK(run.out().empty());
  CHECK(run.err().empty());
  CHECK(read_csv(folder / "tpsp-results.csv").size() == 1);
}

TEST_CASE("the option --verbose says where each setting comes from") {
  const TemporaryFolder folder;
  const Run run(folder, quick_run + "--verbose", {.environment = {{"TPSP_BATCH", "3"}}});
  REQUIRE(run.code() == 0);
  CHECK_THAT(run.err(), Contains("seq is 4 (--seq)"));
  CHECK_THAT(run.err(), Contains("batch is 3 (TPSP_BATCH)"));
  CHECK_THAT(run.err(), Contains("dtype is fp32 (default)"));
}

TEST_CASE("two runs share a results file: one header, two run ids") {
  const TemporaryFolder folder;
  const Run first(folder, quick_run + "--out both.csv");
  const Run second(folder, quick_run + "--out both.csv --seed 5");
  REQUIRE(first.code() + second.code() == 0);
  const auto rows = read_csv(folder / "both.csv");
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].at("run_id") != rows[1].at("run_id"));
  CHECK(rows[1].at("seed") == "5");
}

TEST_CASE("a file with another header is refused and left as it was") {
  const TemporaryFolder folder;
  const std::string text = "status,speed\nok,12\n";
  write_text(folder / "other.csv", text);
  const Run run(folder, quick_run + "--out other.csv", {.ranks = 2});
  CHECK(run.code() == 2);
  CHECK_THAT(complaint(run), Contains("other.csv"));
  CHECK(text_of(folder / "other.csv") == text);
}

TEST_CASE("a file that can not be written ends the run with 6 before anything is measured") {
  const TemporaryFolder folder;
  const std::string path = GENERATE("/proc/nope.csv", "full.csv", "no/such/folder/x.jsonl", "folder.md");
  std::filesystem::create_symlink("/dev/full", folder / "full.csv");
  std::filesystem::create_directory(folder / "folder.md");
  const Run run(folder, quick_run + "--out " + path, {.ranks = 2});
  CHECK(run.code() == 6);
  CHECK_THAT(complaint(run), Contains(path));
  CHECK(run.out().empty());
}

TEST_CASE("an output that would lose what is written to it ends the run with 6 before anything is measured") {
  const TemporaryFolder folder;
  REQUIRE(run_command(folder, "mkfifo fifo.csv fifo.json").code == 0);
  std::filesystem::create_symlink("/dev/null", folder / "null.jsonl");
  const std::string option = GENERATE("--out fifo.csv", "--out null.jsonl", "--trace fifo.json", "--trace /dev/null");
  const Run run(folder, quick_run + option, {.ranks = 2});
  CHECK(run.code() == 6);
  CHECK_THAT(complaint(run),
             Contains(option.substr(option.find(' ') + 1) + ": it does not keep what is written to it"));
  CHECK(run.out().empty());
}

TEST_CASE("an export folder that can not be made ends the run with 6") {
  const TemporaryFolder folder;
  const std::string path = GENERATE("/proc/nope", "/dev/null", "file");
  write_text(folder / "file", "mine\n");
  const Run run(folder, quick_run + "--export " + path, {.ranks = 2});
  CHECK(run.code() == 6);
  CHECK_THAT(complaint(run), Contains(path));
  CHECK(text_of(folder / "file") == "mine\n");
}

TEST_CASE("help and previews that can not be written end with 6") {
  const TemporaryFolder folder;
  const std::string command = GENERATE("--help", "plan --model llama-tiny", "plan --model llama-70b --json", "info");
  const Run run(folder, command + " >/dev/full #");
  CHECK(run.code() == 6);
}
