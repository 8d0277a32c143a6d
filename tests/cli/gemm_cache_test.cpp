// Kernels that a run chose, and later runs take.
#include "support/torch_and_catch.h"
// The line above comes first.
#include <algorithm>
#include <filesystem>
#include <string>

#include "run.h"
#include "tpsp/core/files.h"
#include "tpsp/gemm/weight.h"

using namespace tpsp;

namespace {

const std::string automatic_run = "--model llama-tiny --warmup 0 --reps 1 --tp --seq 9 --gemm auto ";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

}  // namespace

TEST_CASE("chosen kernels are kept, a later run takes them, and rows name the file") {
  const TemporaryFolder folder;
  const auto row_of_run = [&](const std::string& out) {
    const Run run(folder, automatic_run + "--gemm-cache kept/gemm.json --out " + out, {.ranks = 2});
    REQUIRE(run.code() == 0);
    return read_csv(folder / out).front();
  };
  const auto first = row_of_run("first.csv");
  CHECK(first.at("gemm_cache") == "kept/gemm.json");
  const auto file = folder / "kept/gemm.json";
  const auto kernels = packed_kernels(at::kFloat, at::kCPU);
  if (std::find(kernels.begin(), kernels.end(), GemmKernel::onednn) == kernels.end()) return;
  auto kept = read_file(file, 1 << 20);
  CHECK(kept.find("2 ranks with 1 threads") != std::string::npos);
  for (const auto* const kernel : {"amx", "mkl", "onednn"}) kept = replaced(kept, kernel, "plain");
  write_file(file, kept);
  CHECK(row_of_run("second.csv").at("gemm") == "plain");
  write_file(file, replaced(kept, "plain", "onednn"));
  CHECK(row_of_run("third.csv").at("gemm").find("onednn") != std::string::npos);
  CHECK(read_file(file, 1 << 20).find("plain") == std::string::npos);  // nothing was tried again
}

TEST_CASE("without an option the chosen kernels are kept in the user's cache folder, and with off nowhere") {
  const TemporaryFolder folder;
  const Run off(folder, automatic_run + "--gemm-cache off --out off.csv", {.ranks = 1});
  REQUIRE(off.code() == 0);
  CHECK_FALSE(std::filesystem::exists(folder / "cache"));
  CHECK(read_csv(folder / "off.csv").front().at("gemm_cache").empty());
  const Run kept(folder, automatic_run + "--out kept.csv", {.ranks = 1});
  REQUIRE(kept.code() == 0);
  CHECK(std::filesystem::exists(folder / "cache/tpsp-bench/gemm.json"));
  CHECK(read_csv(folder / "kept.csv").front().at("gemm_cache") == "cache/tpsp-bench/gemm.json");
}

TEST_CASE("a file that holds no choices is bad input, and one that can not be written a warning") {
  const TemporaryFolder folder;
  write_file(folder / "notes.txt", "not JSON");
  const Run refused(folder, automatic_run + "--gemm-cache notes.txt", {.ranks = 2});
  CHECK(refused.code() == 2);
  CHECK_THAT(refused.err(), Catch::Contains("--gemm-cache notes.txt: it is not a file of chosen kernels"));
  const Run warned(folder, automatic_run + "--gemm-cache notes.txt/gemm.json", {.ranks = 2});
  CHECK(warned.code() == 0);
  CHECK_THAT(warned.err(), Catch::Contains("kernels are chosen anew in every run"));
}
