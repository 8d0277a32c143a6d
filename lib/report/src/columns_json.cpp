#include <fmt/format.h>

#include <iterator>

#include "tpsp/report/columns.h"

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

std::string columns_json(const std::vector<Column>& columns) {
  std::string json = fmt::format("{{\n  \"schema\": {},\n  \"columns\": {{", row_schema);
  std::string_view end_of_last;
  for (const Column& column : columns) {
    fmt::format_to(std::back_inserter(json), "{}\n    \"{}\": {{\"kind\": \"{}\", \"detail\": \"{}\"}}", end_of_last,
                   column.name, to_string(column.kind), to_string(column.detail));
    end_of_last = ",";
  }
  return json + "\n  }\n}\n";
}

}  // namespace tpsp
