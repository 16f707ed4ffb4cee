// Reports as pages: one run with its rounds, or a study with its groups.
#pragma once

#include <string>

#include "ev3/cli/report_study.h"

namespace ev3::cli {

/// The page of one run: accuracy, decisions, losses and parameters as charts, candidates, and every round.
std::string run_page(const RunRecords& run, const RunFigures& figures);
/// The page of a study: the table, the groups compared, and a chart for each with all its seeds.
std::string study_page(const Study& study);

/// The charts of a run's page, each a <figure>, for at least one round.
std::string accuracy_chart(const RunRecords& run);
std::string decisions_chart(const RunRecords& run);
std::string losses_chart(const RunRecords& run);
std::string parameters_chart(const RunRecords& run);
std::string time_chart(const RunRecords& run);

}  // namespace ev3::cli
