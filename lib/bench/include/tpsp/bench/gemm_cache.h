// Which kernels earlier runs chose, kept in a file so that every run of a case multiplies with the same ones.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "tpsp/bench/gemm_choice.h"

namespace tpsp {

/// A JSON object of machines and settings, each with its choices: {"AMD EPYC, LibTorch 2.11.0, ...":
/// {"1024x5504x4096": "onednn"}}, the sizes as m x n x k, those of a backward as "1024x5504x4096:weight-gradient".
class GemmCache {
 public:
  /// Reads the file; one that is missing has no choices. Throws bad_input, naming it, for another content.
  explicit GemmCache(std::filesystem::path file);

  /// The choices of one machine and setting.
  KnownChoices& of(const std::string& machine) { return machines_[machine]; }
  const std::filesystem::path& file() const { return file_; }
  /// Adds what other runs have kept in the file meanwhile and replaces it in one step; its folder is made if need be.
  /// Throws Error(output_failed) with the reason.
  void save();

 private:
  std::filesystem::path file_;
  std::map<std::string, KnownChoices> machines_;
};

/// "tpsp-bench/gemm.json" in the user's cache folder (XDG_CACHE_HOME, or .cache in HOME); nothing where there is none.
std::optional<std::filesystem::path> default_gemm_cache();

/// Choices as text and back, to give them to the other ranks: a line of GEMM and kernel each. Lines that name an
/// unknown kernel are left out.
std::string text_of(const KnownChoices& choices);
KnownChoices choices_in(const std::string& text);

}  // namespace tpsp
