#include "tpsp/report/compare_table.h"

#include <catch2/catch.hpp>

#include "results/example_row.h"
#include "support/thrown.h"
#include "tpsp/core/text.h"

using namespace tpsp;
using Catch::Contains;
using Catch::StartsWith;

namespace {

Row row_of(const std::string& plan, std::int64_t seq, double latency_s) {
  Row row = example_row();
  row.plan = plan;
  row.seq = seq;
  row.latency_s = latency_s;
  row.latency_low_s = latency_s * 0.999;
  row.latency_high_s = latency_s * 1.001;
  return row;
}

Row skipped_row(const std::string& plan) {
  Row row = row_of(plan, 256, 1);
  row.status = Status::skipped;
  row.latency_s = row.latency_low_s = row.latency_high_s = std::nullopt;
  return row;
}

Row in_run(Row row, const std::string& run_id) {
  row.run_id = run_id;
  return row;
}

/// A run each of these latencies.
std::vector<Row> runs_of(const std::vector<double>& latencies_s) {
  std::vector<Row> rows;
  for (const double latency_s : latencies_s) {
    rows.push_back(in_run(row_of("tp", 256, latency_s), "run " + std::to_string(rows.size())));
  }
  return rows;
}

Comparison usually_compared(const std::vector<Row>& before, const std::vector<Row>& after) {
  return compare(before, after, standard_columns(), {}, 0.02);
}

Comparison compared(const std::vector<Row>& before, const std::vector<Row>& after, double margin = 0.02) {
  return compare(before, after, standard_columns(), case_columns(), margin);
}

std::size_t characters(const std::string& line) {
  std::size_t count = 0;
  for (const char c : line) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

}  // namespace

TEST_CASE("rows of the same case pair and the ratio is the later time over the earlier") {
  const auto result =
      compared({row_of("tp", 256, 1), row_of("tp", 512, 2)}, {row_of("tp", 512, 3), row_of("tp", 256, 1)});
  REQUIRE(result.pairs.size() == 2);
  CHECK(result.pairs[0].before.seq == 256);
  CHECK(result.pairs[0].ratio.verdict == Verdict::same);
  CHECK(result.pairs[1].ratio.value == Approx(1.5));
  CHECK(result.pairs[1].ratio.verdict == Verdict::slower);
  CHECK(result.only_before.empty());
  CHECK(result.only_after.empty());
}

TEST_CASE("a step of one replica pairs with one from before there were replicas") {
  auto before = row_of("tp", 256, 1);
  before.workload = "train";
  auto after = before;
  after.dp = 1;
  after.shard = "none";
  CHECK(compared({before}, {after}).pairs.size() == 1);
  after.dp = 2;
  CHECK(compared({before}, {after}).pairs.empty());
}

TEST_CASE("a difference within the margin is the same") {
  const std::vector<Row> before = {row_of("tp", 256, 1)};
  CHECK(compared(before, {row_of("tp", 256, 1.015)}, 0.02).pairs.at(0).ratio.verdict == Verdict::same);
  CHECK(compared(before, {row_of("tp", 256, 1.015)}, 0).pairs.at(0).ratio.verdict == Verdict::slower);
  CHECK(compared(before, {row_of("tp", 256, 0.9)}, 0.02).pairs.at(0).ratio.verdict == Verdict::faster);
}

TEST_CASE("of several rows of one case the last counts") {
  const auto result = compared({row_of("tp", 256, 9), row_of("tp", 256, 1)}, {row_of("tp", 256, 1)});
  REQUIRE(result.pairs.size() == 1);
  CHECK(result.pairs[0].ratio.value == Approx(1));
}

TEST_CASE("rows without a partner, and those without a measurement, have no ratio") {
  const auto result = compared({skipped_row("tp"), row_of("sp", 256, 1), row_of("mine", 256, 1)},
                               {row_of("tp", 256, 1), row_of("new", 256, 1), skipped_row("mine")});
  CHECK(result.pairs.empty());
  REQUIRE(result.only_before.size() == 1);
  CHECK(result.only_before[0].plan == "sp");
  REQUIRE(result.only_after.size() == 1);
  CHECK(result.only_after[0].plan == "new");
  REQUIRE(result.unmeasured.size() == 2);
  CHECK(result.unmeasured[0].after.plan == "tp");
}

TEST_CASE("an interval that reaches beyond the margin is not called the same") {
  Row after = row_of("tp", 256, 1.06);
  after.latency_low_s = 1.018;
  after.latency_high_s = 1.095;
  const auto result = compared({row_of("tp", 256, 1)}, {after});
  CHECK(result.pairs.at(0).ratio.verdict == Verdict::undecided);
}

TEST_CASE("a case that failed, or was measured before alone, with a row afterwards or without, is broken") {
  Row failed = row_of("tp", 256, 1);
  failed.status = Status::failed;
  failed.check = Check::fail;
  Row unchecked = row_of("tp", 256, 1);
  unchecked.check = Check::fail;
  const std::vector<Row> good{row_of("tp", 256, 1)};
  CHECK(compared(good, good).broken_after == 0);
  CHECK(compared(good, {failed}).broken_after == 1);
  CHECK(compared(good, {unchecked}).broken_after == 1);
  CHECK(compared(good, {skipped_row("tp")}).broken_after == 1);
  CHECK(compared({failed}, good).broken_after == 0);
  CHECK(compared({failed}, {failed}).broken_after == 1);
  CHECK(compared({}, {failed}).broken_after == 1);
  CHECK(compared({skipped_row("tp")}, {skipped_row("tp")}).broken_after == 0);
  CHECK(compared(good, {}).broken_after == 1);
  CHECK(compared(runs_of({1, 1}), {}).broken_after == 1);
  CHECK(compared({skipped_row("tp")}, {}).broken_after == 0);
  const auto two_runs = compared(good, {row_of("tp", 256, 1), in_run(failed, "second")});
  CHECK(two_runs.broken_after == 1);
  CHECK(two_runs.pairs.at(0).runs_after == 1);
  CHECK_THAT(comparison_table(two_runs, false), Contains("    1 further run after is not ok\n"));
}

TEST_CASE("runs of one case are compared by their spread") {
  // Each run's own interval is 0.1%, yet the runs of one program are 2% apart.
  const auto same = compared(runs_of({1, 1.02, 0.99, 1.01, 1}), runs_of({1.02, 1, 1.01, 1.03, 1}));
  REQUIRE(same.pairs.size() == 1);
  CHECK(same.pairs[0].runs_before == 5);
  CHECK(same.pairs[0].runs_after == 5);
  CHECK(same.pairs[0].before_s == Approx(1.004).epsilon(1e-3));
  CHECK(same.pairs[0].ratio.value == Approx(same.pairs[0].after_s / same.pairs[0].before_s));
  CHECK(same.pairs[0].ratio.verdict == Verdict::undecided);
  const auto slower = compared(runs_of({1, 1.01, 0.995}), runs_of({1.03, 1.04, 1.035}));
  CHECK(slower.pairs.at(0).ratio.verdict == Verdict::slower);
  CHECK_THAT(comparison_table(slower, false), Contains("Intervals come from the spread between runs.\n"));
}

TEST_CASE("columns in which rows of one file differ are matched as well") {
  for (std::string Row::*const field :
       std::initializer_list<std::string Row::*>{&Row::suite, &Row::order, &Row::weights, &Row::host, &Row::device_name,
                                                 &Row::build, &Row::version, &Row::torch_version, &Row::key}) {
    Row one = row_of("tp", 256, 1);
    Row other = row_of("tp", 256, 2);
    one.*field = "one";
    other.*field = "other";
    const auto result = usually_compared({one, other}, {other, one});
    REQUIRE(result.pairs.size() == 2);
    CHECK(result.pairs[0].ratio.value == Approx(1));
    CHECK(result.pairs[1].ratio.value == Approx(1));
    CHECK(usually_compared({one}, {other}).pairs.size() == 1);  // no columns differ
  }
  Row seeded = row_of("tp", 256, 1);
  seeded.seed = 7;
  CHECK(usually_compared({row_of("tp", 256, 1)}, {seeded}).pairs.empty());
}

TEST_CASE("a column in which rows of one file differ, without a common value in both files, is not matched by") {
  const auto with_version = [](double latency_s, const std::string& version) {
    Row row = in_run(row_of("tp", 256, latency_s), "run of " + version);
    row.version = version;
    return row;
  };
  const std::vector<Row> before{with_version(1, "1"), with_version(1.01, "2")};
  const auto result = usually_compared(before, {with_version(1.5, "3")});
  REQUIRE(result.pairs.size() == 1);
  CHECK(result.pairs[0].runs_before == 2);
  CHECK(result.only_before.empty());
  CHECK(result.only_after.empty());
  CHECK_THAT(comparison_table(result, false),
             StartsWith("Not matched by version, which has no value that is in both files: '1, 2' before,\n"
                        "'3' after.\n"));
  const auto overlapping = usually_compared(before, {with_version(1.5, "2")});
  CHECK(overlapping.pairs.at(0).ratio.value == Approx(1.5 / 1.01));
  CHECK(overlapping.notes.empty());
}

TEST_CASE("rows that are taken for one case though their keys differ are counted") {
  Row one = row_of("tp", 256, 1);
  Row other = row_of("tp+sp", 256, 2);
  other.key = "another";
  const auto result = compare({one, other}, {one}, standard_columns(), {"seq"}, 0);
  CHECK(result.pairs.size() == 1);
  CHECK_THAT(comparison_table(result, false),
             StartsWith("The file before: 1 row counts for the case of others with another key;"));
}

TEST_CASE("another machine or build type is said above the table, another version is not") {
  Row before = row_of("tp", 256, 1);
  before.host = "node0";
  before.build = "Release";
  Row after = before;
  after.version = "2";
  CHECK(compared({before}, {after}).notes.empty());
  after.host = "node1";
  after.build = "Debug";
  CHECK_THAT(comparison_table(compared({before}, {after}), false),
             StartsWith("Not the same machine or build: host 'node0' before, 'node1' after; build\n"
                        "'Release' before, 'Debug' after.\n\nmodel "));
}

TEST_CASE("errors that grow are reported in a line of their own") {
  Row before = row_of("tp", 256, 1);
  before.dtype = "bf16";
  before.max_rel_err = 4e-3;
  Row after = before;
  const auto grown = [&](double error) {
    after.max_rel_err = error;
    return compared({before}, {after}).pairs.at(0).error_growth.has_value();
  };
  CHECK_FALSE(grown(4e-3));
  CHECK_FALSE(grown(5.3e-3));
  CHECK_FALSE(grown(1e-3));
  CHECK(grown(5.6e-3));
  CHECK_THAT(comparison_table(compared({before}, {after}), false),
             Contains("same\n    worse numbers: max_rel_err 4.0e-03 before, 5.6e-03 after, 1.4 times\n"));
  before.max_rel_err = 0;
  CHECK_FALSE(grown(3.9e-3));  // one rounding of bf16
  CHECK_FALSE(grown(5.2e-3));
  CHECK(grown(5.4e-3));
  after.error_bound = 4e-2;  // rows before had another reference, and no bound
  CHECK_FALSE(error_growth(before, after));
  before.error_bound = 4e-2;
  CHECK(error_growth(before, after));
  after.seed = 3;
  CHECK_FALSE(error_growth(before, after));
}

TEST_CASE("rows can be matched by other columns") {
  Row other = row_of("tp+sp", 256, 2);
  const auto result = compare({row_of("tp", 256, 1)}, {other}, standard_columns(), {"seq"}, 0);
  CHECK(result.pairs.size() == 1);
  CHECK_THAT(complaint_of([&] { compare({}, {}, standard_columns(), {"sequ"}, 0); }),
             Contains("there is no column 'sequ'") && Contains("did you mean 'seq'?"));
}

TEST_CASE("the table of a comparison has what is shared above it and the counts below") {
  Row wrong = row_of("wrong", 256, 1);
  wrong.check = Check::fail;
  const auto result =
      compared({row_of("tp", 256, 1), row_of("tp+sp", 256, 1), skipped_row("mine"), row_of("old", 512, 1)},
               {row_of("tp", 256, 1), row_of("tp+sp", 256, 1.25), row_of("mine", 256, 1), wrong});
  CHECK(comparison_table(result, false) ==
        "model llama-7b · layers 2 · batch 1 · world 2 · dtype float32 · device cpu ·\n"
        "backend mpi · threads 1 · seed 0\n"
        "\n"
        "plan  seq   before    after  ratio  95% interval verdict\n"
        "tp    256  1.000 s  1.000 s  1.000  0.999..1.001 same\n"
        "tp+sp 256  1.000 s  1.250 s  1.250  1.248..1.252 slower\n"
        "\n"
        "not measured in both (1):\n"
        "    mine  256  skipped before, ok after\n"
        "\n"
        "only before (1):\n"
        "    old   512  ok\n"
        "\n"
        "only after (1):\n"
        "    wrong 256  check failed\n"
        "\n"
        "2 pairs: 0 faster, 1 same, 1 slower, 0 undecided; margin 2%\n"
        "With one run each the verdicts rest on the margin: runs of one program differ by\n"
        "more than their own intervals, which scripts/repeat.sh would show.\n"
        "After, 2 rows failed or are no longer measured.\n");
}

TEST_CASE("the verdicts of a comparison are green and red with color") {
  const std::string table = comparison_table(
      compared({row_of("tp", 256, 1), row_of("sp", 256, 1)}, {row_of("tp", 256, 2), row_of("sp", 256, 0.5)}), true);
  CHECK_THAT(table, Contains("\033[31mslower\033[0m\n") && Contains("\033[32mfaster\033[0m\n"));
}

TEST_CASE("of rows that match nothing ten are shown and the rest counted") {
  std::vector<Row> rows;
  for (int i = 0; i < 13; ++i) rows.push_back(row_of("plan" + std::to_string(i), 256, 1));
  const std::string table = comparison_table(compared(rows, {}), false);
  CHECK_THAT(table, Contains("only before (13):\n") && Contains("    plan9   ok\n    and 3 more\n") &&
                        Contains("0 pairs: 0 faster"));
  CHECK(table.find("plan10") == std::string::npos);
}

TEST_CASE("a comparison fits eighty columns whichever columns differ") {
  Row odd = row_of("a-plan-with-a-long-name", 131072, 0.0009996);
  odd.model = std::string(60, 'm');
  odd.layers = 100;
  odd.batch = 1024;
  odd.world = 1024;
  odd.dtype = "bfloat16-größer";
  odd.device = "cuda";
  odd.backend = "nccl";
  odd.threads = 100;
  Row few = row_of("tp", 256, 1);
  few.latency_low_s.reset();
  Row later = few;
  later.latency_s = 12345.6;
  std::vector<std::string> every;
  for (const Column& column : standard_columns()) every.push_back(column.name);
  for (const auto& by : {case_columns(), every}) {
    const std::string table = comparison_table(compare({odd, few}, {odd, later}, standard_columns(), by, 0.01), false);
    for (const std::string& line : split(table, '\n')) {
      INFO(line);
      CHECK(characters(line) <= 80);
    }
  }
}

TEST_CASE("two files without rows compare to nothing") {
  CHECK(comparison_table(compared({}, {}, 0), false) ==
        "\n0 pairs: 0 faster, 0 same, 0 slower, 0 undecided; margin 0%\n");
}
