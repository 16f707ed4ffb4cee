// Small helpers for what the commands print.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ev3::cli {

/// 1234567 as "1,234,567".
std::string thousands(std::int64_t n);
/// 41213 as "41.2 kB" (1 kB is 1,000 bytes).
std::string bytes_text(std::size_t bytes);

/// Cells in columns as wide as their widest cell, two spaces apart.
class TextTable {
 public:
  /// One letter a column: 'l' aligns left, 'r' right.
  explicit TextTable(std::string alignment) : alignment_(std::move(alignment)) {}
  /// At most one cell a column.
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  /// The lines, each beginning with `indent` and ending in a newline, without spaces before it.
  std::string str(std::string_view indent = "") const;

 private:
  std::string alignment_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace ev3::cli
