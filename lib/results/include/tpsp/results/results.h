// Results files: CSV, JSON Lines and Markdown, chosen by the file's ending. One durable line a row.
#pragma once

#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tpsp/core/files.h"
#include "tpsp/results/columns.h"

namespace tpsp {

/// How rows of one format become lines, and lines rows.
class Format {
 public:
  Format() = default;
  Format(const Format&) = delete;
  Format& operator=(const Format&) = delete;
  virtual ~Format() = default;

  /// The lines before the first row, each with its line feed; empty for none. Equal headers mean equal columns.
  virtual std::string header() const = 0;
  /// The names of the columns in a header, this format's own or another file's; empty where headers have none.
  virtual std::vector<std::string> names(const std::string& header) const = 0;
  /// One line with its line feed. Control characters in a cell are escaped, or else become spaces.
  virtual std::string line(const Row& row) const = 0;
  /// The row of a complete line without its line feed; throws std::invalid_argument, saying why, for anything else.
  virtual Row row(const std::string& line) const = 0;
};

/// ".csv" (RFC 4180, with line feeds), ".jsonl" (one object a line, keys are column names, empty cells left out) or
/// ".md" (a table of the brief columns). Throws bad_input for another ending, with the choices.
std::unique_ptr<Format> format_of(const std::filesystem::path& path, std::vector<Column> columns);

/// The rows of a results file, with a last line torn by a kill left out. Columns that this program does not know are
/// ignored. Throws bad_input, naming file and line, for what is no results file, for a Markdown file, and for a schema
/// newer than this program's.
std::vector<Row> read_results(const std::filesystem::path& path, const std::vector<Column>& columns);

/// The files of one run, each locked against a second writer while the object lives. Each row is one write and one
/// fsync a file when add() returns.
///
/// A new file gets a header. An existing one is continued if its columns are the same, else bad_input names the first
/// that differs; JSON Lines has no header and is continued if its first row can be read. A last line torn by a kill is
/// removed first. Throws Error(output_failed) as AppendFile does.
class ResultFiles {
 public:
  /// With `resume`, rows that one file has and another lacks (a kill came between two writes) are added to the latter,
  /// from the file with the most detail, but not from Markdown, which lacks most of a row. Rows are identified by their
  /// keys; those without one are left alone.
  ResultFiles(const std::vector<std::filesystem::path>& paths, const std::vector<Column>& columns, bool resume);

  /// The rows that every file had already when resuming, whatever their status; else empty.
  const std::vector<Row>& done() const { return done_; }
  /// Writes to every file that did not have the row's key when resuming.
  void add(const Row& row);

 private:
  struct File {
    AppendFile file;
    std::unique_ptr<Format> format;
    std::set<std::string> keys{};  ///< found when resuming
  };
  void complete(const std::vector<std::vector<Row>>& rows);

  std::vector<File> files_;  ///< those with the most detail first, so that a kill loses none
  std::vector<Row> done_;
};

}  // namespace tpsp
