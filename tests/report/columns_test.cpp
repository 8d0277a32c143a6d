#include "tpsp/report/columns.h"

#include <catch2/catch.hpp>
#include <limits>
#include <set>

#include "report/example_row.h"
#include "support/expected_file.h"

using namespace tpsp;

namespace {

std::string cell(const std::string& name, const Row& row) {
  for (const Column& column : standard_columns()) {
    if (column.name == name) return column.cell(row);
  }
  return "no column " + name;
}

}  // namespace

TEST_CASE("the names of the columns are the committed ones in their order") {
  std::string names;
  for (const Column& column : standard_columns()) names += (names.empty() ? "" : ",") + column.name;
  check_expected_file(TPSP_TEST_DATA "/columns.csv", names + "\n");
}

TEST_CASE("the page on the columns is the one that the table of columns makes") {
  check_expected_file(TPSP_SOURCE_DIR "/docs/columns.md", markdown(standard_columns()));
}

TEST_CASE("every column has its own name and a meaning and a source") {
  std::set<std::string> names;
  for (const Column& column : standard_columns()) {
    CHECK(names.insert(column.name).second);
    CHECK(column.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string::npos);
    CHECK_FALSE(column.meaning.empty());
    CHECK_FALSE(column.source.empty());
  }
  CHECK(names.size() == 40);
}

TEST_CASE("a value that was not measured is an empty cell") {
  const Row row;
  for (const char* name : {"latency_s", "latency_min_s", "latency_max_s", "tokens_per_s", "allocated_bytes",
                           "reserved_bytes", "max_abs_err", "max_rel_err"}) {
    CHECK(cell(name, row).empty());
  }
}

TEST_CASE("cells carry the row's own values") {
  Row row = example_row();
  row.seed = std::numeric_limits<std::uint64_t>::max();
  CHECK(cell("plan", row) == "tp+sp");
  CHECK(cell("latency_s", row) == "0.01234");
  CHECK(cell("latency_min_s", row) == "0.0121");
  CHECK(cell("latency_max_s", row) == "0.0129");
  CHECK(cell("comm_bytes", row) == "41943040");
  CHECK(cell("seed", row) == "18446744073709551615");
  CHECK(cell("max_rel_err", row) == "3e-07");
}

TEST_CASE("status and check are written as words") {
  Row row = example_row();
  CHECK(cell("status", row) == "ok");
  CHECK(cell("check", row) == "pass");
  row.status = Status::out_of_memory;
  row.check = Check::fail;
  CHECK(cell("status", row) == "out_of_memory");
  CHECK(cell("check", row) == "fail");
}

TEST_CASE("an error that is not a number is written as such") {
  Row row = example_row();
  row.max_rel_err = std::numeric_limits<double>::quiet_NaN();
  row.max_abs_err = std::numeric_limits<double>::infinity();
  CHECK(cell("max_rel_err", row) == "nan");
  CHECK(cell("max_abs_err", row) == "inf");
}

TEST_CASE("a bar in a column's meaning does not break the page's table") {
  const std::string page = markdown({{"x", "s", "this | that", "here", [](const Row&) { return ""; }}});
  CHECK_THAT(page, Catch::Contains("| `x` | s | this \\| that | here |\n"));
}
