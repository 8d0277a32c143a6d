// What was measured, as a row's cells.
#pragma once

#include "device_memory.h"
#include "step_log.h"
#include "tpsp/bench/check.h"
#include "tpsp/bench/profile.h"
#include "tpsp/bench/sweep.h"
#include "tpsp/bench/training_check.h"

namespace tpsp {

/// The case of a row, with nothing measured yet.
Row blank_row(const Sweep& sweep, const LoweredPlan& plan, std::int64_t seq);

/// A row of a case that was not measured.
Row unmeasured_row(const Sweep& sweep, const LoweredPlan& plan, std::int64_t seq, Status status,
                   const std::string& message);

/// Whether it was interleaved with the others of `names`, plans or backends that were measured together.
void fill_order(Row& row, const Protocol& protocol, const std::vector<std::string>& names);

/// `hosts` has every rank's host.
void fill_measurement(Row& row, const Measurement& measured, const std::vector<std::string>& hosts);

/// In place of the peaks of the timed repetitions, which interleaved plans share.
void fill_device_memory(Row& row, const DeviceMemory& memory);

/// Times, collectives and saved bytes of a measurement's steps, and their loss. Collective.
void fill_steps(Row& row, const StepLog& log, World& world);

/// What the collectives of a rank that ran alone would have taken. After fill_measurement and fill_steps.
void fill_prediction(Row& row, const CommCounts& replicas, const Link& link);

/// A rank that works for longer than the others, whom it keeps waiting, is named in a warning. `hosts` has every rank's
/// host. Collective: memory is that of the rank with the largest peak.
void fill_profile(Row& row, const ForwardProfile& profile, const std::vector<std::string>& hosts, World& world);

void fill_check(Row& row, const LogitsError& error, double bound);
void fill_check(Row& row, double loss, const StepError& error, double bound);

}  // namespace tpsp
