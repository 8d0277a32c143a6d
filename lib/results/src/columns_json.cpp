#include <nlohmann/json.hpp>

#include "tpsp/results/columns.h"

namespace tpsp {

std::string_view to_string(Detail detail) {
  switch (detail) {
    case Detail::brief: return "brief";
    case Detail::full: return "full";
    case Detail::raw: return "raw";
  }
  return "unknown";
}

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::text: return "text";
    case Kind::integer: return "integer";
    case Kind::number: return "number";
    case Kind::words: return "words";
    case Kind::list: return "list";
  }
  return "unknown";
}

std::string_view to_string(Subject subject) {
  switch (subject) {
    case Subject::the_case: return "case";
    case Subject::the_run: return "run";
    case Subject::measurement: return "measurement";
  }
  return "unknown";
}

std::string columns_json(const std::vector<Column>& columns) {
  using Json = nlohmann::ordered_json;
  Json json{{"schema", row_schema}, {"oldest_schema", oldest_row_schema}, {"columns", Json::object()}};
  for (const Column& column : columns) {
    auto& one = json["columns"][column.name];
    one = {{"kind", to_string(column.kind)},  {"detail", to_string(column.detail)},
           {"of", to_string(column.subject)}, {"unit", column.unit},
           {"meaning", column.meaning},       {"source", column.source}};
    if (!column.former.name.empty()) one["former_name"] = column.former.name;
    for (const auto& [then, now] : column.former.values) one["former_values"][then] = now;
  }
  return json.dump(1) + "\n";
}

}  // namespace tpsp
