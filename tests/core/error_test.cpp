#include "tpsp/core/error.h"

#include <catch2/catch.hpp>

using namespace tpsp;

TEST_CASE("a complaint has the place before and the reason and the remedy after what is wrong") {
  const Complaint complaint{"plan.yaml:7:5", "no such module", "names look like layers.0", "correct the rule"};
  CHECK(complaint.text() == "plan.yaml:7:5: no such module (names look like layers.0); correct the rule");
}

TEST_CASE("empty parts of a complaint leave no punctuation behind") {
  CHECK(Complaint{"", "it broke"}.text() == "it broke");
  CHECK(Complaint{"here", "it broke"}.text() == "here: it broke");
  CHECK(Complaint{"", "it broke", "", "try again"}.text() == "it broke; try again");
}

TEST_CASE("an error carries its exit code and the complaint's text") {
  const Error error(ExitCode::rows_not_ok, Complaint{"rank 1", "did not arrive"});
  CHECK(error.code() == ExitCode::rows_not_ok);
  CHECK(std::string(error.what()) == "rank 1: did not arrive");
  CHECK(bad_input({"--seq", "is empty"}).code() == ExitCode::bad_input);
}

TEST_CASE("an internal error says that it is a defect and is no bad input") {
  const Error error = internal_error({"GEMM", "the input has 3 rows", "the output has 4"});
  CHECK(error.code() == ExitCode::internal);
  CHECK(std::string(error.what()) ==
        "internal error in GEMM: the input has 3 rows (the output has 4); "
        "this is a defect of tpsp-bench: please report it with the command line, plan and model");
}
