#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>

#include "results/example_row.h"
#include "results/text_columns.h"
#include "support/temporary_folder.h"
#include "support/thrown.h"
#include "tpsp/core/text.h"
#include "tpsp/results/results.h"

using namespace tpsp;
using Catch::Contains;

namespace {

std::string line(const std::string& ending, const std::string& plan, const std::string& message) {
  Row row;
  row.plan = plan;
  row.message = message;
  return format_of("r" + ending, two_columns())->line(row);
}

std::vector<Row> read_back(const std::string& name, const std::string& content) {
  const TemporaryFolder folder;
  write_file(folder / name, content);
  return read_results(folder / name, standard_columns());
}

std::string complaint(const std::string& name, const std::string& content) {
  const TemporaryFolder folder;
  write_file(folder / name, content);
  const std::string text = complaint_of([&] { read_results(folder / name, standard_columns()); });
  const std::string path = (folder / name).string();
  REQUIRE(text.starts_with(path));
  return text.substr(path.size());
}

std::string file_of(const std::string& ending, const std::vector<Row>& rows) {
  const auto format = format_of("r" + ending, standard_columns());
  std::string content = format->header();
  for (const Row& row : rows) content += format->line(row);
  return content;
}

void check_equal(const Row& row, const Row& expected, Detail most) {
  for (const Column& column : standard_columns()) {
    INFO(column.name);
    if (column.detail <= most) CHECK(text(column.get(row)) == text(column.get(expected)));
    if (column.detail <= most && most == Detail::raw) CHECK(column.get(row) == column.get(expected));
  }
}

}  // namespace

TEST_CASE("plain CSV cells are not quoted") { CHECK(line(".csv", "tp", "0.5 s") == "tp,0.5 s\n"); }

TEST_CASE("a CSV cell with a comma or a quote is quoted") {
  CHECK(line(".csv", "a,b", "say \"hi\"") == "\"a,b\",\"say \"\"hi\"\"\"\n");
}

TEST_CASE("a message of several lines stays one record on one line") {
  const std::string message = "out of memory\n\ttried 2 GB, \x1b[31mhad 1";
  CHECK(line(".csv", "tp", message) == "tp,\"out of memory  tried 2 GB,  [31mhad 1\"\n");
  CHECK(line(".md", "tp", message) == "| tp | out of memory  tried 2 GB,  [31mhad 1 |\n");
  CHECK(line(".jsonl", "tp", message) ==
        "{\"plan\":\"tp\",\"message\":\"out of memory\\n\\ttried 2 GB, \\u001b[31mhad 1\"}\n");
}

TEST_CASE("a bar or a backslash in a Markdown cell is escaped") {
  CHECK(line(".md", "a|b", "c\\|") == "| a\\|b | c\\\\\\| |\n");
  const Row row = format_of("r.md", two_columns())->row("| a\\|b | c\\\\\\| |");
  CHECK(row.plan == "a|b");
  CHECK(row.message == "c\\|");
}

TEST_CASE("a Markdown file begins with its schema and the names of its columns") {
  CHECK(format_of("r.md", two_columns())->header() ==
        "<!-- tpsp-bench results, schema 3 -->\n\n| plan | message |\n|---|---|\n");
}

TEST_CASE("empty cells are left out of JSON Lines") {
  CHECK(line(".jsonl", "tp", "") == "{\"plan\":\"tp\"}\n");
  CHECK(format_of("r.jsonl", standard_columns())->line(Row()).find("latency_s") == std::string::npos);
}

TEST_CASE("text that is no UTF-8 does not end the run") {
  CHECK(line(".jsonl", "\xFF", "") == "{\"plan\":\"\xEF\xBF\xBD\"}\n");
}

TEST_CASE("a results file of another ending is refused with the choices") {
  CHECK(complaint_of([] { format_of("r.txt", {}); }) ==
        "r.txt: a results file's ending decides its format (there is no format for '.txt'); use .csv, .jsonl or .md");
  CHECK_THAT(complaint_of([] { format_of("/dev/null", {}); }), Contains("(there is none); use .csv"));
}

TEST_CASE("a row comes back from JSON Lines in every field and digit") {
  const auto rows = read_back("r.jsonl", file_of(".jsonl", {full_row(), Row(), example_row()}));
  REQUIRE(rows.size() == 3);
  check_equal(rows[0], full_row(), Detail::raw);
  check_equal(rows[1], Row(), Detail::raw);
  check_equal(rows[2], example_row(), Detail::raw);
}

TEST_CASE("a row comes back from CSV in every field but the raw ones") {
  const auto rows = read_back("r.csv", file_of(".csv", {full_row(), Row(), example_row()}));
  REQUIRE(rows.size() == 3);
  check_equal(rows[0], full_row(), Detail::full);
  check_equal(rows[1], Row(), Detail::full);
  check_equal(rows[2], example_row(), Detail::full);
  CHECK(rows[0].samples_s.empty());
  CHECK(rows[0].warnings == std::vector<Warning>{{"drifting", ""}, {"swap", ""}});
}

TEST_CASE("a row comes back from a Markdown line in its brief fields") {
  const auto format = format_of("r.md", standard_columns());
  const std::string written = format->line(full_row());
  check_equal(format->row(written.substr(0, written.size() - 1)), full_row(), Detail::brief);
}

TEST_CASE("numbers that are none come back as such") {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  Row row = example_row();
  row.max_abs_err = std::numeric_limits<double>::quiet_NaN();
  row.max_rel_err = infinity;
  row.samples_s = {std::numeric_limits<double>::quiet_NaN(), -infinity, 1};
  row.rank_samples_s = {{}, {infinity}};
  for (const std::string ending : {".csv", ".jsonl"}) {
    const auto rows = read_back("r" + ending, file_of(ending, {row}));
    REQUIRE(rows.size() == 1);
    CHECK(std::isnan(rows[0].max_abs_err.value()));
    CHECK(rows[0].max_rel_err == infinity);
    if (ending == ".csv") continue;
    REQUIRE(rows[0].samples_s.size() == 3);
    CHECK(std::isnan(rows[0].samples_s[0]));
    CHECK(rows[0].samples_s[1] == -infinity);
    CHECK(rows[0].rank_samples_s == row.rank_samples_s);
  }
}

TEST_CASE("CSV with the line ends and the mark of a spreadsheet is read") {
  std::string content = "\xEF\xBB\xBF";
  for (const char c : file_of(".csv", {full_row(), Row()}))
    content += c == '\n' ? std::string("\r\n") : std::string(1, c);
  const auto rows = read_back("r.csv", content);
  REQUIRE(rows.size() == 2);
  check_equal(rows[0], full_row(), Detail::full);
}

TEST_CASE("columns may stand in any order and be missing or unknown") {
  auto rows = read_back("r.csv", "color,plan,schema\nred,tp,2\n\n\"b,l\",\"t\"\"p\",2\n");
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].plan == "tp");
  CHECK(rows[1].plan == "t\"p");
  rows = read_back("r.jsonl", "{\"color\": [{}], \"plan\": \"tp\", \"layers\": null, \"schema\": 2}\n");
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].plan == "tp");
}

TEST_CASE("a last line that a kill tore is left out when results are read") {
  CHECK(read_back("r.csv", "schema,plan,message\n2,tp,one\n2,t").size() == 1);
  CHECK(read_back("r.csv", "schema,plan,message\n2,tp,one\n2,tp,two").size() == 2);
  CHECK(read_back("r.jsonl", "{\"schema\":2}\n{\"schema\":2").size() == 1);
  CHECK(read_back("r.jsonl", "{\"schema\":2}\n{\"schema\":2}").size() == 2);
}

TEST_CASE("a line that is no row is named with its number and what to do") {
  CHECK(complaint("r.csv", "schema,status\n2,ok\n2,fine\n") ==
        ":3: this is no row of results (status: 'fine' is none of ok, failed, out_of_memory, skipped); fix the line "
        "or remove it");
  CHECK_THAT(complaint("r.csv", "schema,status\n2\n"), Contains(":2: ") && Contains("it has 1 cells for 2 columns"));
  CHECK_THAT(complaint("r.csv", "schema,plan\n2,\"tp\n"), Contains(":2: ") && Contains("a quoted cell does not end"));
  CHECK_THAT(complaint("r.csv", "schema,plan\n2,\"tp\"x\n"), Contains("text follows a quoted cell"));
  CHECK_THAT(complaint("r.jsonl", "{\"schema\":2}\nnotes\n"), Contains(":2: ") && Contains("it is no JSON object"));
  CHECK_THAT(complaint("r.jsonl", "{\"schema\":2,\"check\":\"maybe\"}\n"),
             Contains(":1: ") && Contains("check: 'maybe'"));
  CHECK_THAT(complaint("r.jsonl", "{\"schema\":2,\"plan\":{}}\n"), Contains("plan: neither text nor number nor list"));
  CHECK_THAT(complaint("r.jsonl", "{\"schema\":2,\"samples_s\":[1,\"x\"]}\n"), Contains("samples_s: 'x' is no number"));
  CHECK_THAT(complaint("r.jsonl", "{\"schema\":2,\"latency_s\":1e999}\n"), Contains("it is no JSON object"));
}

TEST_CASE("results of a newer tpsp-bench are refused before anything else in them") {
  CHECK(
      complaint("r.csv", "schema,status\n4,fine\n") ==
      ":2: the row's columns have another meaning (its schema is 4, and 3 is this program's); use a newer tpsp-bench");
  CHECK_THAT(complaint("r.jsonl", "{\"schema\":4,\"status\":7}"),
             Contains(":1: ") && Contains("use a newer tpsp-bench"));
  CHECK_THAT(complaint("r.jsonl", "{\"schema\":1}\n"), Contains("measure again with this tpsp-bench"));
}

TEST_CASE("rows of the schema before are read under the names of today") {
  const auto csv = read_back("r.csv", "plan,placement,collective,schema\n,in,seam,2\n,out,all-reduce,2\n");
  CHECK(csv.at(0).buffer == "registered");
  CHECK(csv.at(0).collective == "fused-add-norm");
  CHECK(csv.at(1).buffer == "user");
  CHECK(csv.at(1).collective == "all-reduce");
  const auto jsonl = read_back("r.jsonl", "{\"schema\":2,\"placement\":\"in\",\"collective\":\"seam\"}\n");
  CHECK(jsonl.at(0).buffer == "registered");
  CHECK(jsonl.at(0).collective == "fused-add-norm");
}

TEST_CASE("results without a schema are an older tpsp-bench's") {
  CHECK(complaint("r.csv", "status,run_id,model,layers,plan\nok,x,llama-7b,2,tp\n") ==
        ": these results have no column 'schema' (made by an older tpsp-bench); measure again with this tpsp-bench");
  CHECK_THAT(complaint("r.jsonl", "{\"plan\":\"tp\"}\n"), Contains("it has no schema"));
}

TEST_CASE("what is no file of results is refused") {
  CHECK_THAT(complaint("r.csv", "my notes\n"), Contains("this is no file of results (its first line is 'my notes')"));
  CHECK_THAT(complaint("r.csv", ""), Contains("it has no complete line"));
  CHECK_THAT(complaint("r.csv", "schema,plan,plan\n"), Contains("two of its columns have the same name"));
  CHECK_THAT(complaint("r.csv", "\"schema\n"), Contains("a quoted cell does not end"));
  CHECK_THAT(complaint("r.md", file_of(".md", {Row()})), Contains("give the .csv or .jsonl file of the same run"));
  CHECK_THAT(complaint("r.txt", ""), Contains("use .csv, .jsonl or .md"));
}

namespace {

/// Whether the content, read as a file, gives rows or is refused; anything else that happens is thrown.
bool is_harmless(const std::filesystem::path& path, const std::string& content) {
  std::filesystem::remove(path);  // some file systems flush a file that is written over
  write_file(path, content);
  try {
    static_cast<void>(read_results(path, standard_columns()));
    return true;
  } catch (const Error& error) {
    return error.code() == ExitCode::bad_input;
  }
}

}  // namespace

TEST_CASE("a results file truncated anywhere gives its complete rows or is refused") {
  const TemporaryFolder folder;
  for (const std::string ending : {".csv", ".jsonl"}) {
    const std::string content = file_of(ending, {full_row(), example_row()});
    for (std::size_t size = 0; size <= content.size(); ++size) {
      REQUIRE(is_harmless(folder / ("r" + ending), content.substr(0, size)));
    }
  }
}

TEST_CASE("bytes at random give rows or are refused") {
  const TemporaryFolder folder;
  std::mt19937 random(7);
  const auto below = [&](std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random);
  };
  for (const std::string ending : {".csv", ".jsonl"}) {
    const std::string valid = file_of(ending, {full_row(), example_row()});
    for (int i = 0; i < 2000; ++i) {
      std::string content = valid;
      for (std::size_t changes = below(6) + 1; changes > 0; --changes) {
        constexpr std::string_view likely = "\",\n\r{}[]:|\\0;e-";
        content[below(content.size())] = below(2) == 0 ? static_cast<char>(below(256)) : likely[below(likely.size())];
      }
      REQUIRE(is_harmless(folder / ("r" + ending), content));
    }
    for (int i = 0; i < 500; ++i) {
      std::string content(below(300), '\0');
      for (char& c : content) c = static_cast<char>(below(256));
      REQUIRE(is_harmless(folder / ("r" + ending), "schema,plan\n" + content));
      REQUIRE(is_harmless(folder / ("r" + ending), content));
    }
    REQUIRE(is_harmless(folder / ("r" + ending), std::string(100'000, '[')));
    REQUIRE(is_harmless(folder / ("r" + ending),
                        "{\"schema\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}\n"));
  }
}
