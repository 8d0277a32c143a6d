#include <fmt/format.h>

#include <filesystem>
#include <map>

#include "choices.h"
#include "commands.h"
#include "tpsp/core/error.h"
#include "tpsp/core/files.h"
#include "tpsp/core/text.h"
#include "tpsp/results/results.h"

namespace tpsp {
namespace {

/// Rows in the order of the files, each case once: where it is first, unless a later one is ok and that is not.
class MergedRows {
 public:
  void add(const Row& row) {
    const auto [place, is_new] = places_.try_emplace(row.key, rows_.size());
    if (is_new || row.key.empty()) {
      rows_.push_back(row);
      return;
    }
    ++repeated_;
    auto& known = rows_[place->second];
    if (known.status != Status::ok && row.status == Status::ok) known = row;
  }
  const std::vector<Row>& rows() const { return rows_; }
  std::int64_t repeated() const { return repeated_; }

 private:
  std::vector<Row> rows_;
  std::map<std::string, std::size_t> places_;
  std::int64_t repeated_ = 0;
};

}  // namespace

void merge_command(const CommandLine& line, const Parts& parts) {
  const Settings settings(line);
  const auto& [output, where] = settings.at("output");
  const auto format = format_of(output, parts.columns);
  if (std::filesystem::exists(output)) {
    throw bad_input({.where = where,
                     .what = quote(output) + " is there already",
                     .why = "what it holds would be lost",
                     .remedy = "remove it, or give another name"});
  }
  MergedRows merged;
  for (const auto& file : line.files) {
    for (const auto& row : read_results(file, parts.columns)) merged.add(row);
  }
  std::string text = format->header();
  for (const auto& row : merged.rows()) text += format->line(row);
  write_file(output, text);
  const auto repeated =
      merged.repeated() == 0 ? "" : fmt::format("; {} there more than once", counted(merged.repeated(), "case"));
  fmt::print("{} of {} in {}{}\n", counted(static_cast<std::int64_t>(merged.rows().size()), "row"),
             counted(static_cast<std::int64_t>(line.files.size()), "file"), output, repeated);
}

}  // namespace tpsp
