// Between the fields of Row and the values of cells.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "tpsp/results/columns.h"

namespace tpsp {

/// A row whose columns have another meaning than this program's.
class OtherSchema : public std::invalid_argument {
 public:
  explicit OtherSchema(std::int64_t schema);

  bool newer() const { return newer_; }

 private:
  bool newer_;
};

Value value_of(const std::string& field);  ///< empty text is an empty cell, as are empty lists
Value value_of(Status field);
Value value_of(Check field);
Value value_of(int field);
Value value_of(std::int64_t field);
Value value_of(std::uint64_t field);
Value value_of(double field);
Value value_of(const std::vector<Warning>& field);  ///< their flags
Value value_of(const std::vector<double>& field);
Value value_of(const std::vector<std::vector<double>>& field);
template <typename Field>
Value value_of(const std::optional<Field>& field) {
  return field ? value_of(*field) : Value();
}

// The way back: from a value of the field's kind, or from its text. Throws std::invalid_argument for other values.
void read(const Value& value, std::string& field);
void read(const Value& value, Status& field);
void read(const Value& value, Check& field);
void read(const Value& value, int& field);
void read(const Value& value, std::int64_t& field);
void read(const Value& value, std::uint64_t& field);
void read(const Value& value, double& field);
void read(const Value& value, std::vector<Warning>& field);  ///< without texts
void read(const Value& value, std::vector<double>& field);
void read(const Value& value, std::vector<std::vector<double>>& field);
template <typename Field>
void read(const Value& value, std::optional<Field>& field) {
  field.reset();
  if (!std::holds_alternative<std::monostate>(value)) read(value, field.emplace());
}

// The texts of warnings, a column next to the one of their flags.
Value warning_texts(const Row& row);
void read_warning_texts(Row& row, const Value& value);

/// Throws OtherSchema for any but oldest_row_schema ... row_schema.
void read_schema(Row& row, const Value& value);

}  // namespace tpsp
