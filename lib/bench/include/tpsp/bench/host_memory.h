// How much memory this host still has for this process.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace tpsp {

/// What can be taken without swapping (MemAvailable), and within the process's control groups (a job's or container's
/// limit). The largest number where nothing is known.
std::int64_t available_host_bytes();

/// What a cgroup v2 `group` ("/job/step") and the groups above it, under `root`, let a process still take: the
/// smallest limit - (current - reclaimable file pages). The largest number where there is no limit.
std::int64_t available_in_groups(const std::filesystem::path& root, const std::string& group);

}  // namespace tpsp
