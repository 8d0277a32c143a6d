#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <type_traits>

#include "formats.h"
#include "values.h"

namespace tpsp {
namespace {

using Json = nlohmann::ordered_json;

template <typename Plain>
Json json_of(const Plain& value) {
  return value;
}
Json json_of(std::monostate) { return nullptr; }
Json json_of(double value) {
  if (std::isfinite(value)) return value;
  return text(value);  // JSON has no number for these
}
template <typename Element>
Json json_of(const std::vector<Element>& list) {
  Json result = Json::array();
  for (const Element& element : list) result.push_back(json_of(element));
  return result;
}

double number_of(const Json& json) {
  double number = 0;
  if (json.is_string()) {
    read(Value(json.get<std::string>()), number);
  } else if (json.is_number()) {
    number = json.get<double>();
  } else {
    throw std::invalid_argument("a list has something else than numbers in it");
  }
  return number;
}

std::vector<double> numbers_of(const Json& json) {
  if (!json.is_array()) throw std::invalid_argument("a list has something else than lists in it");
  std::vector<double> numbers;
  for (const Json& element : json) numbers.push_back(number_of(element));
  return numbers;
}

Value list_of(const Json& json) {
  if (json.empty()) return {};
  if (json.front().is_array()) {
    std::vector<std::vector<double>> lists;
    for (const Json& element : json) lists.push_back(numbers_of(element));
    return lists;
  }
  if (std::all_of(json.begin(), json.end(), [](const Json& element) { return element.is_string(); })) {
    return json.get<std::vector<std::string>>();
  }
  return numbers_of(json);
}

Value value_of_json(const Json& json) {
  switch (json.type()) {
    case Json::value_t::null: return {};
    case Json::value_t::string: return json.get<std::string>();
    case Json::value_t::number_float: return json.get<double>();
    case Json::value_t::number_integer: return json.get<std::int64_t>();
    case Json::value_t::number_unsigned: return json.get<std::uint64_t>();
    case Json::value_t::array: return list_of(json);
    default: throw std::invalid_argument("neither text nor number nor list");
  }
}

class JsonlFormat final : public Format {
 public:
  explicit JsonlFormat(std::vector<Column> columns) : columns_(std::move(columns)) {}

  std::string header() const override { return {}; }
  std::vector<std::string> names(const std::string&) const override { return {}; }

  std::string line(const Row& row) const override {
    Json object = Json::object();
    for (const Column& column : columns_) {
      const Value value = column.get(row);
      if (value == Value() || value == Value(std::string())) continue;
      object[column.name] = std::visit([](const auto& held) { return json_of(held); }, value);
    }
    return object.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
  }

  Row row(const std::string& line) const override {
    const Json object = Json::parse(line, nullptr, false);
    if (!object.is_object()) throw std::invalid_argument("it is no JSON object");
    Row row;
    for (const Column& column : columns_) {
      auto cell = object.find(column.name);
      if (cell == object.end() && !column.former.name.empty()) cell = object.find(column.former.name);
      if (cell != object.end() && !cell->is_null()) {
        put(row, column, value_in(*cell, column));
      } else if (column.name == "schema") {
        throw std::invalid_argument("it has no schema");
      }
    }
    return row;
  }

 private:
  static Value value_in(const Json& cell, const Column& column) {
    try {
      return value_of_json(cell);
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument(column.name + ": " + error.what());
    }
  }

  std::vector<Column> columns_;
};

}  // namespace

std::unique_ptr<Format> jsonl_format(std::vector<Column> columns) {
  return std::make_unique<JsonlFormat>(std::move(columns));
}

}  // namespace tpsp
