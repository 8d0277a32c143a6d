// What the targets of both written forms of a plan do.
#pragma once

#include "target.h"
#include "tpsp/models/config.h"
#include "tpsp/parallel/lowering.h"
#include "tpsp/parallel/plan.h"

namespace tpsp {

inline void read_plan(const std::string& text, const std::string& source) {
  static const auto modules = modules_of(load_model("llama-tiny"));
  reads_or_refuses([&] {
    const auto plan = parse_plan("fuzz", source, text);
    for (const int world : {1, 2, 3}) reads_or_refuses([&] { lower(plan, modules, world); });
  });
}

}  // namespace tpsp
