#include "values.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <type_traits>
#include <utility>

#include "tpsp/core/text.h"

namespace tpsp {
namespace {

std::invalid_argument no(const char* kind, const Value& value) {
  return std::invalid_argument(fmt::format("{} is no {}", quote(text(value)), kind));
}

/// The number that all of `text` is.
template <typename Number>
std::optional<Number> parsed(const std::string& text) {
  Number number{};
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number);
  return result.ec == std::errc() && result.ptr == end ? std::optional(number) : std::nullopt;
}

template <typename Integer>
Integer integer(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    if (const auto number = parsed<Integer>(*text)) return *number;
  }
  if (const auto* number = std::get_if<std::int64_t>(&value); number && std::in_range<Integer>(*number)) {
    return static_cast<Integer>(*number);
  }
  if (const auto* number = std::get_if<std::uint64_t>(&value); number && std::in_range<Integer>(*number)) {
    return static_cast<Integer>(*number);
  }
  throw no("integer in range", value);
}

template <typename Enumeration, std::size_t Count>
Enumeration word(const Value& value, const std::array<Enumeration, Count>& choices) {
  const std::string word = text(value);
  std::vector<std::string> words;
  for (const Enumeration choice : choices) {
    if (word == to_string(choice)) return choice;
    words.emplace_back(to_string(choice));
  }
  throw std::invalid_argument(fmt::format("{} is none of {}", quote(word), join(words, ", ")));
}

std::vector<std::string> words(const Value& value) {
  if (std::holds_alternative<std::monostate>(value)) return {};
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) return *list;
  if (const auto* text = std::get_if<std::string>(&value)) return split(*text, ';');
  throw no("list of words", value);
}

std::string text_of(std::monostate) { return {}; }
std::string text_of(const std::string& value) { return value; }
std::string text_of(std::int64_t value) { return fmt::format("{}", value); }
std::string text_of(std::uint64_t value) { return fmt::format("{}", value); }
std::string text_of(double value) { return std::isnan(value) ? "nan" : fmt::format("{:.9g}", value); }
template <typename Element>
std::string text_of(const std::vector<Element>& list) {
  std::vector<std::string> parts;
  parts.reserve(list.size());
  for (const Element& element : list) parts.push_back(text_of(element));
  return join(parts, ";");
}

template <typename List>
Value list_value(const List& list) {
  return list.empty() ? Value() : Value(list);
}

}  // namespace

std::string text(const Value& value) {
  return std::visit([](const auto& held) { return text_of(held); }, value);
}

OtherSchema::OtherSchema(std::int64_t schema)
    : std::invalid_argument(fmt::format("its schema is {}, and {} is this program's", schema, row_schema)),
      newer_(schema > row_schema) {}

Value value_of(const std::string& field) { return list_value(field); }
Value value_of(Status field) { return std::string(to_string(field)); }
Value value_of(Check field) { return std::string(to_string(field)); }
Value value_of(int field) { return std::int64_t{field}; }
Value value_of(std::int64_t field) { return field; }
Value value_of(std::uint64_t field) { return field; }
Value value_of(double field) { return field; }
Value value_of(const std::vector<double>& field) { return list_value(field); }
Value value_of(const std::vector<std::vector<double>>& field) { return list_value(field); }

Value value_of(const std::vector<Warning>& field) {
  std::vector<std::string> flags;
  flags.reserve(field.size());
  for (const Warning& warning : field) flags.push_back(warning.flag);
  return list_value(flags);
}

void read(const Value& value, int& field) { field = integer<int>(value); }
void read(const Value& value, std::int64_t& field) { field = integer<std::int64_t>(value); }
void read(const Value& value, std::uint64_t& field) { field = integer<std::uint64_t>(value); }

void read(const Value& value, std::string& field) {
  if (!std::holds_alternative<std::monostate>(value) && !std::holds_alternative<std::string>(value)) {
    throw no("text", value);
  }
  field = text(value);
}

void read(const Value& value, Status& field) {
  field = word(value, std::array{Status::ok, Status::failed, Status::out_of_memory, Status::skipped});
}

void read(const Value& value, Check& field) { field = word(value, std::array{Check::pass, Check::fail, Check::off}); }

void read(const Value& value, double& field) {
  std::optional<double> number;
  if (const auto* held = std::get_if<double>(&value)) number = *held;
  if (const auto* held = std::get_if<std::int64_t>(&value)) number = static_cast<double>(*held);
  if (const auto* held = std::get_if<std::uint64_t>(&value)) number = static_cast<double>(*held);
  if (const auto* held = std::get_if<std::string>(&value)) number = parsed<double>(*held);
  if (!number) throw no("number", value);
  field = *number;
}

void read(const Value& value, std::vector<Warning>& field) {
  field.clear();
  for (const std::string& flag : words(value)) field.push_back({flag, {}});
}

void read(const Value& value, std::vector<double>& field) {
  field.clear();
  if (const auto* list = std::get_if<std::vector<double>>(&value)) {
    field = *list;
    return;
  }
  for (const std::string& word : words(value)) read(word, field.emplace_back());
}

void read(const Value& value, std::vector<std::vector<double>>& field) {
  field.clear();
  if (std::holds_alternative<std::monostate>(value)) return;
  const auto* lists = std::get_if<std::vector<std::vector<double>>>(&value);
  if (lists == nullptr) throw no("list of lists of numbers", value);
  field = *lists;
}

Value warning_texts(const Row& row) {
  std::vector<std::string> texts;
  for (const Warning& warning : row.warnings) texts.push_back(warning.text);
  return list_value(texts);
}

void read_warning_texts(Row& row, const Value& value) {
  if (std::holds_alternative<std::monostate>(value)) return;
  const auto* texts = std::get_if<std::vector<std::string>>(&value);
  if (texts == nullptr) throw no("list of texts", value);
  if (texts->size() != row.warnings.size()) throw std::invalid_argument("there are not as many as warnings");
  for (std::size_t i = 0; i < texts->size(); ++i) row.warnings[i].text = (*texts)[i];
}

void read_schema(Row& row, const Value& value) {
  read(value, row.schema);
  if (row.schema < oldest_row_schema || row.schema > row_schema) throw OtherSchema(row.schema);
}

}  // namespace tpsp
