#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include "cells.h"
#include "styles.h"
#include "tpsp/core/text.h"
#include "tpsp/report/compare.h"

namespace tpsp {
namespace {

constexpr std::size_t label_width = 31;  // the numbers take the rest
constexpr std::size_t most_unmatched = 10;

/// A column that tells rows apart.
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
  rows.insert(rows.end(), comparison.only_before.begin(), comparison.only_before.end());
  rows.insert(rows.end(), comparison.only_after.begin(), comparison.only_after.end());
  return rows;
}

std::size_t total_width(const std::vector<LabelField>& fields) {
  std::size_t total = fields.empty() ? 0 : fields.size() - 1;
  for (const LabelField& field : fields) total += field.width;
  return total;
}

/// Moves the first fields above the lines, and cuts the widest of the others, until the line holds them.
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

std::string pair_line(const RowPair& pair, const std::vector<LabelField>& fields, bool color) {
  const auto& interval = pair.ratio.interval;
  const std::string range = interval ? ratio_text(interval->low) + ".." + ratio_text(interval->high) : std::string("-");
  return label_of(fields, pair.before) +
         numbers(human_seconds(*pair.before.latency_s), human_seconds(*pair.after.latency_s),
                 ratio_text(pair.ratio.value), range) +
         styled(std::string(to_string(pair.ratio.verdict)), style_of(pair.ratio.verdict), color) + '\n';
}

std::string unmatched(const char* title, const std::vector<Row>& rows, const Labels& labels, bool color) {
  if (rows.empty()) return {};
  std::string lines = fmt::format("\n{} ({}):\n", title, rows.size());
  std::string heading;
  for (std::size_t i = 0; i < std::min(rows.size(), most_unmatched); ++i) {
    lines += new_heading(labels.headings, rows[i], heading, color);
    std::string line = "    " + label_of(labels.fields, rows[i]);
    if (!rows[i].latency_s) line += fmt::format(" no time: {}", to_string(rows[i].status));
    lines += line.substr(0, line.find_last_not_of(' ') + 1) + '\n';
  }
  if (rows.size() > most_unmatched) lines += fmt::format("    and {} more\n", rows.size() - most_unmatched);
  return lines;
}

std::string counts(const Comparison& comparison) {
  std::array<int, 4> count{};
  for (const RowPair& pair : comparison.pairs) ++count.at(static_cast<std::size_t>(pair.ratio.verdict));
  const auto number_of = [&](Verdict verdict) { return count.at(static_cast<std::size_t>(verdict)); };
  std::string line = fmt::format("{} pair{}: {} faster, {} same, {} slower, {} undecided", comparison.pairs.size(),
                                 comparison.pairs.size() == 1 ? "" : "s", number_of(Verdict::faster),
                                 number_of(Verdict::same), number_of(Verdict::slower), number_of(Verdict::undecided));
  if (comparison.margin > 0) line += fmt::format("; differences up to {:g}% count as same", comparison.margin * 100);
  std::string lines;
  for (const std::string& part : wrapped(line, terminal_width)) lines += part + '\n';
  return '\n' + lines;
}

}  // namespace

std::string comparison_table(const Comparison& comparison, bool color) {
  const Labels labels = labels_of(comparison);
  std::string table;
  for (const std::string& line : wrapped(labels.shared, terminal_width)) table += styled(line, dim, color) + '\n';
  if (!comparison.pairs.empty()) {
    const std::string header = label(labels.fields, [](const Column& column) { return column.name; }) +
                               numbers("before", "after", "ratio", "95% interval") + "verdict";
    table += (table.empty() ? "" : "\n") + styled(header, bold, color) + '\n';
    std::string heading;
    for (const RowPair& pair : comparison.pairs) {
      table += new_heading(labels.headings, pair.before, heading, color);
      table += pair_line(pair, labels.fields, color);
    }
  }
  table += unmatched("only before", comparison.only_before, labels, color);
  table += unmatched("only after", comparison.only_after, labels, color);
  return table + counts(comparison);
}

}  // namespace tpsp
