// A row like those that a CPU run of two ranks makes.
#pragma once

#include <string>

#include "tpsp/results/row.h"

namespace tpsp {

inline Row example_row() {
  Row row;
  row.key = "95e60af593bd04cf";
  row.case_id = "0f1e2d3c4b5a6978";
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
  row.latency_low_s = 0.01229;
  row.latency_high_s = 0.01239;
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

/// A row whose every field has a value that differs from a new row's.
inline Row full_row() {
  Row row = example_row();
  row.suite = "nightly";
  row.seed = 18446744073709551615U;
  row.status = Status::failed;
  row.threads = 3;
  row.order = "random";
  row.turns = "tp;tp+sp";
  row.weights = "shared";
  row.gemm = "mkl";
  row.gemm_cache = "gemm.json";
  row.attention_kernel = "flash";
  row.rank = 3;
  row.link = "pcie4";
  row.predicted_s = 1.75;
  row.stop = "noise";
  double number = 0.1;
  for (auto* field : {&row.latency_p10_s,
                      &row.latency_p90_s,
                      &row.latency_p99_s,
                      &row.latency_mad_s,
                      &row.latency_cv,
                      &row.algbw_bytes_per_s,
                      &row.busbw_bytes_per_s,
                      &row.rank_spread,
                      &row.ratio,
                      &row.ratio_low,
                      &row.ratio_high,
                      &row.split_s,
                      &row.gemm_s,
                      &row.attention_s,
                      &row.norm_s,
                      &row.wait_s,
                      &row.move_s,
                      &row.fused_add_norm_s,
                      &row.other_s,
                      &row.product_flops,
                      &row.peak_flops_per_s,
                      &row.peak_bytes_per_s,
                      &row.gemm_fraction,
                      &row.limit_s,
                      &row.limit_fraction,
                      &row.error_bound,
                      &row.forward_s,
                      &row.backward_s,
                      &row.optimizer_s,
                      &row.loss,
                      &row.loss_error,
                      &row.weights_error,
                      &row.gpu_clock_mhz,
                      &row.gpu_power_w,
                      &row.gpu_temperature_c}) {
    *field = number += 0.015625;
  }
  std::int64_t count = 1;
  for (auto* field : {&row.predicted_bytes,
                      &row.allocated_after_bytes,
                      &row.process_bytes,
                      &row.activations_bytes,
                      &row.logits_bytes,
                      &row.collective_bytes,
                      &row.resident_bytes,
                      &row.before_head_bytes,
                      &row.all_reduces,
                      &row.all_gathers,
                      &row.reduce_scatters,
                      &row.message_bytes,
                      &row.wrong,
                      &row.gradient_bytes,
                      &row.optimizer_bytes,
                      &row.saved_bytes,
                      &row.saved_at_peak_bytes,
                      &row.recomputed_bytes,
                      &row.backward_all_reduces,
                      &row.backward_all_gathers,
                      &row.backward_reduce_scatters,
                      &row.backward_comm_bytes,
                      &row.unit_bytes,
                      &row.dp_all_reduces,
                      &row.dp_all_gathers,
                      &row.dp_reduce_scatters,
                      &row.dp_comm_bytes,
                      &row.workspace_bytes,
                      &row.context_bytes}) {
    *field = count *= 3;
  }
  row.gpu_held_by = "power-cap;thermal";
  row.collective = "fused-add-norm";
  row.workload = "train";
  row.recompute = "block";
  row.regather = "on";
  row.optimizer = "adamw";
  row.micro_batches = 4;
  row.dp = 2;
  row.shard = "gradients";
  row.worst_gradient = "layers.0.ffn_norm";
  row.buffer = "registered";
  row.model_shapes = "hidden 4096, heads 32";
  row.plan_hash = "0123456789abcdef";
  row.protocol = "warmup 1, reps 3, order random";
  row.calls = 12;
  row.slowest_rank = 1;
  row.slowest_host = "node1";
  row.baseline = "tp";
  row.verdict = "slower";
  row.weights_bytes = 7;
  row.host = "node0+node1";
  row.device_name = "AMD EPYC, \"Milan\"";
  row.cores = 64;
  row.binding = "tpsp-bench";
  row.cpus = "0-31;32-63";
  row.memory_bytes = 256'000'000'000;
  row.os = "Debian GNU/Linux 12";
  row.version = "0.2.0";
  row.build = "Release, GNU 12";
  row.torch_version = "2.9.0";
  row.mpi_version = "Open MPI 4.1.4";
  row.cuda_version = "13.0";
  row.nccl_version = "2.28.9";
  row.command = "tpsp-bench --plan 'a|b' --seq 1024,2048";
  row.environment = "OMP_NUM_THREADS=1;TPSP_SEQ=256";
  row.utc_time = "2026-11-22T14:03:09Z";
  row.warnings = {{"drifting", "the time rose by 3%; wait"}, {"swap", "8 pages, \"node1\""}};
  row.message = "größer, \\ and | and \"so on\"";
  row.samples_s = {0.1, 0.2, 1.0 / 3};
  row.rank_samples_s = {{0.1, 0.2, 0.3}, {1.0 / 7, 2, 3e-300}};
  row.plan_text = "rules:\n\t- {match: 'x'}\n";
  return row;
}

}  // namespace tpsp
