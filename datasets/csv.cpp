#include "datasets/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include "autodiff/tensor/error.h"
#include "autodiff/tensor/file.h"
#include "autodiff/tensor/text.h"

namespace datasets {
namespace {

using autodiff::fail;
using Cells = std::vector<std::string>;

// The records of a text, one after the other.
class Records {
 public:
  Records(std::string_view text, char separator, const std::string& path)
      : text_(text), separator_(separator), path_(path) {
    if (text_.substr(0, 3) == "\xEF\xBB\xBF") at_ = 3;  // byte order mark
  }

  // The next record that is not an empty line; false at the end.
  bool next(Cells& cells) {
    while (at_ < text_.size()) {
      line_ = next_line_;
      cells.clear();
      do cells.push_back(cell());
      while (take(separator_));
      end_of_line();
      if (cells.size() > 1 || !cells[0].empty()) return true;
    }
    return false;
  }
  // Where the current record begins, from 1.
  int line() const { return line_; }

 private:
  bool take(char c) {
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void end_of_line() {
    take('\r');
    if (at_ < text_.size() && !take('\n')) {
      fail(path_, ": line ", next_line_, ": want ", autodiff::in_quotes(std::string(1, separator_)),
           " or the end of the line after a cell, got ", autodiff::in_quotes(text_.substr(at_, 1)));
    }
    ++next_line_;
  }

  std::string cell() {
    if (take('"')) return quoted_cell();
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != separator_ && text_[at_] != '\n' && text_[at_] != '\r') ++at_;
    std::string_view cell = text_.substr(begin, at_ - begin);
    while (!cell.empty() && (cell.front() == ' ' || cell.front() == '\t')) cell.remove_prefix(1);
    while (!cell.empty() && (cell.back() == ' ' || cell.back() == '\t')) cell.remove_suffix(1);
    return std::string(cell);
  }

  std::string quoted_cell() {
    std::string out;
    while (true) {
      if (at_ == text_.size()) fail(path_, ": line ", line_, ": a quote does not close");
      const char c = text_[at_++];
      if (c == '"' && !take('"')) return out;  // a doubled quote stands for one
      if (c == '\n') ++next_line_;
      out += c;
    }
  }

  std::string_view text_;
  char separator_;
  const std::string& path_;
  std::size_t at_ = 0;
  int line_ = 0, next_line_ = 1;
};

// The number that all of a cell means.
std::optional<double> number(std::string_view cell) {
  if (cell.starts_with('+')) cell.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (error != std::errc() || end != cell.data() + cell.size() || cell.empty()) return std::nullopt;
  return value;
}

std::string column_names(const Cells& header) {
  std::string out;
  for (const std::string& name : header) out += (out.empty() ? "" : ", ") + autodiff::in_quotes(name);
  return out;
}

// Which column `label` means: a name of the header (empty: there is none), else a number.
std::size_t label_column(const std::string& label, const Cells& header, std::size_t columns,
                         const std::string& path) {
  const auto named = std::find(header.begin(), header.end(), label);
  if (named != header.end()) return static_cast<std::size_t>(named - header.begin());
  const std::optional<double> index = number(label);
  const auto count = static_cast<double>(columns);
  if (!index || *index != std::floor(*index)) {
    if (header.empty())
      fail(path, ": no column ", autodiff::in_quotes(label),
           ": the file has no header, give the column's number");
    fail(path, ": no column ", autodiff::in_quotes(label), " among ", column_names(header), ": did you mean ",
         autodiff::in_quotes(autodiff::nearest(label, header)), "?");
  }
  if (*index < -count || *index >= count) {
    fail(path, ": no column ", label, ": there are ", columns, ", counted from 0 or, from the end, -1");
  }
  return static_cast<std::size_t>(*index < 0 ? *index + count : *index);
}

bool is_header(const Cells& cells, std::optional<std::size_t> label) {
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (i != label && number(cells[i])) return false;
  }
  return true;
}

// Sets labels, classes and, unless all labels are numbers, class names.
void set_labels(Dataset& data, const Cells& cells) {
  data.labels = autodiff::Labels(autodiff::Shape{static_cast<int>(cells.size())});
  if (std::all_of(cells.begin(), cells.end(),
                  [](const std::string& cell) { return number(cell).has_value(); })) {
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const double value = *number(cells[i]);
      if (value != std::floor(value) || std::fabs(value) > std::numeric_limits<std::int32_t>::max()) {
        fail(data.name, ": sample ", i, ": want a whole number or a name as label, got ",
             autodiff::in_quotes(cells[i]));
      }
      data.labels[i] = static_cast<std::int32_t>(value);
    }
    data.classes = classes_in(data.labels, data.name);
    return;
  }
  Cells names = cells;
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const auto at = std::lower_bound(names.begin(), names.end(), cells[i]);
    data.labels[i] = static_cast<std::int32_t>(at - names.begin());
  }
  data.classes = static_cast<int>(names.size());
  data.class_names = std::move(names);
}

}  // namespace

Dataset read_csv(const std::filesystem::path& path, const CsvOptions& options) {
  const std::string text = autodiff::read_gz(path), name = path.string();
  Records records(text, options.separator, name);
  Cells cells, header, labels;
  if (!records.next(cells)) fail(name, ": want at least one line, got an empty file");
  const std::size_t columns = cells.size();
  if (columns < 2) {
    fail(name, ": want at least 2 columns separated by ",
         autodiff::in_quotes(std::string(1, options.separator)), ", got ", columns);
  }
  const std::optional<double> index = number(options.label);
  if (options.header == Header::yes) header = cells;
  if (options.header == Header::automatic) {
    // By name needs a header; by number, the label's own cell (often a name) says nothing.
    if (!index || is_header(cells, label_column(options.label, {}, columns, name))) header = cells;
  }
  const std::size_t label = label_column(options.label, header, columns, name);

  std::vector<float> features;
  for (bool more = header.empty() || records.next(cells); more; more = records.next(cells)) {
    if (cells.size() != columns) {
      fail(name, ": line ", records.line(), ": want ", columns, " columns, got ", cells.size());
    }
    for (std::size_t i = 0; i < columns; ++i) {
      const auto refuse = [&](const char* what) {
        fail(name, ": line ", records.line(), ", column ", i + 1,
             header.empty() ? "" : " " + autodiff::in_quotes(header[i]), ": want ", what, ", got ",
             cells[i].empty() ? "an empty cell" : autodiff::in_quotes(cells[i]));
      };
      if (i == label) {
        if (cells[i].empty()) refuse("a label");
        labels.push_back(cells[i]);
        continue;
      }
      const std::optional<double> value = number(cells[i]);
      if (!value) refuse("a number");
      features.push_back(static_cast<float>(*value));
      if (!std::isfinite(features.back())) refuse("a finite float");
    }
  }
  if (labels.empty()) fail(name, ": want at least one sample, got only a header");

  Dataset out{.name = name};
  const autodiff::Shape shape{static_cast<int>(labels.size()), static_cast<int>(columns - 1)};
  out.features = autodiff::Tensor(shape, features);
  set_labels(out, labels);
  check(out);
  check_classes(out);
  return out;
}

}  // namespace datasets
