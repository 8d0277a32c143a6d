// A row like those that a CPU run of two ranks makes.
#pragma once

#include "tpsp/bench/row.h"

namespace tpsp {

inline Row example_row() {
  Row row;
  row.run_id = "20261122T140309Z-9f3a";
  row.model = "llama-7b";
  row.layers = 2;
  row.plan = "tp+sp";
  row.batch = 1;
  row.seq = 1024;
  row.seq_padded = 1024;
  row.vocab_padded = 32000;
  row.world = 2;
  row.dtype = "float32";
  row.device = "cpu";
  row.backend = "mpi";
  row.warmup = 2;
  row.reps = 10;
  row.latency_s = 0.01234;
  row.latency_min_s = 0.0121;
  row.latency_max_s = 0.0129;
  row.tokens_per_s = 82982.2;
  row.allocated_bytes = 1'250'000'000;
  row.reserved_bytes = 1'500'000'000;
  row.comm_bytes = 41'943'040;
  row.check = Check::pass;
  row.max_abs_err = 2e-6;
  row.max_rel_err = 3e-7;
  return row;
}

}  // namespace tpsp
