// The program as a user starts it: alone or by mpirun, in a folder of its own, ended when it hangs.
#pragma once

#include <catch2/catch.hpp>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "support/temporary_folder.h"

namespace tpsp {

struct Outcome {
  int code = 0;  ///< 124 for a run that was ended after a minute
  std::string out;
  std::string err;
};

/// How a run is started. The caller's own TPSP_* variables are hidden from it; it computes on the CPU with one thread
/// a rank unless `environment` or the arguments say otherwise.
struct Start {
  int ranks = 0;  ///< 0: without mpirun
  std::map<std::string, std::string> environment{};
  std::string program = TPSP_BENCH;
};

/// A run that has ended, with the folder that it ran in.
class Run {
 public:
  Run(const TemporaryFolder& folder, const std::string& arguments, const Start& start = {});

  const Outcome& outcome() const { return outcome_; }
  int code() const { return outcome_.code; }
  const std::string& out() const { return outcome_.out; }
  const std::string& err() const { return outcome_.err; }

 private:
  Outcome outcome_;
  Catch::ScopedMessage transcript_;  ///< shown when an assertion of the test fails
};

/// Runs a shell command in `folder` for at most a minute.
Outcome run_command(const TemporaryFolder& folder, const std::string& command);

using Record = std::map<std::string, std::string>;

/// The rows of a CSV file without quoted line breaks, by column name.
std::vector<Record> read_csv(const std::filesystem::path& path);

/// The file's content; empty when there is none.
std::string text_of(const std::filesystem::path& path);
void write_text(const std::filesystem::path& path, const std::string& text);

/// Copies a CSV with another value in a column of its first row.
void set_first_cell(const TemporaryFolder& folder, const std::string& from, const std::string& to,
                    const std::string& column, const std::string& value);

std::int64_t integer(const Record& record, const std::string& column);
std::vector<std::string> lines_of(const std::string& text);
/// In characters, not bytes, of the longest line.
std::size_t widest_line(const std::string& text);

/// The message after "tpsp-bench: error: ". Fails the test when there is not exactly one such line, or when a stack
/// trace or an uncaught exception's text stands in stderr.
std::string complaint(const Run& run);

}  // namespace tpsp
