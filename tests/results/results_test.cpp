#include "tpsp/results/results.h"

#include <catch2/catch.hpp>

#include "results/example_row.h"
#include "results/text_columns.h"
#include "support/temporary_folder.h"
#include "support/thrown.h"

using namespace tpsp;
using Catch::Contains;

namespace {

std::string content(const std::filesystem::path& path) { return read_file(path, std::size_t{1} << 20); }

std::vector<Column> keyed_columns() {
  return {text_column<&Row::key>("key"), text_column<&Row::plan>("plan"), text_column<&Row::message>("message")};
}

Row with_message(const std::string& message) {
  Row row = example_row();
  row.message = message;
  return row;
}

Row with_key(const std::string& key, const std::string& message = {}) {
  Row row = with_message(message);
  row.key = key;
  return row;
}

void write(const std::filesystem::path& path, const std::vector<Column>& columns, const std::vector<Row>& rows) {
  ResultFiles files({path}, columns, false);
  for (const Row& row : rows) files.add(row);
}

const std::string md_header = "<!-- tpsp-bench results, schema 3 -->\n\n| plan | message |\n|---|---|\n";

/// The beginning of a file of two_columns and a row's line.
struct Form {
  std::string name;
  std::string header;
  std::string one;
  std::string two;
};

Form any_form() {
  return GENERATE_COPY(values<Form>({
      {"r.csv", "plan,message\n", "tp,\"a,b\"\n", "tp+sp,two\n"},
      {"r.jsonl", "", "{\"plan\":\"tp\",\"message\":\"a,b\"}\n", "{\"plan\":\"tp+sp\",\"message\":\"two\"}\n"},
      {"r.md", md_header, "| tp | a,b |\n", "| tp+sp | two |\n"},
  }));
}

}  // namespace

TEST_CASE("a new file begins with the header before any row") {
  const TemporaryFolder folder;
  const ResultFiles results({folder / "r.csv"}, standard_columns(), false);
  CHECK(content(folder / "r.csv") == content(TPSP_TEST_DATA "/columns.csv"));
}

TEST_CASE("a row is in every file when add returns") {
  const TemporaryFolder folder;
  ResultFiles results({folder / "r.md", folder / "r.csv", folder / "r.jsonl"}, two_columns(), false);
  results.add(with_message("two"));
  CHECK(content(folder / "r.csv") == "plan,message\ntp+sp,two\n");
  CHECK(content(folder / "r.jsonl") == "{\"plan\":\"tp+sp\",\"message\":\"two\"}\n");
  CHECK(content(folder / "r.md") == md_header + "| tp+sp | two |\n");
}

TEST_CASE("a second run appends to a file with the same columns") {
  const TemporaryFolder folder;
  const Form form = any_form();
  write_file(folder / form.name, form.header + form.one);
  write(folder / form.name, two_columns(), {with_message("two")});
  CHECK(content(folder / form.name) == form.header + form.one + form.two);
}

TEST_CASE("a column added from outside by one line is in the files that have its detail") {
  const TemporaryFolder folder;
  auto columns = standard_columns();
  columns.push_back({"tokens", "tokens", "tokens", "batch", [](const Row& r) { return r.batch * r.seq; }});
  ResultFiles({folder / "r.csv", folder / "r.jsonl", folder / "r.md"}, columns, false).add(example_row());
  CHECK_THAT(content(folder / "r.csv"), Contains(",message,tokens\n") && Catch::EndsWith(",1024\n"));
  CHECK_THAT(content(folder / "r.jsonl"), Catch::EndsWith(",\"tokens\":1024}\n"));
  CHECK(content(folder / "r.md").find("tokens") == std::string::npos);
  CHECK(read_results(folder / "r.csv", columns).size() == 1);
}

TEST_CASE("a file with other columns is refused and left as it is") {
  const TemporaryFolder folder;
  const auto path = folder / "r.csv";
  write_file(path, "plan,note\ntp,hello\n");
  CHECK(complaint_of([&] { ResultFiles({path}, two_columns(), false); }) ==
        path.string() +
            ": the file has other columns than this run (column 2 is 'note' there and 'message' here); give another "
            "--out, or move the file away");
  CHECK(content(path) == "plan,note\ntp,hello\n");
}

TEST_CASE("a file with fewer or more columns is refused") {
  const TemporaryFolder folder;
  write_file(folder / "few.csv", "plan\n");
  CHECK_THAT(complaint_of([&] { ResultFiles({folder / "few.csv"}, two_columns(), false); }),
             Contains("column 2 is missing there and 'message' here"));
  write_file(folder / "many.csv", "plan,message,more\n");
  CHECK_THAT(complaint_of([&] { ResultFiles({folder / "many.csv"}, two_columns(), false); }),
             Contains("column 3 is 'more' there and missing here"));
  write_file(folder / "other.md", "<!-- tpsp-bench results, schema 3 -->\n\n| plan | note |\n|---|---|\n");
  CHECK_THAT(complaint_of([&] { ResultFiles({folder / "other.md"}, two_columns(), false); }),
             Contains("column 2 is 'note' there and 'message' here"));
  write_file(folder / "old.md", "<!-- tpsp-bench results, schema 1 -->\n\n| plan | message |\n|---|---|\n");
  CHECK_THAT(complaint_of([&] { ResultFiles({folder / "old.md"}, two_columns(), false); }),
             Contains("it begins with '<!-- tpsp-bench results, schema 1 -->'"));
}

TEST_CASE("a file that is no table of results is refused and left as it is") {
  const TemporaryFolder folder;
  const auto name = GENERATE(as<std::string>(), "notes.csv", "notes.jsonl", "notes.md");
  const auto notes = GENERATE(as<std::string>(), "my notes", "my notes\nmore\n");
  write_file(folder / name, notes);
  CHECK_THAT(complaint_of([&] { ResultFiles({folder / name}, two_columns(), false); }),
             Contains("my notes") || Contains("no JSON"));
  CHECK(content(folder / name) == notes);
}

TEST_CASE("a row torn by a kill is removed before the next one") {
  const TemporaryFolder folder;
  const Form form = any_form();
  const auto torn = GENERATE(1U, 2U, 4U);
  write_file(folder / form.name, form.header + form.one + form.two.substr(0, torn));
  write(folder / form.name, two_columns(), {with_message("two")});
  CHECK(content(folder / form.name) == form.header + form.one + form.two);
}

TEST_CASE("a CSV row torn by a kill inside a quoted cell is removed") {
  const TemporaryFolder folder;
  const auto torn = GENERATE(as<std::string>(), "tp,\"says \"\"no", "tp,\"a,b");
  write_file(folder / "r.csv", "plan,message\ntp,one\n" + torn);
  write(folder / "r.csv", two_columns(), {with_message("two")});
  CHECK(content(folder / "r.csv") == "plan,message\ntp,one\ntp+sp,two\n");
}

TEST_CASE("a complete last row without a line feed is kept") {
  const TemporaryFolder folder;
  const Form form = any_form();
  write_file(folder / form.name, form.header + form.one.substr(0, form.one.size() - 1));
  write(folder / form.name, two_columns(), {with_message("two")});
  CHECK(content(folder / form.name) == form.header + form.one + form.two);
}

TEST_CASE("a header that a kill tore is completed") {
  const TemporaryFolder folder;
  const Form form = any_form();
  CAPTURE(form.name);
  if (form.header.empty()) SUCCEED("JSON Lines have no header to tear");
  for (std::size_t size = 0; size < form.header.size(); ++size) {
    write_file(folder / form.name, form.header.substr(0, size));
    const ResultFiles results({folder / form.name}, two_columns(), false);
    REQUIRE(content(folder / form.name) == form.header);
  }
}

TEST_CASE("a file whose rows have an earlier schema is not continued") {
  const TemporaryFolder folder;
  write_file(folder / "r.jsonl", "{\"schema\":2,\"key\":\"0123\"}\n");
  for (const bool resume : {false, true}) {
    CHECK_THAT(complaint_of([&] { ResultFiles({folder / "r.jsonl"}, standard_columns(), resume); }),
               Catch::Contains("its rows have schema 2, and this program writes 3"));
  }
}

TEST_CASE("a header with carriage returns is the same header") {
  const TemporaryFolder folder;
  write_file(folder / "r.csv", "plan,message\r\ntp,one\r\n");
  write(folder / "r.csv", two_columns(), {with_message("two")});
  CHECK_THAT(content(folder / "r.csv"), Catch::EndsWith("tp,one\r\ntp+sp,two\n"));
}

TEST_CASE("a header behind a byte-order mark is the same header") {
  const TemporaryFolder folder;
  const std::string begin = "\xEF\xBB\xBFkey,plan,message\n";
  write_file(folder / "r.csv", begin + "a,tp,one\n");
  ResultFiles results({folder / "r.csv"}, keyed_columns(), true);
  CHECK(results.done().size() == 1);
  results.add(with_key("b", "two"));
  CHECK(content(folder / "r.csv") == begin + "a,tp,one\nb,tp+sp,two\n");
}

TEST_CASE("two runs cannot write one file at a time") {
  const TemporaryFolder folder;
  const ResultFiles first({folder / "r.csv"}, two_columns(), false);
  const Error error = thrown_by([&] { ResultFiles({folder / "r.csv"}, two_columns(), false); });
  CHECK(error.code() == ExitCode::output_failed);
  CHECK_THAT(error.what(), Contains("another run is writing this file"));
}

TEST_CASE("one file given twice is refused") {
  const TemporaryFolder folder;
  CHECK_THAT(complaint_of([&] {
               ResultFiles({folder / "r.csv", folder / "./r.csv"}, two_columns(), false);
             }),
             Contains("the file is given twice"));
}

TEST_CASE("one file given twice is refused by whatever name, with both") {
  const TemporaryFolder folder;
  write(folder / "r.csv", two_columns(), {example_row()});
  std::filesystem::create_symlink(folder / "r.csv", folder / "soft.csv");
  std::filesystem::create_hard_link(folder / "r.csv", folder / "hard.csv");
  std::filesystem::create_symlink("loop.csv", folder / "loop.csv");
  for (const auto* other : {"soft.csv", "hard.csv"}) {
    CHECK_THAT(complaint_of([&] {
                 ResultFiles({folder / "r.csv", folder / other}, two_columns(), false);
               }),
               Contains(std::string(other) + ": the file is given twice (as ") && Contains("r.csv)"));
  }
  const Error error = thrown_by([&] { ResultFiles({folder / "r.csv", folder / "loop.csv"}, two_columns(), false); });
  CHECK(error.code() == ExitCode::output_failed);
}

TEST_CASE("a device is refused as a results file") {
  const TemporaryFolder folder;
  std::filesystem::create_symlink("/dev/full", folder / "full.csv");
  const Error error = thrown_by([&] { ResultFiles({folder / "full.csv"}, two_columns(), false); });
  CHECK(error.code() == ExitCode::output_failed);
  CHECK_THAT(error.what(), Contains("full.csv: it does not keep what is written to it"));
}

namespace {

std::set<std::string> keys_of(const std::vector<Row>& rows) {
  std::set<std::string> keys;
  for (const Row& row : rows) keys.insert(row.key);
  return keys;
}

}  // namespace

TEST_CASE("a run that does not resume has nothing done") {
  const TemporaryFolder folder;
  write(folder / "r.csv", keyed_columns(), {with_key("a")});
  CHECK(ResultFiles({folder / "r.csv"}, keyed_columns(), false).done().empty());
  CHECK(keys_of(ResultFiles({folder / "r.csv"}, keyed_columns(), true).done()) == std::set<std::string>{"a"});
}

TEST_CASE("resuming adds the rows that one file has and another lacks") {
  const TemporaryFolder folder;
  write(folder / "r.jsonl", keyed_columns(), {with_key("a", "json"), with_key("b", "json")});
  write(folder / "r.csv", keyed_columns(), {with_key("b", "csv"), with_key("c", "csv")});
  write(folder / "r.md", keyed_columns(), {with_key("d", "md"), with_key("c", "md")});
  const ResultFiles results({folder / "r.md", folder / "r.csv", folder / "r.jsonl", folder / "new.csv"},
                            keyed_columns(), true);
  CHECK(keys_of(results.done()) == std::set<std::string>{"a", "b", "c"});
  CHECK(content(folder / "r.csv") == "key,plan,message\nb,tp+sp,csv\nc,tp+sp,csv\na,tp+sp,json\n");
  CHECK(content(folder / "new.csv") == "key,plan,message\na,tp+sp,json\nb,tp+sp,json\nc,tp+sp,csv\n");
  CHECK_THAT(content(folder / "r.jsonl"), Catch::EndsWith("{\"key\":\"c\",\"plan\":\"tp+sp\",\"message\":\"csv\"}\n"));
}

TEST_CASE("a case that Markdown alone has is done again, and not written there twice") {
  const TemporaryFolder folder;
  write(folder / "r.md", keyed_columns(), {with_key("a", "md")});
  {
    ResultFiles results({folder / "r.md", folder / "r.csv"}, keyed_columns(), true);
    CHECK(results.done().empty());
    results.add(with_key("a", "new"));
  }
  CHECK(content(folder / "r.csv") == "key,plan,message\na,tp+sp,new\n");
  CHECK_THAT(content(folder / "r.md"), Contains("| md |") && !Contains("| new |"));
}

TEST_CASE("resuming keeps the lists of JSON Lines and all digits") {
  const TemporaryFolder folder;
  write(folder / "a.jsonl", standard_columns(), {full_row()});
  write(folder / "r.csv", standard_columns(), {full_row()});
  const ResultFiles results({folder / "r.csv", folder / "a.jsonl", folder / "b.jsonl"}, standard_columns(), true);
  CHECK(content(folder / "b.jsonl") == content(folder / "a.jsonl"));
}

TEST_CASE("of a case that a file holds twice the last row is handed on") {
  const TemporaryFolder folder;
  write(folder / "r.csv", keyed_columns(), {with_key("a", "old"), with_key("b"), with_key("a", "new")});
  const ResultFiles results({folder / "r.csv", folder / "new.csv"}, keyed_columns(), true);
  CHECK(content(folder / "new.csv") == "key,plan,message\na,tp+sp,new\nb,tp+sp,\n");
}

TEST_CASE("a last row that may have lost the end of its message is taken from the richer file") {
  const TemporaryFolder folder;
  write(folder / "r.jsonl", keyed_columns(), {with_key("a", "long message")});
  write_file(folder / "r.csv", "key,plan,message\na,tp+sp,long");
  const ResultFiles results({folder / "r.csv", folder / "r.jsonl"}, keyed_columns(), true);
  CHECK(content(folder / "r.csv") == "key,plan,message\na,tp+sp,long message\n");
}

TEST_CASE("resuming from a line that is no row names file and line") {
  const TemporaryFolder folder;
  write_file(folder / "r.csv", "key,plan,message\na,tp,x\nhello\n");
  CHECK_THAT(complaint_of([&] { ResultFiles({folder / "r.csv"}, keyed_columns(), true); }),
             Contains("r.csv:3: this is no row of results"));
}

namespace {

/// Resumes with the files as they are, measures what is missing, and looks for every key in every file once.
void check_resumed(const std::vector<std::filesystem::path>& paths, const std::vector<Column>& columns,
                   const std::vector<Row>& rows) {
  {
    ResultFiles files(paths, columns, true);
    const auto done = keys_of(files.done());
    for (const Row& row : rows) {
      if (!done.contains(row.key)) files.add(row);
    }
  }
  for (const auto& path : paths) {
    const std::string text = content(path);
    for (const Row& row : rows) {
      std::size_t count = 0;
      for (auto place = text.find(row.key); place != std::string::npos; place = text.find(row.key, place + 1)) ++count;
      if (count != 1) FAIL(path << " has " << row.key << " " << count << " times:\n" << text);
    }
    if (!text.ends_with('\n')) FAIL(path << " ends with a torn line");
    if (path.extension() == ".md") continue;
    if (columns.size() > 10 && read_results(path, columns).size() != rows.size()) FAIL(path << " has other rows");
  }
}

void check_cuts(const std::vector<Column>& columns, std::vector<Row> rows, std::size_t step) {
  const TemporaryFolder folder;
  const std::vector<std::filesystem::path> paths = {folder / "r.csv", folder / "r.jsonl", folder / "r.md"};
  check_resumed(paths, columns, rows);
  std::vector<std::string> full;
  for (const auto& path : paths) full.push_back(content(path));
  const auto shorten = [&](std::size_t i, std::size_t size) {
    std::filesystem::remove(paths[i]);  // some file systems flush a file that is written over
    write_file(paths[i], full[i].substr(0, size));
  };
  for (std::size_t i = 0; i <= paths.size(); ++i) {  // one file is truncated, and then all
    const std::size_t end = i < paths.size() ? full[i].size() : full[1].size();
    for (std::size_t size = 0; size <= end; size += step) {
      for (std::size_t j = 0; j < paths.size(); ++j) shorten(j, i == j || i == paths.size() ? size : std::string::npos);
      check_resumed(paths, columns, rows);
    }
  }
  CHECK(true);
}

}  // namespace

TEST_CASE("a run killed at any byte and resumed has every case once in every file") {
  check_cuts(keyed_columns(), {with_key("k1", "a,\"b\" |"), with_key("k2")}, 1);
  Row first = full_row();
  first.key = "k3y";
  check_cuts(standard_columns(), {first, full_row()}, 307);
}
