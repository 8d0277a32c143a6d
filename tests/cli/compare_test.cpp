// Two results files against each other: what pairs, what fails a comparison, what is refused.
#include "run.h"

using namespace tpsp;
using Catch::Contains;

namespace {

const std::string tiny_run = "--model llama-tiny --warmup 0 --reps 1 ";

// Copies a CSV with every number of the columns that begin with `prefix` multiplied.
void scale_columns(const TemporaryFolder& folder, const std::string& from, const std::string& to,
                   const std::string& prefix, double factor) {
  const auto script = "import csv,sys\nrows=list(csv.DictReader(open('" + from + "')))\n" + "w=csv.DictWriter(open('" +
                      to +
                      "','w'),rows[0].keys(),lineterminator='\\n')\nw.writeheader()\nfor r in rows:\n  for k in r:\n   "
                      " if k.startswith('" +
                      prefix + "') and r[k]: r[k]=str(float(r[k])*" + std::to_string(factor) + ")\n  w.writerow(r)\n";
  write_text(folder / "scale.py", script);
  REQUIRE(run_command(folder, "'" TPSP_PYTHON "' scale.py").code == 0);
}

}  // namespace

TEST_CASE("a file compared with itself has no row that differs") {
  const TemporaryFolder folder;
  const Run run(folder, "--model llama-tiny --seq 4,8 --reps 8");
  REQUIRE(run.code() == 0);
  for (const std::string file : {"tpsp-results.csv ", "tpsp-results.jsonl "}) {
    const Run compare(folder, "compare --fail-on slower,faster,unmatched,worse-numbers " + file + file);
    CHECK(compare.code() == 0);
    CHECK(widest_line(compare.out()) <= 80);
    CHECK_THAT(compare.out(), Contains("4 pairs: 0 faster, ") && Contains(" 0 slower, "));
  }
}

TEST_CASE("rows that became slower fail a comparison with --fail-on slower") {
  const TemporaryFolder folder;
  const Run run(folder, "--model llama-tiny --seq 4 --reps 8 --out a.csv");
  REQUIRE(run.code() == 0);
  scale_columns(folder, "a.csv", "b.csv", "latency_", 100);
  const Run slower(folder, "compare a.csv b.csv --fail-on slower");
  CHECK(slower.code() == 3);
  CHECK_THAT(slower.out(), Contains("slower") && Contains("2 slower"));
  CHECK(Run(folder, "compare b.csv a.csv --fail-on slower").code() == 0);
  CHECK(Run(folder, "compare b.csv a.csv --fail-on faster").code() == 3);
  CHECK(Run(folder, "compare a.csv b.csv").code() == 0);
}

TEST_CASE("a case that failed, or was measured before alone, fails a comparison that looks for slower ones") {
  const TemporaryFolder folder;
  REQUIRE(Run(folder, "--model llama-tiny --seq 4 --reps 8 --out a.csv").code() == 0);
  for (const auto& [column, value] : std::vector<std::pair<std::string, std::string>>{
           {"status", "failed"}, {"check", "fail"}, {"status", "out_of_memory"}, {"status", "skipped"}}) {
    set_first_cell(folder, "a.csv", "b.csv", column, value);
    const Run compare(folder, "compare a.csv b.csv --fail-on slower");
    CHECK(compare.code() == 3);
    CHECK_THAT(compare.out(), Contains("not measured in both (1):") &&
                                  Contains("ok before, " + (column == "check" ? "check failed" : value) + " after"));
    CHECK(Run(folder, "compare b.csv a.csv --fail-on slower").code() == 0);
    CHECK(Run(folder, "compare a.csv b.csv").code() == 0);
  }
}

TEST_CASE("a case that has no row afterwards fails a comparison with any --fail-on") {
  const TemporaryFolder folder;
  REQUIRE(Run(folder, tiny_run + "--tp --seq 4,8 --out a.csv").code() == 0);
  const auto lines = lines_of(text_of(folder / "a.csv"));
  write_text(folder / "b.csv", lines[0] + "\n" + lines[1] + "\n");
  write_text(folder / "none.csv", lines[0] + "\n");
  for (const std::string file : {"b.csv", "none.csv"}) {
    for (const std::string what : {"slower", "faster", "undecided", "unmatched", "worse-numbers"}) {
      const Run compare(folder, "compare a.csv " + file + " --fail-on " + what);
      CHECK(compare.code() == 3);
      CHECK_THAT(compare.out(), Contains("no longer measured."));
    }
    CHECK(Run(folder, "compare a.csv " + file).code() == 0);
  }
  CHECK(Run(folder, "compare b.csv a.csv --fail-on slower").code() == 0);
}

TEST_CASE("errors that grow fail a comparison that looks for them") {
  const TemporaryFolder folder;
  REQUIRE(Run(folder, "--model llama-tiny --seq 4 --reps 8 --out a.csv", {.ranks = 2}).code() == 0);
  set_first_cell(folder, "a.csv", "b.csv", "max_rel_err", "5e-5");
  const Run compare(folder, "compare a.csv b.csv --fail-on worse-numbers");
  CHECK(compare.code() == 3);
  CHECK_THAT(compare.out(), Contains("worse numbers: max_rel_err ") && Contains(" before, 5.0e-05 after, "));
  CHECK(Run(folder, "compare b.csv a.csv --fail-on worse-numbers").code() == 0);
}

TEST_CASE("a program that computes more slowly is found slower by the spread of several runs") {
  const TemporaryFolder folder;
  const std::string run = "--model llama-tiny --seq 64 --tp --reps 15 --peaks off --check off --profile off ";
  for (int i = 0; i < 3; ++i) {
    REQUIRE(Run(folder, run + "--out before.csv", {.ranks = 2}).code() == 0);
    const Start slowed{.ranks = 2, .environment = {{"TPSP_TEST_SLOWDOWN", "4"}}, .program = TPSP_SLOWED_BENCH};
    REQUIRE(Run(folder, run + "--out after.csv", slowed).code() == 0);
  }
  const Run compare(folder, "compare before.csv after.csv --fail-on slower");
  CHECK(compare.code() == 3);
  CHECK_THAT(compare.out(), Contains("slower\n") && Contains("Intervals come from the spread between runs."));
}

TEST_CASE("rows that differ only in protocol or seed are not taken for one case") {
  const TemporaryFolder folder;
  REQUIRE(Run(folder, tiny_run + "--tp --seq 4 --out a.csv").code() == 0);
  REQUIRE(Run(folder, tiny_run + "--tp --seq 4 --seed 1 --out a.csv").code() == 0);
  REQUIRE(Run(folder, "--model llama-tiny --warmup 0 --reps 2 --tp --seq 4 --out a.csv").code() == 0);
  CHECK_THAT(Run(folder, "compare a.csv a.csv").out(), Contains("3 pairs:"));
  const Run merged(folder, "compare a.csv a.csv --match plan,seq");
  CHECK_THAT(merged.out(), Contains("The file before: 2 rows count for the case of others") && Contains("1 pair:"));
}

TEST_CASE("rows that match nothing are listed") {
  const TemporaryFolder folder;
  const Run a(folder, tiny_run + "--tp --seq 4,8 --out a.csv");
  const Run b(folder, tiny_run + "--tp --seq 8,16 --out b.csv");
  REQUIRE(a.code() + b.code() == 0);
  const Run compare(folder, "compare a.csv b.csv --fail-on unmatched");
  CHECK(compare.code() == 3);
  CHECK_THAT(compare.out(), Contains("1 pair:") && Contains("1 undecided"));
  CHECK(Run(folder, "compare a.csv b.csv --fail-on undecided").code() == 3);
  const Run nothing(folder, "compare a.csv b.csv --match seq,run_id --fail-on slower");
  CHECK(nothing.code() == 2);
  CHECK_THAT(complaint(nothing), Contains("no row of one file matches"));
}

TEST_CASE("comparisons that make no sense are refused") {
  const TemporaryFolder folder;
  write_text(folder / "other.csv", "a,b\n1,2\n");
  const Run run(folder, tiny_run + "--tp --seq 4 --out a.csv");
  REQUIRE(run.code() == 0);
  for (const auto& [arguments, part] : std::vector<std::pair<std::string, std::string>>{
           {"compare a.csv", "AFTER"},
           {"compare a.csv other.csv", "other.csv"},
           {"compare a.csv missing.csv", "missing.csv"},
           {"compare a.csv a.csv --match plann", "plann"},
           {"compare a.csv a.csv --match seq,", "--match: the list 'seq,' has an empty item"},
           {"compare a.csv a.csv --fail-on slower,", "--fail-on: the list 'slower,' has an empty item"},
           {"compare a.csv a.csv --fail-on slowr", "--fail-on: 'slowr'"},
           {"compare a.csv a.csv --margin x", "--margin: 'x' is not a number"}}) {
    const Run refused(folder, arguments);
    CHECK(refused.code() == 2);
    CHECK_THAT(complaint(refused), Contains(part));
  }
}
