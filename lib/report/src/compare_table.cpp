#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include "cells.h"
#include "styles.h"
#include "tpsp/core/text.h"
#include "tpsp/report/compare_table.h"
#include "tpsp/results/measured.h"

namespace tpsp {
namespace {

constexpr std::size_t label_width = 31;  // the numbers take the rest
constexpr std::size_t most_unmatched = 10;

/// A column in which rows differ.
struct LabelField {
  Column column;
  std::size_t width = 0;
  bool left = false;
};

struct Labels {
  std::string shared;              ///< "model llama-7b · layers 2": what is the same in all rows
  std::vector<Column> headings;    ///< what stands above the rows that share it, since it is too wide for a field
  std::vector<LabelField> fields;  ///< what stands in each line
};

std::vector<Row> all_rows(const Comparison& comparison) {
  std::vector<Row> rows;
  for (const RowPair& pair : comparison.pairs) rows.push_back(pair.before);
  for (const UnmeasuredPair& pair : comparison.unmeasured) rows.push_back(pair.before);
  rows.insert(rows.end(), comparison.only_before.begin(), comparison.only_before.end());
  rows.insert(rows.end(), comparison.only_after.begin(), comparison.only_after.end());
  return rows;
}

std::size_t total_width(const std::vector<LabelField>& fields) {
  std::size_t total = fields.empty() ? 0 : fields.size() - 1;
  for (const LabelField& field : fields) total += field.width;
  return total;
}

/// Moves the first fields above the lines, and truncates the widest of the others, until the line holds them.
void narrow(Labels& labels) {
  constexpr std::size_t narrowest = 3;
  constexpr std::size_t fewest = 2;
  auto& fields = labels.fields;
  while (total_width(fields) > label_width && fields.size() > fewest) {
    labels.headings.push_back(fields.front().column);
    fields.erase(fields.begin());
  }
  while (total_width(fields) > label_width) {
    const auto widest =
        std::max_element(fields.begin(), fields.end(), [](const auto& a, const auto& b) { return a.width < b.width; });
    if (widest->width <= narrowest) return;
    --widest->width;
  }
}

Labels labels_of(const Comparison& comparison) {
  const std::vector<Row> rows = all_rows(comparison);
  Labels labels;
  for (const Column& column : comparison.matched_by) {
    if (rows.empty()) break;
    const Value first = column.get(rows.front());
    LabelField field{column, characters(column.name), std::holds_alternative<std::string>(first)};
    bool differs = false;
    for (const Row& row : rows) {
      const Value value = column.get(row);
      differs = differs || value != first;
      field.width = std::max(field.width, characters(text(value)));
    }
    if (differs) {
      labels.fields.push_back(field);
    } else if (!text(first).empty()) {
      labels.shared += fmt::format("{}{} {}", labels.shared.empty() ? "" : " · ", column.name, text(first));
    }
  }
  narrow(labels);
  return labels;
}

/// The cells of the fields and a space.
template <typename CellOf>
std::string label(const std::vector<LabelField>& fields, CellOf cell_of) {
  std::string line;
  for (const LabelField& field : fields) {
    const std::string cell = shortened(cell_of(field.column), field.width);
    if (!line.empty()) line += ' ';
    line += field.left ? fmt::format("{:<{}}", cell, field.width) : fmt::format("{:>{}}", cell, field.width);
  }
  return line.empty() ? line : shortened(line, label_width) + ' ';
}

std::string heading_of(const std::vector<Column>& columns, const Row& row) {
  std::string line;
  for (const Column& column : columns) {
    line += fmt::format("{}{} {}", line.empty() ? "" : " · ", column.name, text(column.get(row)));
  }
  return line;
}

/// The heading of `row` on lines of its own where it is another than `last`, which it replaces.
std::string new_heading(const std::vector<Column>& columns, const Row& row, std::string& last, bool color) {
  std::string heading = heading_of(columns, row);
  if (heading == last) return {};
  last = heading;
  std::string lines;
  for (const std::string& line : wrapped(heading, terminal_width)) lines += styled(line, dim, color) + '\n';
  return lines;
}

std::string label_of(const std::vector<LabelField>& fields, const Row& row) {
  return label(fields, [&](const Column& column) { return text(column.get(row)); });
}

std::string numbers(std::string_view before, std::string_view after, std::string_view ratio,
                    std::string_view interval) {
  return fmt::format("{:>8} {:>8} {:>6}  {:<12} ", before, after, ratio, interval);
}

const char* style_of(Verdict verdict) {
  if (verdict == Verdict::faster) return green;
  return verdict == Verdict::slower ? red : dim;
}

std::string indented(const std::string& text, const char* style, bool color) {
  std::string lines;
  for (const std::string& line : wrapped(text, terminal_width - 4)) lines += "    " + styled(line, style, color) + '\n';
  return lines;
}

/// What a pair's line has no place for.
std::string remarks(const RowPair& pair, bool color) {
  std::string lines;
  if (pair.error_growth) {
    const auto& [before, after] = *pair.error_growth;
    const auto times = before > 0 ? fmt::format(", {:.1f} times", after / before) : std::string();
    lines += indented(fmt::format("worse numbers: max_rel_err {:.1e} before, {:.1e} after{}", before, after, times),
                      red, color);
  }
  if (pair.broken_after > 0) {
    lines += indented(fmt::format("{} after {} not ok", counted(pair.broken_after, "further run"),
                                  pair.broken_after == 1 ? "is" : "are"),
                      red, color);
  }
  return lines;
}

std::string pair_line(const RowPair& pair, const std::vector<LabelField>& fields, bool color) {
  const auto& interval = pair.ratio.interval;
  const std::string range = interval ? ratio_text(interval->low) + ".." + ratio_text(interval->high) : std::string("-");
  return label_of(fields, pair.before) +
         numbers(human_seconds(pair.before_s), human_seconds(pair.after_s), ratio_text(pair.ratio.value), range) +
         styled(std::string(to_string(pair.ratio.verdict)), style_of(pair.ratio.verdict), color) + '\n' +
         remarks(pair, color);
}

std::string_view status_text(const Row& row) {
  return row.check == Check::fail ? "check failed" : to_string(row.status);
}

/// A case without a ratio, and what became of it.
struct OtherCase {
  const Row* row = nullptr;
  std::string status;
};

std::vector<OtherCase> others(const std::vector<Row>& rows) {
  std::vector<OtherCase> result;
  for (const Row& row : rows) result.push_back({&row, std::string(status_text(row))});
  return result;
}

std::vector<OtherCase> others(const std::vector<UnmeasuredPair>& pairs) {
  std::vector<OtherCase> result;
  for (const auto& [before, after] : pairs) {
    result.push_back({&before, fmt::format("{} before, {} after", status_text(before), status_text(after))});
  }
  return result;
}

std::string list(const char* title, const std::vector<OtherCase>& cases, const Labels& labels, bool color) {
  if (cases.empty()) return {};
  std::string lines = fmt::format("\n{} ({}):\n", title, cases.size());
  std::string heading;
  for (std::size_t i = 0; i < std::min(cases.size(), most_unmatched); ++i) {
    const auto& [row, status] = cases[i];
    lines += new_heading(labels.headings, *row, heading, color);
    lines += "    " + label_of(labels.fields, *row) + ' ' + status + '\n';
  }
  if (cases.size() > most_unmatched) lines += fmt::format("    and {} more\n", cases.size() - most_unmatched);
  return lines;
}

std::string paragraph(const std::string& text, const char* style, bool color) {
  std::string lines;
  for (const std::string& line : wrapped(text, terminal_width)) lines += styled(line, style, color) + '\n';
  return lines;
}

std::string counts(const Comparison& comparison) {
  std::array<int, 4> count{};
  for (const RowPair& pair : comparison.pairs) ++count.at(static_cast<std::size_t>(pair.ratio.verdict));
  const auto number_of = [&](Verdict verdict) { return count.at(static_cast<std::size_t>(verdict)); };
  return fmt::format("{} pair{}: {} faster, {} same, {} slower, {} undecided; margin {:g}%", comparison.pairs.size(),
                     comparison.pairs.size() == 1 ? "" : "s", number_of(Verdict::faster), number_of(Verdict::same),
                     number_of(Verdict::slower), number_of(Verdict::undecided), comparison.margin * 100);
}

/// What the verdicts rest on.
std::string basis(const Comparison& comparison) {
  const auto single = std::count_if(comparison.pairs.begin(), comparison.pairs.end(),
                                    [](const RowPair& pair) { return pair.runs_before + pair.runs_after == 2; });
  const auto all = static_cast<std::ptrdiff_t>(comparison.pairs.size());
  std::string text;
  if (single < all) text = "Intervals come from the spread between runs. ";
  if (single > 0) {
    text += single == all ? "With one run each the verdicts rest on the margin"
                          : fmt::format("{} with one run each rest on the margin", counted(single, "pair"));
    text += ": runs of one program differ by more than their own intervals, which scripts/repeat.sh would show.";
  }
  return text;
}

std::string broken(const Comparison& comparison) {
  if (comparison.broken_after == 0) return {};
  return fmt::format("After, {} failed or {} no longer measured.",
                     counted(static_cast<std::int64_t>(comparison.broken_after), "row"),
                     comparison.broken_after == 1 ? "is" : "are");
}

}  // namespace

std::string comparison_table(const Comparison& comparison, bool color) {
  const Labels labels = labels_of(comparison);
  std::string table;
  for (const std::string& note : comparison.notes) table += paragraph(note, red, color);
  if (!comparison.notes.empty()) table += '\n';
  table += paragraph(labels.shared, dim, color);
  if (!comparison.pairs.empty()) {
    const std::string header = label(labels.fields, [](const Column& column) { return column.name; }) +
                               numbers("before", "after", "ratio", "95% interval") + "verdict";
    table += (labels.shared.empty() ? "" : "\n") + styled(header, bold, color) + '\n';
    std::string heading;
    for (const RowPair& pair : comparison.pairs) {
      table += new_heading(labels.headings, pair.before, heading, color);
      table += pair_line(pair, labels.fields, color);
    }
  }
  table += list("not measured in both", others(comparison.unmeasured), labels, color);
  table += list("only before", others(comparison.only_before), labels, color);
  table += list("only after", others(comparison.only_after), labels, color);
  return table + '\n' + paragraph(counts(comparison), "", false) + paragraph(basis(comparison), dim, color) +
         paragraph(broken(comparison), red, color);
}

}  // namespace tpsp
