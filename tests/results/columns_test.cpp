#include "tpsp/results/columns.h"

#include <catch2/catch.hpp>
#include <limits>
#include <set>

#include "results/example_row.h"
#include "support/expected_file.h"
#include "support/field_count.h"
#include "tpsp/core/text.h"
#include "tpsp/results/case_fields.h"
#include "tpsp/results/results.h"

using namespace tpsp;

namespace {

std::string cell(const std::string& name, const Row& row) {
  for (const Column& column : standard_columns()) {
    if (column.name == name) return text(column.get(row));
  }
  return "no column " + name;
}

}  // namespace

TEST_CASE("the header of a CSV file is the committed one") {
  check_expected_file(TPSP_TEST_DATA "/columns.csv", format_of("x.csv", standard_columns())->header());
}

TEST_CASE("JSON Lines alone has the lists and long texts") {
  std::vector<std::string> raw;
  for (const Column& column : standard_columns()) {
    if (column.detail == Detail::raw) raw.push_back(column.name);
  }
  CHECK(join(raw, ",") == "model_shapes,plan_hash,protocol,samples_s,rank_samples_s,plan_text,warning_texts");
}

TEST_CASE("every field of a row is a column") {
  constexpr std::size_t bases = 2;
  constexpr std::size_t warning_texts = 1;  // two columns for the one field `warnings`
  CHECK(field_count<Case>() == case_fields().size());
  CHECK(field_count<Case>() + field_count<Provenance>() + field_count<Row>() - bases + warning_texts ==
        standard_columns().size());
}

TEST_CASE("a row that is put together from its cells is the row") {
  const Row empty;
  const Row full = full_row();
  Row copy;
  for (const Column& column : standard_columns()) {
    INFO(column.name);
    REQUIRE(column.set);
    column.set(copy, column.get(full));
    CHECK(column.get(copy) == column.get(full));
    if (column.name != "schema") CHECK(column.get(full) != column.get(empty));
  }
  CHECK(copy == full);
}

TEST_CASE("the page on the columns is the one that the table of columns makes") {
  check_expected_file(TPSP_SOURCE_DIR "/docs/columns.md", markdown(standard_columns()));
}

TEST_CASE("the columns that the Python scripts know are the program's") {
  check_expected_file(TPSP_SOURCE_DIR "/scripts/columns.json", columns_json(standard_columns()));
}

TEST_CASE("a column is of the kind that its values have") {
  const Row full = full_row();
  for (const Column& column : standard_columns()) {
    INFO(column.name);
    const Value value = column.get(full);
    const Kind kind = std::visit(
        [](const auto& held) {
          using Held = std::decay_t<decltype(held)>;
          if constexpr (std::is_same_v<Held, std::string>) return Kind::text;
          if constexpr (std::is_same_v<Held, double>) return Kind::number;
          if constexpr (std::is_integral_v<Held>) return Kind::integer;
          return std::is_same_v<Held, std::vector<std::string>> ? Kind::words : Kind::list;
        },
        value);
    CHECK(to_string(kind) == to_string(column.kind));
  }
}

TEST_CASE("every column has its own name and a meaning and a source") {
  std::set<std::string> names;
  for (const Column& column : standard_columns()) {
    CHECK(names.insert(column.name).second);
    CHECK(column.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string::npos);
    CHECK_FALSE(column.meaning.empty());
    CHECK_FALSE(column.source.empty());
  }
}

TEST_CASE("a value that was not measured is an empty cell") {
  const Row row;
  for (const char* name : {"latency_s", "latency_min_s", "latency_max_s", "tokens_per_s", "allocated_bytes",
                           "reserved_bytes", "max_abs_err", "max_rel_err"}) {
    CHECK(cell(name, row).empty());
  }
}

TEST_CASE("a count that only a model has is an empty cell in the row of a collective, and is read back from one") {
  Row row;
  row.collective = "all-reduce";
  for (const char* name : {"model", "layers", "plan", "batch", "seq", "seq_padded", "vocab_padded", "weights_bytes"}) {
    CHECK(cell(name, row).empty());
  }
  const auto format = format_of("x.csv", standard_columns());
  const Row copy = format->row(std::string(trim(format->line(row))));
  CHECK(copy.collective == "all-reduce");
  CHECK(copy.seq == 0);
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
  const std::string page = markdown({{"x", "s", "this | that", "here", [](const Row&) { return Value(); }}});
  CHECK_THAT(page, Catch::Contains("| `x` | s | this \\| that | here | CSV, JSON Lines |\n"));
}

TEST_CASE("lists are separated by semicolons") {
  CHECK(text(std::vector<std::string>{"drifting", "swap"}) == "drifting;swap");
  CHECK(text(std::vector<double>{0.5, 0.25}) == "0.5;0.25");
  CHECK(text(Value()).empty());
}

TEST_CASE("a value of another kind than the column's is refused in words") {
  Row row;
  const auto complaint = [&](const std::string& name, const Value& value) -> std::string {
    for (const Column& column : standard_columns()) {
      if (column.name != name) continue;
      try {
        column.set(row, value);
      } catch (const std::invalid_argument& error) {
        return error.what();
      }
    }
    return "accepted";
  };
  CHECK(complaint("status", "fine") == "'fine' is none of ok, failed, out_of_memory, skipped");
  CHECK(complaint("check", std::int64_t{1}) == "'1' is none of pass, fail, off");
  CHECK(complaint("layers", "2.5") == "'2.5' is no integer in range");
  CHECK(complaint("world", std::int64_t{1} << 40) == "'1099511627776' is no integer in range");
  CHECK(complaint("seed", std::int64_t{-1}) == "'-1' is no integer in range");
  CHECK(complaint("world", Value()) == "'' is no integer in range");
  CHECK(complaint("latency_s", "1e999") == "'1e999' is no number");
  CHECK(complaint("plan", 0.5) == "'0.5' is no text");
  CHECK(complaint("rank_samples_s", "x") == "'x' is no list of lists of numbers");
  CHECK(complaint("warning_texts", std::vector<std::string>{"x"}) == "there are not as many as warnings");
  CHECK(complaint("schema", std::int64_t{4}) == "its schema is 4, and 3 is this program's");
}

TEST_CASE("the help on columns has a unit and a meaning for each within eighty columns") {
  const std::string help = columns_help(standard_columns());
  CHECK_THAT(help, Catch::StartsWith("schema                               version of the meaning of the columns\n"));
  CHECK_THAT(help,
             Catch::Contains("\nlatency_s                s           time of one forward, one training step, or\n"));
  for (const std::string& line : split(help, '\n')) CHECK(line.size() <= 80);
}
