// What is measured, as plain values, and the keys that identify it. See case_fields.h for the list of fields.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tpsp {

/// A forward or a training step of a model under a plan, or a collective alone.
struct Case {
  std::string model{};
  std::int64_t layers = 0;
  std::string plan{};
  std::int64_t batch = 0;
  std::int64_t seq = 0;
  std::string workload{};   ///< "train" for a training step; empty for a forward, as are the next six
  std::string recompute{};  ///< "none", "attention" or "block"
  std::string regather{};   ///< "on" or "off"
  std::string optimizer{};  ///< "none" or "adamw"
  std::int64_t micro_batches = 0;
  std::int64_t dp = 0;       ///< replicas, of which each has world / dp ranks
  std::string shard{};       ///< "none", "optimizer", "gradients" or "parameters"
  std::string collective{};  ///< empty for a model's; else the collective that was measured alone, and no model
  std::optional<std::int64_t> message_bytes{};
  std::string buffer{};  ///< of a collective: "user" or "registered"
  int world = 1;
  std::optional<int> rank{};  ///< that ran alone, without the others of the world; nothing where all ran
  std::string dtype{};
  std::string device{};
  std::string backend{};
  int threads = 1;
  std::uint64_t seed = 0;

  std::string model_shapes{};  ///< "hidden 4096, heads 32, ..."
  std::string plan_hash{};     ///< a hash of what the plan does to every module
  std::string protocol{};      ///< "warmup 1, min-reps 9, ...": everything asked of the measurement

  bool operator==(const Case&) const = default;
};

/// Hashes, as `hash_of`, of row_schema and of the case fields' names and texts. They are
/// the same on all ranks and in every run. `case_id` leaves out what is compared: of a forward the plan, of a
/// collective the backend.
std::string case_id(const Case& one);
std::string case_key(const Case& one);

/// The fields that the case has, one a line: "seq 256". One of Former::absent is left out.
std::string text_of(const Case& one);

/// FNV-1a (64 bits) of a text, in sixteen hexadecimal digits.
std::string hash_of(std::string_view text);

}  // namespace tpsp
