#include "tpsp/report/table.h"

#include <catch2/catch.hpp>
#include <limits>
#include <sstream>

#include "results/example_row.h"
#include "tpsp/core/text.h"

using namespace tpsp;
using Catch::Contains;

namespace {

std::string table_of(const std::vector<Row>& rows, bool color = false) {
  std::ostringstream out;
  TablePrinter printer(out, color);
  for (const Row& row : rows) printer.row(row);
  return out.str();
}

std::vector<std::string> lines_of(const std::string& text) { return split(trim(text), '\n'); }

std::size_t characters(const std::string& line) {
  std::size_t count = 0;
  for (const char c : line) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

Row out_of_memory_row() {
  Row row = example_row();
  row.status = Status::out_of_memory;
  row.message =
      "rank 1 on node7 asked for 13.5 GB with 2.1 GB free; give fewer tokens or more ranks, or try bfloat16 weights";
  row.latency_s = row.latency_low_s = row.latency_high_s = std::nullopt;
  row.check = Check::off;
  return row;
}

}  // namespace

TEST_CASE("the table has the shared facts and then the header and then one line a row") {
  CHECK(table_of({example_row()}) ==
        "llama-7b · 2 layers · batch 1 · float32\n"
        "2 ranks · mpi · 1 thread each · cpu\n"
        "\n"
        "plan           seq  latency      ±       vs   alloc reserved    sent check\n"
        "tp+sp         1024 12.34 ms   0.4%        - 1.25 GB  1.50 GB 41.9 MB pass 3e-07\n");
}

namespace {

Row collective_row() {
  Row row;
  row.collective = "reduce-scatter";
  row.message_bytes = 33554432;
  row.buffer = "user";
  row.world = 2;
  row.dtype = "bf16";
  row.device = "cpu";
  row.backend = "shm";
  row.latency_s = 0.00654321;
  row.algbw_bytes_per_s = 5.128e9;
  row.busbw_bytes_per_s = 2.564e9;
  row.check = Check::pass;
  row.wrong = 0;
  return row;
}

}  // namespace

TEST_CASE("rows of collectives have nccl-tests' columns, and backends share a heading") {
  Row other = collective_row();
  other.backend = "threads";
  CHECK(table_of({collective_row(), other}) ==
        "collectives alone\n"
        "2 ranks · 1 thread each · cpu\n"
        "\n"
        "       size op             type backend buf        time   algbw   busbw  #wrong\n"
        "        (B)                                        (us)  (GB/s)  (GB/s)\n"
        "   33554432 reduce-scatter bf16 shm     user    6543.21    5.13    2.56       0\n"
        "   33554432 reduce-scatter bf16 threads user    6543.21    5.13    2.56       0\n");
}

TEST_CASE("a collective's widest cells fit eighty columns, and wrong results are counted") {
  Row row = collective_row();
  row.message_bytes = 99'999'999'999;
  row.backend = "a-long-name";
  row.latency_s = 1234.5;
  row.algbw_bytes_per_s = row.busbw_bytes_per_s = 9'999e9;
  row.wrong = 123'456'789;
  row.status = Status::failed;
  row.message = "7 elements of the results of two calls are wrong";
  CHECK_THAT(table_of({row}), Contains("  1e+08\n"));
  row.wrong = 77;
  CHECK_THAT(table_of({row}), Contains("     77\n"));
  Row skipped = row;
  skipped.status = Status::skipped;
  skipped.wrong.reset();
  CHECK_THAT(table_of({skipped}), Contains("skipped\n"));
  for (const std::string& line : lines_of(table_of({row, skipped}))) CHECK(characters(line) <= 80);
}

TEST_CASE("rows that share a heading follow each other without a second one") {
  Row second = example_row();
  second.plan = "tp";
  second.seq = 2048;
  const auto lines = lines_of(table_of({example_row(), second}));
  REQUIRE(lines.size() == 6);
  CHECK_THAT(lines[5], Catch::StartsWith("tp            2048 "));
}

TEST_CASE("a change of what the rows share prints a new heading") {
  Row second = example_row();
  second.world = 4;
  const auto lines = lines_of(table_of({example_row(), second}));
  REQUIRE(lines.size() == 11);
  CHECK(lines[5].empty());
  CHECK(lines[7] == "4 ranks · mpi · 1 thread each · cpu");
}

TEST_CASE("the widest cells still fit eighty columns") {
  Row row = example_row();
  row.plan = "a-plan-with-a-long-file-name";
  row.model = std::string(200, 'm');
  row.device_name = std::string(200, 'd');
  row.seq = 131072;
  row.latency_s = 0.9996;
  row.latency_low_s = 0.0001;
  row.latency_high_s = 98.7;
  row.ratio = 123456;
  row.verdict = "slower";
  row.warnings = {{"drifting", std::string(30, 'w') + " " + std::string(60, 'w')}};
  row.allocated_bytes = row.reserved_bytes = row.comm_bytes = 999'499'999;
  row.check = Check::fail;
  row.max_rel_err = 1e-10;
  for (const std::string& line : lines_of(table_of({row, out_of_memory_row()}))) CHECK(characters(line) <= 80);
}

TEST_CASE("a long plan name ends in an ellipsis") {
  Row row = example_row();
  row.plan = "attention-only";
  CHECK_THAT(table_of({row}), Contains("\nattention-…   1024 "));
}

TEST_CASE("a plan name outside ASCII keeps the columns aligned") {
  Row row = example_row();
  row.plan = "größer";
  CHECK_THAT(table_of({row}), Contains("\ngrößer        1024 "));
}

TEST_CASE("what was not measured is a dash") {
  Row row = example_row();
  row.allocated_bytes = row.reserved_bytes = std::nullopt;
  row.check = Check::off;
  CHECK_THAT(table_of({row}), Contains("        -       -        - 41.9 MB off\n"));
}

TEST_CASE("what a link would add to a rank that ran alone stands below its row, as a prediction") {
  auto row = example_row();
  row.link = "pcie4";
  row.predicted_s = 0.0175;
  CHECK_THAT(table_of({row}), Contains("\n    predicted with collectives over pcie4: 17.50 ms\n"));
  CHECK_THAT(table_of({example_row()}), !Contains("predicted"));
}

TEST_CASE("the noise is half of the interval over the median") {
  Row row = example_row();
  row.latency_low_s = 0.01;
  row.latency_high_s = 0.015;
  CHECK_THAT(table_of({row}), Contains(" 12.34 ms    20% "));
  row.latency_low_s.reset();
  CHECK_THAT(table_of({row}), Contains(" 12.34 ms      - "));
}

TEST_CASE("the ratio to the baseline has the sign of its verdict") {
  Row row = example_row();
  row.ratio = 1.0034;
  row.verdict = "same";
  CHECK_THAT(table_of({row}), Contains("   0.4%  = 1.003 1.25 GB "));
  row.verdict = "slower";
  row.ratio = 12.345;
  CHECK_THAT(table_of({row}), Contains(" > 12.35 ") || Contains(" > 12.34 "));
  row.verdict = "faster";
  row.ratio = 0.5;
  CHECK_THAT(table_of({row}), Contains(" < 0.500 "));
  row.verdict = "undecided";
  CHECK_THAT(table_of({row}), Contains(" ? 0.500 "));
}

TEST_CASE("warnings stand dim below their row whether it is good or bad") {
  Row row = example_row();
  row.warnings = {{"drifting", "the time rose by 3%; let the machine cool"}, {"swap", "8 pages"}, {"steal", ""}};
  auto lines = lines_of(table_of({row, example_row()}));
  REQUIRE(lines.size() == 9);
  CHECK(lines[5] == "    drifting: the time rose by 3%; let the machine cool");
  CHECK(lines[6] == "    swap: 8 pages");
  CHECK(lines[7] == "    steal");
  CHECK_THAT(table_of({row}, true), Contains("    \033[2mswap: 8 pages\033[0m\n"));
  Row bad = out_of_memory_row();
  bad.warnings = row.warnings;
  lines = lines_of(table_of({bad}));
  REQUIRE(lines.size() == 10);
  CHECK(lines[8] == "    swap: 8 pages");
}

TEST_CASE("a warning that many rows have is explained once") {
  Row row = example_row();
  row.warnings = {{"swap", "8 pages"}, {"steal", "a lot"}};
  const auto lines = lines_of(table_of({row, row}));
  REQUIRE(lines.size() == 9);
  CHECK(lines[6] == "    steal: a lot");
  CHECK(lines[8] == "    swap, steal, as above");
}

TEST_CASE("verdicts on different models stand under what was measured") {
  std::ostringstream out;
  TablePrinter(out, false)
      .verdicts({{"tp+sp", "tp", 8, {}, "small · 1 layer"},
                 {"tp+sp", "tp", 9, {}, "small · 1 layer"},
                 {"tp+sp", "tp", 8, {}, "large · 1 layer"}});
  CHECK_THAT(out.str(), Catch::StartsWith("\nsmall · 1 layer\ntp+sp against tp at seq 8:"));
  CHECK_THAT(out.str(), Contains("\n\nlarge · 1 layer\ntp+sp against tp at seq 8:"));
}

TEST_CASE("verdicts are printed in words within eighty columns") {
  std::ostringstream out;
  TablePrinter(out, false)
      .verdicts({{"tp+sp", "tp", 256, {1.003, Interval{0.991, 1.011}, Verdict::same}},
                 {"tp", std::string(20, 'b'), 256, {}}});
  const auto lines = lines_of(out.str());
  REQUIRE(lines.size() == 3);
  CHECK(lines[0] == "tp+sp against tp at seq 256: same, 1.003 of its time (95%: 0.991 to 1.011)");
  CHECK(lines[1] == "tp against bbbbbbbbbbbbbbbbbbbb at seq 256: undecided, 1.000 of its time (too");
  CHECK(lines[2] == "few repetitions)");
}

TEST_CASE("a row that ran out of memory has its message on indented lines below") {
  const auto lines = lines_of(table_of({out_of_memory_row(), example_row()}));
  REQUIRE(lines.size() == 8);
  CHECK(lines[4] == "tp+sp         1024        -      -        - 1.25 GB  1.50 GB 41.9 MB out of mem");
  CHECK(lines[5] == "    rank 1 on node7 asked for 13.5 GB with 2.1 GB free; give fewer tokens or");
  CHECK(lines[6] == "    more ranks, or try bfloat16 weights");
  CHECK_THAT(lines[7], Contains("pass 3e-07"));
}

TEST_CASE("a failed check is shouted with its error") {
  Row row = example_row();
  row.check = Check::fail;
  row.max_rel_err = 0.213;
  CHECK_THAT(table_of({row}), Contains(" FAIL 2e-01\n"));
  row.max_rel_err = std::numeric_limits<double>::quiet_NaN();
  CHECK_THAT(table_of({row}), Contains(" FAIL nan\n"));
}

TEST_CASE("without color there is no escape sequence") {
  CHECK(table_of({example_row(), out_of_memory_row()}).find('\033') == std::string::npos);
}

TEST_CASE("with color a bad row is red and a good one is not") {
  Row failed = example_row();
  failed.check = Check::fail;
  failed.message = "logits differ";
  CHECK_THAT(table_of({failed}, true), Contains("\033[31mtp+sp ") && Contains("FAIL 3e-07\033[0m\n") &&
                                           Contains("    \033[31mlogits differ\033[0m\n"));
  CHECK(table_of({example_row()}, true).find("\033[31m") == std::string::npos);
  CHECK_THAT(table_of({example_row()}, true), Contains("\033[32mpass 3e-07\033[0m\n"));
}

TEST_CASE("escape sequences in names and messages do not reach the terminal") {
  Row row = out_of_memory_row();
  row.plan = "\033[2J";
  row.model = "\033[2J";
  row.message = "\033[2J\n";
  CHECK(table_of({row}).find('\033') == std::string::npos);
}

TEST_CASE("title lines stand above the heading and a blank line between") {
  std::ostringstream out;
  TablePrinter printer(out, false);
  printer.title({"tpsp-bench 0.1.0", "results: r.csv"});
  printer.row(example_row());
  CHECK_THAT(out.str(), Catch::StartsWith("tpsp-bench 0.1.0\nresults: r.csv\n\nllama-7b · "));
}
