#include "tpsp/comm/world.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "tpsp/core/text.h"

namespace tpsp {
namespace {

// A message of `agree`: empty for success, else the exit code's digit, then the text.
std::string encode(const Error& error) { return std::to_string(static_cast<int>(error.code())) + error.what(); }

std::string run_and_report(const std::function<void()>& step) {
  try {
    step();
    return {};
  } catch (const Error& error) {
    return encode(error);
  } catch (const std::exception& error) {
    return encode(Error(ExitCode::rows_not_ok, message_of(error)));
  }
}

}  // namespace

void SerialWorld::abort(ExitCode code) noexcept { std::_Exit(static_cast<int>(code)); }

void agree(World& world, const std::function<void()>& step) {
  const auto reports = world.exchange(run_and_report(step));
  const auto failed = std::find_if(reports.begin(), reports.end(), [](const auto& report) { return !report.empty(); });
  if (failed == reports.end()) return;
  const auto code = static_cast<ExitCode>(failed->front() - '0');
  const auto message = failed->substr(1);
  const bool all_alike = std::all_of(reports.begin(), reports.end(), [&](const auto& r) { return r == *failed; });
  if (all_alike) throw AgreedError(code, message);
  throw AgreedError(code, fmt::format("rank {}: {}", failed - reports.begin(), message));
}

void require_same(World& world, const std::string& facts) {
  const auto all = world.exchange(facts);
  const auto ours = split(all.front(), '\n');
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank] == all.front()) continue;
    const auto theirs = split(all[rank], '\n');
    const auto [a, b] = std::mismatch(ours.begin(), ours.end(), theirs.begin(), theirs.end());
    throw AgreedError(ExitCode::bad_input,
                      Complaint{.where = fmt::format("rank {}", rank),
                                .what = fmt::format("it was not started as rank 0 was: '{}' here, '{}' on rank 0",
                                                    b == theirs.end() ? "" : *b, a == ours.end() ? "" : *a),
                                .remedy = "give all ranks the same program, options, TPSP_* variables and files"});
  }
}

std::string message_of(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  return torch_error != nullptr ? torch_error->what_without_backtrace() : error.what();
}

std::vector<std::vector<double>> exchange_numbers(World& world, const std::vector<double>& mine) {
  std::string bytes(mine.size() * sizeof(double), '\0');
  std::memcpy(bytes.data(), mine.data(), bytes.size());
  std::vector<std::vector<double>> all;
  for (const auto& theirs : world.exchange(bytes)) {
    all.emplace_back(theirs.size() / sizeof(double));
    std::memcpy(all.back().data(), theirs.data(), theirs.size());
  }
  return all;
}

std::vector<double> max_over_ranks(World& world, const std::vector<double>& mine) {
  std::vector<double> largest = mine;
  for (const auto& values : exchange_numbers(world, mine)) {
    std::transform(values.begin(), values.end(), largest.begin(), largest.begin(),
                   [](double a, double b) { return std::isnan(a) || a > b ? a : b; });
  }
  return largest;
}

}  // namespace tpsp
