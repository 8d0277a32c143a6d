#include "tpsp/results/results.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <stdexcept>

#include "formats.h"
#include "tpsp/core/error.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

constexpr const char* keep_it = "give another --out, or move the file away";

/// What a file holds behind its header.
struct Body {
  std::vector<std::string> lines;
  std::size_t first_number = 1;  ///< of these lines, in the file
  std::string torn;
};

std::string name_at(const std::vector<std::string>& names, std::size_t place) {
  return place < names.size() ? quote(names[place]) : "missing";
}

std::vector<std::string> names_there(const Format& format, const std::string& header) {
  try {
    return format.names(header);
  } catch (const std::invalid_argument&) {
    return {std::string(trim(header))};
  }
}

Error other_columns(const std::filesystem::path& path, const Format& format, const std::string& there) {
  const std::vector<std::string> here_names = format.names(format.header());
  const std::vector<std::string> there_names = names_there(format, there);
  const auto differs =
      std::mismatch(there_names.begin(), there_names.end(), here_names.begin(), here_names.end()).first;
  const auto place = static_cast<std::size_t>(differs - there_names.begin());
  const std::string why = there_names == here_names
                              ? "it begins with " + quote(split(there, '\n').front())
                              : fmt::format("column {} is {} there and {} here", place + 1, name_at(there_names, place),
                                            name_at(here_names, place));
  return bad_input({path.string(), "the file has other columns than this run", why, keep_it});
}

/// Throws for rows of an earlier schema: a case's key and columns are others now.
void require_present_schema(const std::filesystem::path& path, const Row& row) {
  if (row.schema == row_schema) return;
  throw bad_input({path.string(),
                   fmt::format("its rows have schema {}, and this program writes {}", row.schema, row_schema),
                   "rows of two schemas in one file could not be told apart", keep_it});
}

/// Of a format without a header: a file of something else is neither continued nor truncated.
void require_rows(const std::filesystem::path& path, const Format& format, const Body& body) {
  const std::string& first = body.lines.empty() ? body.torn : body.lines.front();
  if (!body.lines.empty()) {
    require_present_schema(path, row_at(format, first, path, 1));
  } else if (!first.starts_with("{\"") && first != "{") {
    throw bad_input({path.string(), "this is no file of results", "it begins with " + quote(first), keep_it});
  }
}

/// Writes the header, or what a kill left out of it; of an existing file, checks it.
Body begin(AppendFile& file, const Format& format) {
  const std::string header = format.header();
  const std::string content = file.empty() ? std::string() : read_text(file.path(), largest_results);
  if (header.starts_with(content)) {
    if (content.size() < header.size()) file.append(header.substr(content.size()));
    return {};
  }
  Lines lines = text_lines(content);
  const auto height = static_cast<std::size_t>(std::count(header.begin(), header.end(), '\n'));
  std::string there;
  for (std::size_t i = 0; i < std::min(height, lines.complete.size()); ++i) there += lines.complete[i] + '\n';
  if (lines.complete.size() < height) there += lines.torn;
  if (there != header) throw other_columns(file.path(), format, there);
  lines.complete.erase(lines.complete.begin(), lines.complete.begin() + static_cast<std::ptrdiff_t>(height));
  Body body{std::move(lines.complete), height + 1, std::move(lines.torn)};
  if (height == 0) require_rows(file.path(), format, body);
  return body;
}

/// The rows with a key, of equal ones the last.
std::vector<Row> keyed_rows(const std::filesystem::path& path, const Format& format, const Body& body) {
  std::vector<Row> rows;
  std::map<std::string, std::size_t> places;
  for (std::size_t i = 0; i < body.lines.size(); ++i) {
    if (trim(body.lines[i]).empty()) continue;
    Row row = row_at(format, body.lines[i], path, body.first_number + i);
    require_present_schema(path, row);
    if (row.key.empty()) continue;
    const auto [place, is_new] = places.emplace(row.key, rows.size());
    if (is_new) {
      rows.push_back(std::move(row));
    } else {
      rows[place->second] = std::move(row);
    }
  }
  return rows;
}

bool has_key(const std::vector<std::vector<Row>>& rows_of_files, const std::string& key) {
  return std::any_of(rows_of_files.begin(), rows_of_files.end(), [&](const std::vector<Row>& rows) {
    return std::any_of(rows.begin(), rows.end(), [&](const Row& row) { return row.key == key; });
  });
}

/// Ends a last line that lacks only its line feed, which an editor may have left out, and removes any other. One whose
/// row is in `richer` files is removed too: its last cell may be torn.
std::optional<Row> end_last_line(AppendFile& file, const Format& format, const Body& body,
                                 const std::vector<std::vector<Row>>& richer) {
  if (body.torn.empty()) return std::nullopt;
  auto row = torn_row(format, body.torn, file.path(), body.first_number + body.lines.size());
  if (row && !row->key.empty() && has_key(richer, row->key)) row.reset();
  if (row) {
    file.append("\n");
  } else {
    file.cut_torn_line();
  }
  return row;
}

constexpr int poorest = 2;
int poverty(const std::filesystem::path& path) {
  if (path.extension() == ".jsonl") return 0;
  return path.extension() == ".csv" ? 1 : poorest;
}

std::vector<std::filesystem::path> richest_first(std::vector<std::filesystem::path> paths) {
  std::stable_sort(paths.begin(), paths.end(), [](const auto& a, const auto& b) { return poverty(a) < poverty(b); });
  return paths;
}

/// By one path, another or a link; a file that is not there yet has no links.
bool is_same_file(const std::filesystem::path& a, const std::filesystem::path& b) {
  std::error_code unknown;
  if (std::filesystem::equivalent(a, b, unknown) && !unknown) return true;
  const auto path = std::filesystem::weakly_canonical(a, unknown);
  return !path.empty() && path == std::filesystem::weakly_canonical(b, unknown);
}

void refuse_repeated(const std::vector<std::filesystem::path>& paths) {
  for (auto path = paths.begin(); path != paths.end(); ++path) {
    const auto before =
        std::find_if(paths.begin(), path, [&](const auto& other) { return is_same_file(other, *path); });
    if (before == path) continue;
    const auto why = *before == *path ? std::string() : "as " + before->string();
    throw bad_input({path->string(), "the file is given twice", why, "give each results file once"});
  }
}

}  // namespace

ResultFiles::ResultFiles(const std::vector<std::filesystem::path>& paths, const std::vector<Column>& columns,
                         bool resume) {
  std::vector<std::unique_ptr<Format>> formats;
  refuse_repeated(paths);
  const auto ordered = richest_first(paths);
  formats.reserve(ordered.size());
  for (const auto& path : ordered) formats.push_back(format_of(path, columns));
  for (std::size_t i = 0; i < ordered.size(); ++i) {
    files_.push_back({AppendFile(ordered[i]), std::move(formats[i])});
  }

  std::vector<Body> bodies;
  for (File& file : files_) bodies.push_back(begin(file.file, *file.format));
  std::vector<std::vector<Row>> rows;
  for (std::size_t i = 0; i < files_.size(); ++i) {
    AppendFile& file = files_[i].file;
    const Format& format = *files_[i].format;
    std::vector<Row> own = resume ? keyed_rows(file.path(), format, bodies[i]) : std::vector<Row>();
    auto last = end_last_line(file, format, bodies[i], rows);
    if (last && resume && !has_key({own}, last->key)) own.push_back(std::move(*last));
    rows.push_back(std::move(own));
  }
  complete(rows);
}

void ResultFiles::complete(const std::vector<std::vector<Row>>& rows) {
  for (std::size_t i = 0; i < files_.size(); ++i) {
    std::set<std::string> here;
    for (const Row& row : rows[i]) here.insert(row.key);
    for (std::size_t other = 0; other < rows.size(); ++other) {
      if (other > i && poverty(files_[other].file.path()) == poorest) continue;  // it lacks most of a row
      for (const Row& row : rows[other]) {
        if (!here.insert(row.key).second) continue;
        files_[i].file.append(files_[i].format->line(row));
      }
    }
    files_[i].keys = std::move(here);
  }
  for (const std::vector<Row>& some : rows) {
    for (const Row& row : some) {
      const bool everywhere =
          std::all_of(files_.begin(), files_.end(), [&](const File& file) { return file.keys.contains(row.key); });
      const bool known = std::any_of(done_.begin(), done_.end(), [&](const Row& r) { return r.key == row.key; });
      if (everywhere && !known) done_.push_back(row);
    }
  }
}

void ResultFiles::add(const Row& row) {
  for (File& file : files_) {
    if (!file.keys.contains(row.key)) file.file.append(file.format->line(row));
  }
}

}  // namespace tpsp
