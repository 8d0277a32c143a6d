#include <stdexcept>

#include "formats.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

std::string csv_cell(const std::string& value) {
  if (value.find_first_of(",\"\r\n") == std::string::npos) return value;
  std::string quoted = "\"";
  for (const char c : value) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string csv_line(const std::vector<std::string>& cells) {
  std::vector<std::string> quoted;
  quoted.reserve(cells.size());
  for (const std::string& cell : cells) quoted.push_back(csv_cell(cell));
  return join(quoted, ",") + '\n';
}

/// The quoted cell that begins at `place`, which is moved behind its closing quote.
std::string quoted_cell(const std::string& line, std::size_t& place) {
  std::string cell;
  for (++place; place < line.size(); ++place) {
    if (line[place] == '"') {
      ++place;
      if (place == line.size() || line[place] != '"') return cell;
    }
    cell += line[place];
  }
  throw std::invalid_argument("a quoted cell does not end");
}

std::vector<std::string> csv_cells(const std::string& line) {
  std::vector<std::string> cells;
  for (std::size_t place = 0;; ++place) {
    if (place < line.size() && line[place] == '"') {
      cells.push_back(quoted_cell(line, place));
      if (place < line.size() && line[place] != ',') throw std::invalid_argument("text follows a quoted cell");
    } else {
      const std::size_t end = std::min(line.find(',', place), line.size());
      cells.push_back(line.substr(place, end - place));
      place = end;
    }
    if (place >= line.size()) return cells;
  }
}

class CsvFormat final : public Format {
 public:
  explicit CsvFormat(std::vector<Column> columns) : columns_(std::move(columns)) {}

  std::string header() const override { return csv_line(names_of(columns_)); }

  std::vector<std::string> names(const std::string& header) const override {
    return csv_cells(std::string(trim(header)));
  }

  std::string line(const Row& row) const override {
    std::vector<std::string> cells;
    for (const Column& column : columns_) cells.push_back(cell_text(column.get(row)));
    return csv_line(cells);
  }

  Row row(const std::string& line) const override { return row_of(csv_cells(line), columns_); }

 private:
  std::vector<Column> columns_;
};

}  // namespace

std::unique_ptr<Format> csv_format(std::vector<Column> columns) {
  return std::make_unique<CsvFormat>(std::move(columns));
}

}  // namespace tpsp
