#include <fmt/format.h>

#include <stdexcept>

#include "formats.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

std::string markdown_cell(const std::string& value) {
  std::string result;
  for (const char c : value) {
    if (c == '|' || c == '\\') result += '\\';
    result += c;
  }
  return result;
}

std::string markdown_line(const std::vector<std::string>& cells) {
  std::string line = "|";
  for (const std::string& cell : cells) line += ' ' + markdown_cell(cell) + " |";
  return line + '\n';
}

std::vector<std::string> markdown_cells(const std::string& line) {
  if (!line.starts_with('|')) throw std::invalid_argument("it does not begin with |");
  std::vector<std::string> cells;
  std::string cell;
  bool open = true;  // characters follow the last |
  for (std::size_t i = 1; i < line.size(); ++i) {
    open = line[i] != '|';
    if (!open) {
      cells.emplace_back(trim(cell));
      cell.clear();
    } else if (line[i] == '\\' && i + 1 < line.size()) {
      cell += line[++i];
    } else {
      cell += line[i];
    }
  }
  if (open) throw std::invalid_argument("it does not end with |");
  return cells;
}

class MarkdownFormat final : public Format {
 public:
  explicit MarkdownFormat(std::vector<Column> columns) : columns_(std::move(columns)) {}

  std::string header() const override {
    std::string rule = "|";
    for (std::size_t i = 0; i < columns_.size(); ++i) rule += "---|";
    return fmt::format("<!-- tpsp-bench results, schema {} -->\n\n", row_schema) + markdown_line(names_of(columns_)) +
           rule + '\n';
  }

  std::vector<std::string> names(const std::string& header) const override {
    for (const std::string& line : split(header, '\n')) {
      if (line.starts_with('|')) return markdown_cells(std::string(trim(line)));
    }
    return {std::string(trim(header.substr(0, header.find('\n'))))};
  }

  std::string line(const Row& row) const override {
    std::vector<std::string> cells;
    for (const Column& column : columns_) cells.push_back(cell_text(column.get(row)));
    return markdown_line(cells);
  }

  Row row(const std::string& line) const override { return row_of(markdown_cells(line), columns_); }

 private:
  std::vector<Column> columns_;
};

}  // namespace

std::unique_ptr<Format> markdown_format(std::vector<Column> columns) {
  return std::make_unique<MarkdownFormat>(std::move(columns));
}

}  // namespace tpsp
