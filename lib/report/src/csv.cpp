#include "tpsp/report/csv.h"

#include <fmt/format.h>

#include <algorithm>

#include "tpsp/core/error.h"
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

std::string on_one_line(std::string value) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  std::replace_if(value.begin(), value.end(), is_control, ' ');
  return value;
}

std::string header_line(const std::vector<Column>& columns) {
  std::vector<std::string> names;
  for (const Column& column : columns) names.push_back(column.name);
  return csv_line(names);
}

/// The cells of one line that may be incomplete; nothing for a line that ends inside a quoted cell.
std::size_t count_cells(std::string_view line) {
  bool quoted = false;
  std::size_t cells = 1;
  for (const char c : line) {
    if (c == '"') quoted = !quoted;
    if (c == ',' && !quoted) ++cells;
  }
  return quoted ? 0 : cells;
}

std::string name_at(const std::vector<std::string>& names, std::size_t place) {
  return place < names.size() ? quote(names[place]) : "missing";
}

}  // namespace

std::string csv_line(std::span<const std::string> cells) {
  std::string line;
  for (const std::string& cell : cells) {
    if (&cell != cells.data()) line += ',';
    line += csv_cell(cell);
  }
  return line + '\n';
}

CsvResults::CsvResults(const std::filesystem::path& path, std::vector<Column> columns)
    : file_(path), columns_(std::move(columns)) {
  const std::string header = header_line(columns_);
  // A run that was killed in its first write leaves a part of the header and nothing else.
  if (!file_.empty() && header.starts_with(file_.torn_line()) && file_.torn_line() == file_.first_line()) {
    file_.cut_torn_line();
  }
  if (file_.empty()) {
    file_.append(header);
    return;
  }
  require_same_header(header);
  end_last_line();
}

void CsvResults::require_same_header(const std::string& header) const {
  const std::string_view here = trim(file_.first_line());  // a file that was edited elsewhere may have CRLF
  const std::string_view wanted = trim(header);
  if (here == wanted) return;
  const std::vector<std::string> here_names = split(here, ',');
  const std::vector<std::string> wanted_names = split(wanted, ',');
  const auto differs = std::mismatch(here_names.begin(), here_names.end(), wanted_names.begin(), wanted_names.end());
  const auto place = static_cast<std::size_t>(differs.first - here_names.begin());
  throw bad_input({file_.path().string(), "the file has other columns than this run",
                   fmt::format("column {} is {} there and {} here", place + 1, name_at(here_names, place),
                               name_at(wanted_names, place)),
                   "give another --out, or move the file away"});
}

void CsvResults::end_last_line() {
  const std::string torn = file_.torn_line();
  if (torn.empty()) return;
  // A person's editor may have left out the last line feed; such a row is whole and stays.
  if (count_cells(torn) == columns_.size()) {
    file_.append("\n");
  } else {
    file_.cut_torn_line();
  }
}

void CsvResults::add(const Row& row) {
  std::vector<std::string> cells;
  for (const Column& column : columns_) cells.push_back(on_one_line(column.cell(row)));
  file_.append(csv_line(cells));
}

}  // namespace tpsp
