// The plan of one kernel: in which loops over columns its values are computed, and which of them are kept in
// memory.
//
// A row is computed in stages, each one loop over columns. A value's stage is its (level, width): the level
// counts the reductions and concats that it waits for. Stages run by level, wide ones first. A value that is
// read in a later stage is read back from its result buffer, computed again where that is cheap, or kept in
// the thread's scratch row.
//
// In-place reuse: a flat kernel loads every element of an index before it stores there, so a result may share
// the buffer of an operand of the same shape. A kernel in rows or columns may not: a later stage may read an
// operand again.
#pragma once

#include <cstdint>
#include <vector>

#include "codegen/cpu/value_form.h"

namespace calque::codegen {

/// Where a row of a value lies in memory.
struct Place {
  enum class Kind : uint8_t { none, operand, scratch };
  Kind kind = Kind::none;
  uint32_t operand = 0;     // index into the kernel's buffers
  int64_t byte_offset = 0;  // into the row, or into the scratch memory
};

struct StageKey {
  int32_t level = 0;
  int64_t width = 0;
  bool operator==(const StageKey&) const = default;
  /// Whether this stage runs earlier.
  bool operator<(const StageKey& other) const {
    return level != other.level ? level < other.level : width > other.width;
  }
};

struct Store {
  ValueId value = 0;
  Place place;
};
/// Zeros around the elements of a pad.
struct ZeroFill {
  Place place;
  int64_t width = 0;
  DType dtype = DType::f32;
};

struct Stage {
  StageKey key;
  std::vector<Store> stores;
  std::vector<NodeId> reductions;  // whose operand this stage computes
  std::vector<ZeroFill> fills;
  int cost = 0;  // about one for each instruction of a column
};

struct KernelPlan {
  KernelDomain kernel;
  std::vector<Form> forms;
  std::vector<StageKey> stage_keys;  // of every value
  std::vector<Place> places;         // of every value; of a result the first buffer
  std::vector<Stage> stages;         // in order; a flat or columns domain has one
  int64_t scratch_bytes = 0;
  bool any_columns = false;  // of a domain of rows: their number is the caller's
  int widest_bytes = 4;  // of the types of all values

  const Graph& body() const { return *kernel.body; }
  /// One element that all columns share.
  bool is_scalar(ValueId value) const {
    return forms[value].width == 1 && !(kernel.domain == Domain::flat && kernel.columns == 1);
  }
  bool has_rows(ValueId value) const { return kernel.domain != Domain::flat && forms[value].rows != 1; }
  /// The columns of a domain of rows whose parts do not depend on each other; 0 where they do.
  int64_t part_columns() const;
  /// Whether the stage `reader` finds the value in memory.
  bool is_stored_before(ValueId value, const StageKey& reader) const;
};

/// Throws UserError for the few bodies that keep the rules of fusions but are not compiled: very long ones,
/// sums of sums over rows, and rows shared by all of no rows.
KernelPlan plan_kernel(const KernelDomain& kernel);

}  // namespace calque::codegen
