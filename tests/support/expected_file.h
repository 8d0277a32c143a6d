// Committed files that the program can make itself: compared, or written anew on request.
#pragma once

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>

#include "tpsp/core/environment.h"
#include "tpsp/core/files.h"

namespace tpsp {

/// Checks that the file at `path` holds `text`. With TPSP_UPDATE_EXPECTED=1 in the environment, writes it first.
inline void check_expected_file(const std::filesystem::path& path, const std::string& text) {
  if (environment("TPSP_UPDATE_EXPECTED") == "1") write_file(path, text);
  INFO("if the change of " << path << " is wanted, run this program once with TPSP_UPDATE_EXPECTED=1");
  CHECK(read_file(path, std::size_t{1} << 20) == text);
}

}  // namespace tpsp
