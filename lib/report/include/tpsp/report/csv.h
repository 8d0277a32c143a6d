// Results as CSV (RFC 4180, with line feeds), one durable line a row.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "tpsp/core/files.h"
#include "tpsp/report/columns.h"

namespace tpsp {

/// One record and its line feed. Cells with a comma, a quote or a line break are quoted, quotes in them doubled.
std::string csv_line(std::span<const std::string> cells);

/// A CSV file that grows by one line a row; each line is on disk when add() returns. Line breaks and other control
/// characters in a cell become spaces, so that a record is always one line.
///
/// A new file gets the header. An existing one is continued if its header is the same, else bad_input names the first
/// column that differs. A last line torn by a kill is cut off first. Throws Error(output_failed) as AppendFile does.
class CsvResults {
 public:
  CsvResults(const std::filesystem::path& path, std::vector<Column> columns);

  void add(const Row& row);

 private:
  void require_same_header(const std::string& header) const;
  void end_last_line();

  AppendFile file_;
  std::vector<Column> columns_;
};

}  // namespace tpsp
