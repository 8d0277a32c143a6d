// The Error that a call throws, so that a test can look at its code and its text.
#pragma once

#include <catch2/catch.hpp>
#include <string>

#include "tpsp/core/error.h"

namespace tpsp {

/// Calls `function` and gives the Error it throws; fails the test if it throws none.
template <typename Function>
Error thrown_by(Function&& function) {
  try {
    function();
  } catch (const Error& error) {
    return error;
  }
  FAIL("no Error was thrown");
  throw;  // never reached: FAIL throws
}

/// The text of the bad_input that `function` throws.
template <typename Function>
std::string complaint_of(Function&& function) {
  const Error error = thrown_by(function);
  CHECK(error.code() == ExitCode::bad_input);
  return error.what();
}

/// The text of the internal error that `function` throws.
template <typename Function>
std::string defect_of(Function&& function) {
  const Error error = thrown_by(function);
  CHECK(error.code() == ExitCode::internal);
  return error.what();
}

}  // namespace tpsp
