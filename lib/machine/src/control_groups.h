// The control groups (cgroup v2 and v1) of a process, and the small files in which the system reports their figures.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace tpsp {

/// The number that stands alone in a file; nothing for "max" and for a file that can not be read.
std::optional<std::int64_t> number_in(const std::filesystem::path& path);

/// The number after `name` in a file of names and numbers.
std::optional<std::int64_t> number_after(const std::string& name, const std::filesystem::path& path);

/// The group of this process ("/job/step"), as its file /proc/self/cgroup says; "/" where it does not.
std::string own_group(const std::filesystem::path& cgroup_file);

/// Its group in cgroup v1's hierarchy of a controller ("memory"); nothing where there is no such hierarchy.
std::optional<std::string> own_group_of(const std::string& controller, const std::filesystem::path& cgroup_file);

/// The folders of a group and of those above it, `root` first: each may have limits.
std::vector<std::filesystem::path> group_folders(const std::filesystem::path& root, const std::string& group);

}  // namespace tpsp
