// The page that a report fills in, made from lib/report/assets by cmake/EmbedReport.cmake.
#pragma once

#include <string_view>

namespace tpsp {

struct ReportPage {
  std::string_view before_data;  ///< ends inside the element that holds the JSON
  std::string_view after_data;
};

ReportPage report_page();

}  // namespace tpsp
