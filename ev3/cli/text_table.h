// Columns of text, for what the commands print.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ev3::cli {

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
