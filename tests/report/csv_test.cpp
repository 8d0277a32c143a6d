#include "tpsp/report/csv.h"

#include <catch2/catch.hpp>
#include <optional>

#include "report/example_row.h"
#include "support/temporary_folder.h"
#include "support/thrown.h"

using namespace tpsp;
using Catch::Contains;

namespace {

std::string content(const std::filesystem::path& path) { return read_file(path, std::size_t{1} << 20); }

std::vector<Column> two_columns() {
  return {{"plan", "", "plan", "--plan", [](const Row& row) { return row.plan; }},
          {"message", "", "why", "error", [](const Row& row) { return row.message; }}};
}

Row with_message(const std::string& message) {
  Row row = example_row();
  row.message = message;
  return row;
}

}  // namespace

TEST_CASE("plain cells are not quoted") {
  CHECK(csv_line(std::vector<std::string>{"tp", "", "0.5 s"}) == "tp,,0.5 s\n");
}

TEST_CASE("a cell with a comma or a quote or a line break is quoted") {
  CHECK(csv_line(std::vector<std::string>{"a,b", "say \"hi\"", "one\ntwo"}) ==
        "\"a,b\",\"say \"\"hi\"\"\",\"one\ntwo\"\n");
}

TEST_CASE("a new file begins with the header before any row") {
  const TemporaryFolder folder;
  const CsvResults results(folder / "r.csv", standard_columns());
  CHECK(content(folder / "r.csv") == content(TPSP_TEST_DATA "/columns.csv"));
}

TEST_CASE("a row is in the file when add returns") {
  const TemporaryFolder folder;
  CsvResults results(folder / "r.csv", two_columns());
  results.add(with_message("fine"));
  CHECK(content(folder / "r.csv") == "plan,message\ntp+sp,fine\n");
}

TEST_CASE("a second run appends to a file with the same columns") {
  const TemporaryFolder folder;
  CsvResults(folder / "r.csv", two_columns()).add(with_message("one"));
  CsvResults(folder / "r.csv", two_columns()).add(with_message("two"));
  CHECK(content(folder / "r.csv") == "plan,message\ntp+sp,one\ntp+sp,two\n");
}

TEST_CASE("a column added from outside by one line is in the file") {
  const TemporaryFolder folder;
  std::vector<Column> columns = standard_columns();
  columns.push_back(
      {"tokens", "tokens", "tokens", "batch", [](const Row& r) { return std::to_string(r.batch * r.seq); }});
  CsvResults(folder / "r.csv", columns).add(example_row());
  const std::string text = content(folder / "r.csv");
  CHECK_THAT(text, Contains(",message,tokens\n"));
  CHECK_THAT(text, Catch::EndsWith(",1024\n"));
}

TEST_CASE("a file with other columns is refused and left as it is") {
  const TemporaryFolder folder;
  const auto path = folder / "r.csv";
  write_file(path, "plan,note\ntp,hello\n");
  CHECK(complaint_of([&] { CsvResults(path, two_columns()); }) ==
        path.string() +
            ": the file has other columns than this run (column 2 is 'note' there and 'message' here); give another "
            "--out, "
            "or move the file away");
  CHECK(content(path) == "plan,note\ntp,hello\n");
}

TEST_CASE("a file with fewer or more columns is refused") {
  const TemporaryFolder folder;
  write_file(folder / "few.csv", "plan\n");
  CHECK_THAT(complaint_of([&] { CsvResults(folder / "few.csv", two_columns()); }),
             Contains("column 2 is missing there and 'message' here"));
  write_file(folder / "many.csv", "plan,message,more\n");
  CHECK_THAT(complaint_of([&] { CsvResults(folder / "many.csv", two_columns()); }),
             Contains("column 3 is 'more' there and missing here"));
}

TEST_CASE("a file that is no table is refused and left as it is") {
  const TemporaryFolder folder;
  write_file(folder / "notes.txt", "my notes");
  CHECK_THAT(complaint_of([&] { CsvResults(folder / "notes.txt", two_columns()); }),
             Contains("column 1 is 'my notes'"));
  CHECK(content(folder / "notes.txt") == "my notes");
}

TEST_CASE("a row that a kill tore is cut off before the next one") {
  const TemporaryFolder folder;
  const auto torn = GENERATE(as<std::string>(), "tp", "tp,\"says \"\"no", "tp,\"a,b");
  write_file(folder / "r.csv", "plan,message\ntp,one\n" + torn);
  CsvResults(folder / "r.csv", two_columns()).add(with_message("two"));
  CHECK(content(folder / "r.csv") == "plan,message\ntp,one\ntp+sp,two\n");
}

TEST_CASE("a whole last row without a line feed is kept") {
  const TemporaryFolder folder;
  write_file(folder / "r.csv", "plan,message\ntp,\"a,b\"");
  CsvResults(folder / "r.csv", two_columns()).add(with_message("two"));
  CHECK(content(folder / "r.csv") == "plan,message\ntp,\"a,b\"\ntp+sp,two\n");
}

TEST_CASE("a header that a kill tore is written again") {
  const TemporaryFolder folder;
  const auto torn = GENERATE(as<std::string>(), "pl", "plan,message");
  write_file(folder / "r.csv", torn);
  const CsvResults results(folder / "r.csv", two_columns());
  CHECK(content(folder / "r.csv") == "plan,message\n");
}

TEST_CASE("a header with a carriage return is the same header") {
  const TemporaryFolder folder;
  write_file(folder / "r.csv", "plan,message\r\ntp,one\r\n");
  CHECK_NOTHROW(CsvResults(folder / "r.csv", two_columns()).add(with_message("two")));
  CHECK_THAT(content(folder / "r.csv"), Catch::EndsWith("tp,one\r\ntp+sp,two\n"));
}

TEST_CASE("a message of several lines stays one record on one line") {
  const TemporaryFolder folder;
  CsvResults(folder / "r.csv", two_columns()).add(with_message("out of memory\n\ttried 2 GB, \x1b[31mhad 1"));
  CHECK(content(folder / "r.csv") == "plan,message\ntp+sp,\"out of memory  tried 2 GB,  [31mhad 1\"\n");
}

TEST_CASE("two runs cannot write one file at a time") {
  const TemporaryFolder folder;
  const CsvResults first(folder / "r.csv", two_columns());
  const Error error = thrown_by([&] { CsvResults(folder / "r.csv", two_columns()); });
  CHECK(error.code() == ExitCode::output_failed);
  CHECK_THAT(error.what(), Contains("another run is writing this file"));
}

TEST_CASE("a full disk fails the first write of the results") {
  const Error error = thrown_by([] { CsvResults("/dev/full", two_columns()); });
  CHECK(error.code() == ExitCode::output_failed);
  CHECK_THAT(error.what(), Contains("No space left on device"));
}
