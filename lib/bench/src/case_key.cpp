#include "case_key.h"

#include <fmt/format.h>

#include "tpsp/bench/check.h"

namespace tpsp {
namespace {

std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

std::string protocol_text(const Protocol& p) {
  const auto rule = p.reps ? fmt::format("reps {}", *p.reps)
                           : fmt::format("{} {} {} {}", p.min_reps, p.min_time_s, p.max_noise, p.max_time_s);
  return fmt::format("{} {} {}", p.warmup, rule, static_cast<int>(p.order));
}

std::string protocol_text(const Sweep& sweep) {
  return fmt::format("{} {} {} {} {}", protocol_text(sweep.protocol), to_string(sweep.weights),
                     sweep.check ? check_version : 0, sweep.profile, static_cast<int>(sweep.gemm));
}

std::string facts_of(const Sweep& sweep, const Row& row) {
  const auto& m = sweep.model;
  const auto shapes = fmt::format("{} {} {} {} {} {} {} {} {}", m.name, m.hidden, m.layers, m.heads, m.kv_heads, m.ffn,
                                  m.vocabulary, m.norm_eps, m.rope_theta);
  const auto facts = fmt::format("{} {} {} {} {} {} {} {}", row.batch, row.seq, row.world, row.dtype, row.device,
                                 row.backend, row.threads, row.seed);
  return fmt::format("{}\n{}\n{}\n{}", row_schema, shapes, facts, protocol_text(sweep));
}

// The plans whose weights lie beside those of `plan` and count in its memory.
std::string kept_before(const Sweep& sweep, const LoweredPlan& plan) {
  std::string facts;
  if (sweep.weights != WeightPolicy::kept) return facts;
  for (auto other = sweep.plans.begin(); other != sweep.plans.end() && other->name != plan.name; ++other) {
    facts += fmt::format("\n{}", other->cut_signature());
  }
  return facts;
}

std::string hash_of(const std::string& text) { return fmt::format("{:016x}", fnv1a(text)); }

std::string facts_of(const Protocol& protocol, const Row& row) {
  const auto facts = fmt::format("{} {} {} {} {} {} {} {}", row.collective, row.message_bytes.value_or(0),
                                 row.placement, row.world, row.dtype, row.device, row.threads, row.seed);
  return fmt::format("{}\ncollective\n{}\n{}", row_schema, facts, protocol_text(protocol));
}

}  // namespace

std::string case_id(const Sweep& sweep, const Row& row) { return hash_of(facts_of(sweep, row)); }

std::string case_key(const Sweep& sweep, const LoweredPlan& plan, const Row& row) {
  return hash_of(
      fmt::format("{}\n{}\n{}{}", facts_of(sweep, row), plan.name, plan.signature(), kept_before(sweep, plan)));
}

std::string comm_case_id(const Protocol& protocol, const Row& row) { return hash_of(facts_of(protocol, row)); }

std::string comm_case_key(const Protocol& protocol, const Row& row) {
  return hash_of(fmt::format("{}\n{}", facts_of(protocol, row), row.backend));
}

}  // namespace tpsp
