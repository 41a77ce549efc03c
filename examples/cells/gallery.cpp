// The list that registered cells are in.
#include <algorithm>

#include "examples/cells/cell.h"

namespace calque::cells {

namespace {
std::vector<Cell>& list() {
  static std::vector<Cell> cells;
  return cells;
}
}  // namespace

const std::vector<Cell>& gallery() { return list(); }

void add_to_gallery(Cell cell) {
  const auto by_name = [](const Cell& a, const Cell& b) { return a.name < b.name; };
  const auto place = std::lower_bound(list().begin(), list().end(), cell, by_name);
  if (place != list().end() && place->name == cell.name)
    throw std::logic_error("two cells are named " + cell.name);
  list().insert(place, std::move(cell));
}

const Cell& find_cell(const std::string& name) {
  std::string known;
  for (const Cell& cell : list()) {
    if (cell.name == name) return cell;
    known += (known.empty() ? "" : ", ") + cell.name;
  }
  throw UserError("there is no cell named " + name + "; examples/cells has " + known);
}

}  // namespace calque::cells
