// Tensors as text, laid out as NumPy lays out its arrays: one format for all elements that are shown, columns aligned, rows
// broken at the end of the line, and the middle of large axes left out.
#include "calque/print.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <ostream>
#include <vector>

#include "ir/op/error.h"
#include "runtime/number_format.h"
#include "runtime/observer.h"
#include "runtime/tensor_impl.h"

namespace calque {

namespace {

constexpr std::string_view kOpening = "tensor(";

/// Indices of an axis that are shown; the gap, if there is one, is after `leading` of them.
struct ShownAxis {
  std::vector<int64_t> indices;
  size_t leading = 0;
  bool has_gap = false;
};

class Layout {
 public:
  Layout(const kernels::View& view, const PrintOptions& options)
      : view_(view),
        options_(options),
        line_width_(options.line_width - 1),  // the closing parenthesis
        is_shortened_(view.shape.element_count() > options.threshold) {
    for (int axis = 0; axis < view.shape.rank(); ++axis) axes_.push_back(shown(view.shape[axis]));
    std::vector<int64_t> offsets;
    collect(0, 0, offsets);
    words_ = format_elements(view, offsets, options);
  }

  std::string text() {
    if (view_.shape.rank() == 0) return words_[0];
    return block(0, std::string(kOpening.size() + 1, ' '), line_width_);
  }

 private:
  ShownAxis shown(int64_t size) const {
    ShownAxis axis;
    const int64_t edge = options_.edge_items;
    axis.has_gap = is_shortened_ && size > 2 * edge;
    const int64_t leading = axis.has_gap ? edge : size;
    for (int64_t i = 0; i < leading; ++i) axis.indices.push_back(i);
    for (int64_t i = size - edge; axis.has_gap && i < size; ++i) axis.indices.push_back(i);
    axis.leading = static_cast<size_t>(leading);
    return axis;
  }

  /// Offsets of the shown elements, in the order in which they are printed.
  void collect(int axis, int64_t offset, std::vector<int64_t>& offsets) const {
    if (axis == view_.shape.rank()) {
      offsets.push_back(offset);
      return;
    }
    for (const int64_t index : axes_[axis].indices) collect(axis + 1, offset + index * view_.strides[axis], offsets);
  }

  std::string block(int axis, const std::string& indent, int width) {
    const int axes_left = view_.shape.rank() - axis;
    const std::string text = axes_left == 1 ? row(indent, width - 1) : rows(axis, indent, width - 1, axes_left);
    return '[' + text.substr(std::min(indent.size(), text.size())) + ']';
  }

  std::string rows(int axis, const std::string& indent, int width, int axes_left) {
    const std::string end_of_row = ',' + std::string(static_cast<size_t>(axes_left) - 1, '\n');
    const ShownAxis& shown = axes_[axis];
    std::string text;
    for (size_t i = 0; i < shown.indices.size(); ++i) {
      if (shown.has_gap && i == shown.leading) text += indent + "..." + end_of_row;
      text += indent + block(axis + 1, indent + ' ', width);
      if (i + 1 < shown.indices.size()) text += end_of_row;
    }
    if (shown.has_gap && shown.indices.empty()) text += indent + "...";
    return text;
  }

  std::string row(const std::string& indent, int width) {
    const ShownAxis& shown = axes_.back();
    std::string text, line = indent;
    const auto append = [&](const std::string& word) {
      if (line.size() > indent.size() && static_cast<int64_t>(line.size() + word.size()) > width) {
        text += line.substr(0, line.find_last_not_of(' ') + 1) + '\n';
        line = indent;
      }
      line += word;
    };
    for (size_t i = 0; i < shown.indices.size(); ++i) {
      if (shown.has_gap && i == shown.leading) {
        append("...");
        line += ", ";
      }
      append(words_[next_word_++]);
      if (i + 1 < shown.indices.size()) line += ", ";
    }
    if (shown.has_gap && shown.indices.empty()) append("...");
    return text + line;
  }

  const kernels::View& view_;
  const PrintOptions& options_;
  int line_width_;
  bool is_shortened_;
  std::vector<ShownAxis> axes_;
  std::vector<std::string> words_;
  size_t next_word_ = 0;
};

/// As Python writes a tuple.
std::string tuple(const Shape& shape) {
  std::string text = "(";
  for (int axis = 0; axis < shape.rank(); ++axis) text += fmt::format("{}{}", axis ? ", " : "", shape[axis]);
  return text + (shape.rank() == 1 ? ",)" : ")");
}

/// What cannot be seen from the elements.
std::string remarks(const Type& type, const PrintOptions& options) {
  const Shape& shape = type.shape;
  const bool is_empty = shape.element_count() == 0;
  std::string text;
  if ((is_empty && shape.rank() > 1) || shape.element_count() > options.threshold) text = "shape=" + tuple(shape);
  if (is_empty || type.dtype == DType::f32 || type.dtype == DType::i32)
    text += fmt::format("{}dtype={}", text.empty() ? "" : ", ", name(type.dtype));
  return text;
}

struct Options {
  std::mutex mutex;
  PrintOptions value;
};

Options& process_options() {
  static Options* const options = new Options;  // outlives every static destructor
  return *options;
}

}  // namespace

std::string to_string(const Tensor& tensor, const PrintOptions& options) {
  if (!tensor) return "(no tensor)";
  const kernels::View view = host_view_of(tensor);
  const Type type = tensor.impl()->type();
  std::string text{kOpening};
  text += type.shape.element_count() == 0 ? "[]" : Layout(view, options).text();
  const std::string extra = remarks(type, options);
  if (extra.empty()) return text + ')';
  text += ',';
  const size_t last_line = text.size() - (text.rfind('\n') + 1);
  const bool fits = last_line + extra.size() + 2 <= static_cast<size_t>(options.line_width);
  return text + (fits ? " " : '\n' + std::string(kOpening.size(), ' ')) + extra + ')';
}

std::string to_string(const Tensor& tensor) { return to_string(tensor, print_options()); }

std::ostream& operator<<(std::ostream& stream, const Tensor& tensor) { return stream << to_string(tensor); }

PrintOptions print_options() {
  Options& options = process_options();
  const std::lock_guard lock(options.mutex);
  return options.value;
}

void set_print_options(const PrintOptions& value) {
  if (value.precision < 0 || value.precision > 100 || value.threshold < 0 || value.edge_items < 0 || value.line_width < 1)
    throw UserError("set_print_options: precision must be 0 to 100, threshold and edge_items not negative, line_width at least 1");
  Options& options = process_options();
  const std::lock_guard lock(options.mutex);
  options.value = value;
}

}  // namespace calque
