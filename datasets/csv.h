// Tables of numbers as text, one sample a line.
#pragma once

#include <filesystem>
#include <string>

#include "datasets/dataset.h"

namespace datasets {

enum class Header { automatic, yes, no };

struct CsvOptions {
  std::string label = "-1";           // name or number of the column with the class; -1 is the last one
  Header header = Header::automatic;  // automatic: line 1 is one if none of its feature cells is a number
  char separator = ',';
};

/// A CSV file (RFC 4180: cells may be quoted), plain or gzip, as a Dataset with samples [columns - 1]. Lines
/// without any text are skipped. Labels are whole numbers from 0 without gaps, or names, which are sorted and
/// numbered. Throws Error naming the path, and the line and column where there is one: for cells that are
/// empty, no number or not finite, lines of different lengths, quotes that do not close, no such label
/// column, no samples.
Dataset read_csv(const std::filesystem::path& path, const CsvOptions& options = {});

}  // namespace datasets
