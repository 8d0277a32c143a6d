#include "case_key.h"

#include <fmt/format.h>

namespace tpsp {
namespace {

std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

std::string protocol_text(const Sweep& sweep) {
  const auto& p = sweep.protocol;
  const auto rule = p.reps ? fmt::format("reps {}", *p.reps)
                           : fmt::format("{} {} {} {}", p.min_reps, p.min_time_s, p.max_noise, p.max_time_s);
  return fmt::format("{} {} {} {} {}", p.warmup, rule, static_cast<int>(p.order), to_string(sweep.weights),
                     sweep.check);
}

}  // namespace

std::string case_key(const Sweep& sweep, const LoweredPlan& plan, const Row& row) {
  const auto& m = sweep.model;
  const auto shapes = fmt::format("{} {} {} {} {} {} {} {} {}", m.name, m.hidden, m.layers, m.heads, m.kv_heads, m.ffn,
                                  m.vocabulary, m.norm_eps, m.rope_theta);
  const auto facts = fmt::format("{} {} {} {} {} {} {} {} {}", row.batch, row.seq, row.world, row.dtype, row.device,
                                 row.backend, row.threads, row.seed, row.suite);
  return fmt::format("{:016x}", fnv1a(fmt::format("{}\n{}\n{} {}\n{}\n{}", row_schema, shapes, plan.name,
                                                  plan.signature(), facts, protocol_text(sweep))));
}

}  // namespace tpsp
