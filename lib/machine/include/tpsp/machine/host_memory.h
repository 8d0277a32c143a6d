// How much memory this host still has for this process.
#pragma once

#include <cstdint>
#include <filesystem>

namespace tpsp {

/// What can be taken without swapping (MemAvailable), and within the process's control groups (a job's or container's
/// limit), cgroup v2's and v1's. The largest number where nothing is known. `root` is the host's root folder.
std::int64_t available_host_bytes(const std::filesystem::path& root = "/");

}  // namespace tpsp
