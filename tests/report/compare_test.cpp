#include "tpsp/report/compare.h"

#include <catch2/catch.hpp>

#include "report/example_row.h"
#include "support/thrown.h"
#include "tpsp/core/text.h"

using namespace tpsp;
using Catch::Contains;

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

TEST_CASE("rows without a latency or a partner stand alone") {
  const auto result =
      compared({skipped_row("tp"), row_of("sp", 256, 1)}, {row_of("tp", 256, 1), row_of("new", 256, 1)});
  CHECK(result.pairs.empty());
  REQUIRE(result.only_before.size() == 2);
  REQUIRE(result.only_after.size() == 2);
  CHECK(result.only_after[0].plan == "tp");
}

TEST_CASE("rows can be matched by other columns") {
  Row other = row_of("tp+sp", 256, 2);
  const auto result = compare({row_of("tp", 256, 1)}, {other}, standard_columns(), {"seq"}, 0);
  CHECK(result.pairs.size() == 1);
  CHECK_THAT(complaint_of([&] { compare({}, {}, standard_columns(), {"sequ"}, 0); }),
             Contains("there is no column 'sequ'") && Contains("did you mean 'seq'?"));
}

TEST_CASE("the table of a comparison has what is shared above it and the counts below") {
  const auto result =
      compared({row_of("tp", 256, 1), row_of("tp+sp", 256, 1), skipped_row("mine"), row_of("old", 512, 1)},
               {row_of("tp", 256, 1), row_of("tp+sp", 256, 1.25), row_of("mine", 256, 1)});
  CHECK(comparison_table(result, false) ==
        "model llama-7b · layers 2 · batch 1 · world 2 · dtype float32 · device cpu ·\n"
        "backend mpi · threads 1\n"
        "\n"
        "plan  seq   before    after  ratio  95% interval verdict\n"
        "tp    256  1.000 s  1.000 s  1.000  0.999..1.001 same\n"
        "tp+sp 256  1.000 s  1.250 s  1.250  1.248..1.252 slower\n"
        "\n"
        "only before (2):\n"
        "    mine  256  no time: skipped\n"
        "    old   512\n"
        "\n"
        "only after (1):\n"
        "    mine  256\n"
        "\n"
        "2 pairs: 0 faster, 1 same, 1 slower, 0 undecided; differences up to 2% count as\n"
        "same\n");
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
  CHECK_THAT(table, Contains("only before (13):\n") && Contains("    plan9\n    and 3 more\n") &&
                        Contains("0 pairs: 0 faster"));
  CHECK(table.find("plan10") == std::string::npos);
}

TEST_CASE("a comparison fits eighty columns whatever tells its rows apart") {
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
  CHECK(comparison_table(compared({}, {}, 0), false) == "\n0 pairs: 0 faster, 0 same, 0 slower, 0 undecided\n");
}
