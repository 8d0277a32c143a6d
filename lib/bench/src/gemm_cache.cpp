#include "tpsp/bench/gemm_cache.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>
#include <sstream>
#include <system_error>
#include <utility>

#include "tpsp/core/environment.h"
#include "tpsp/core/error.h"
#include "tpsp/core/files.h"

namespace tpsp {
namespace {

constexpr std::size_t largest_file = 16 << 20;

std::optional<GemmKernel> kernel_called(const std::string& name) {
  for (const auto kernel : all_kernels()) {
    if (to_string(kernel) == name) return kernel;
  }
  return std::nullopt;
}

std::string text_of(const ChosenGemm& of) {
  const auto& [size, gemm] = of;
  auto text = fmt::format("{}x{}x{}", size.m, size.n, size.k);
  if (gemm != LinearGemm::forward) text += fmt::format(":{}", to_string(gemm));
  return text;
}

/// What stands before and after a colon.
std::pair<std::string, std::string> parts_of(const std::string& text) {
  const auto colon = text.find(':');
  if (colon == std::string::npos) return {text, std::string(to_string(LinearGemm::forward))};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

std::optional<LinearGemm> gemm_called(const std::string& name) {
  for (const auto gemm : linear_gemms()) {
    if (to_string(gemm) == name) return gemm;
  }
  return std::nullopt;
}

std::optional<ProductSize> size_in(const std::string& text) {
  std::istringstream in(text);
  ProductSize size{};
  char first = 0;
  char second = 0;
  if (!(in >> size.m >> first >> size.n >> second >> size.k) || first != 'x' || second != 'x') return std::nullopt;
  return in.peek() == std::istringstream::traits_type::eof() ? std::optional(size) : std::nullopt;
}

// Not what another version's kernels or GEMMs are called.
void note(KnownChoices& choices, const ProductSize& size, const std::string& gemm_name, const std::string& name) {
  const auto gemm = gemm_called(gemm_name);
  const auto kernel = kernel_called(name);
  if (gemm && kernel) choices[{size, *gemm}] = *kernel;
}

[[noreturn]] void refuse(const std::filesystem::path& file, const std::string& reason) {
  throw bad_input({.where = "--gemm-cache " + file.string(),
                   .what = "it is not a file of chosen kernels",
                   .why = reason,
                   .remedy = "delete it, or use another file or --gemm-cache off"});
}

KnownChoices choices_of(const nlohmann::json& json, const std::filesystem::path& file) {
  KnownChoices choices;
  for (const auto& [text, name] : json.get<std::map<std::string, std::string>>()) {
    const auto [size_text, gemm_name] = parts_of(text);
    const auto size = size_in(size_text);
    if (!size) refuse(file, fmt::format("'{}' is no size like 1024x5504x4096", text));
    note(choices, *size, gemm_name, name);
  }
  return choices;
}

}  // namespace

GemmCache::GemmCache(std::filesystem::path file) : file_(std::move(file)) {
  std::error_code ignored;
  if (!std::filesystem::exists(file_, ignored)) return;
  const auto text = read_file(file_, largest_file);
  try {
    for (const auto& [machine, json] : nlohmann::json::parse(text).get<std::map<std::string, nlohmann::json>>()) {
      machines_[machine] = choices_of(json, file_);
    }
  } catch (const nlohmann::json::exception& error) {
    refuse(file_, error.what());
  }
}

void GemmCache::save() {
  for (const auto& [machine, choices] : GemmCache(file_).machines_) {  // of runs that ended since this one began
    machines_[machine].insert(choices.begin(), choices.end());
  }
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [machine, choices] : machines_) {
    for (const auto& [of, kernel] : choices) json[machine][text_of(of)] = to_string(kernel);
  }
  std::error_code error;
  if (file_.has_parent_path()) std::filesystem::create_directories(file_.parent_path(), error);
  const auto written = std::filesystem::path(fmt::format("{}.{}.{}", file_.string(), host_name(), getpid()));
  write_file(written, json.dump(1) + "\n");
  std::filesystem::rename(written, file_, error);
  if (!error) return;
  std::filesystem::remove(written, error);
  throw Error(ExitCode::output_failed, {.where = file_.string(), .what = "the chosen kernels can not be kept there"});
}

std::optional<std::filesystem::path> default_gemm_cache() {
  auto caches = std::filesystem::path(environment("XDG_CACHE_HOME").value_or(""));
  const auto home = std::filesystem::path(environment("HOME").value_or(""));
  if (caches.empty() && !home.empty()) caches = home / ".cache";
  if (caches.empty()) return std::nullopt;
  return caches / "tpsp-bench" / "gemm.json";
}

std::string text_of(const KnownChoices& choices) {
  std::string text;
  for (const auto& [of, kernel] : choices) text += fmt::format("{} {}\n", text_of(of), to_string(kernel));
  return text;
}

KnownChoices choices_in(const std::string& text) {
  KnownChoices choices;
  std::istringstream lines(text);
  for (std::string of, name; lines >> of >> name;) {
    const auto [size_text, gemm_name] = parts_of(of);
    if (const auto size = size_in(size_text)) note(choices, *size, gemm_name, name);
  }
  return choices;
}

}  // namespace tpsp
