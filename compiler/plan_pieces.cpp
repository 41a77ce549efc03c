// Products of which each iteration of a loop reads rows of its own (x W of all steps) are made in pieces, while the loop runs.
#include <algorithm>
#include <cstdlib>
#include <optional>

#include "compiler/plan_builder.h"

namespace calque {

std::atomic<int64_t> Plan::piece_rows = 256;

namespace {

/// Pieces of about as many rows are as quick as the whole, and few kilobytes for each column.
int64_t piece_length(int64_t length, int64_t rows) {
  const int64_t wanted = (Plan::piece_rows + rows - 1) / rows, pieces = std::max<int64_t>(length / wanted, 1);
  return (length + pieces - 1) / pieces;
}

/// The one step that reads a buffer; null where there are several, or none.
PlanStep* only_reader(std::vector<PlanStep>& steps, int buffer) {
  PlanStep* reader = nullptr;
  for (PlanStep& step : steps) {
    if (!touches(step.reads(), buffer)) continue;
    if (reader) return nullptr;
    reader = &step;
  }
  return reader;
}

/// What steps of a block read in a buffer; none where a loop in the block reads it.
std::optional<std::vector<Place*>> reads_of(std::vector<PlanStep>& block, int buffer) {
  std::vector<Place*> places;
  for (PlanStep& step : block) {
    if (step.kind == PlanStep::Kind::loop && touches(step.reads(), buffer)) return std::nullopt;
    for (PlanStep& product : step.products)
      for (Place& place : product.inputs)
        if (place.buffer == buffer) places.push_back(&place);
    for (Place& place : step.inputs)
      if (place.buffer == buffer) places.push_back(&place);
  }
  return places;
}

/// The elements by which a loop walks down or up what all of `places` are steps of; 0 if they do not.
int64_t common_walk(std::span<Place* const> places, int64_t elements, int64_t length) {
  const int64_t step = places.empty() ? 0 : places[0]->walk.step;
  const auto fits = [&](const Place* place) {
    const int64_t first = step < 0 ? (length - 1) * elements : 0;
    return place->walk == Walk{.step = step} && place->offset >= first && place->offset < first + elements;
  };
  return std::abs(step) == elements && std::ranges::all_of(places, fits) ? step : 0;
}

}  // namespace

/// Whether the loop is the only one to read the product, by its steps, and now makes it.
bool PlanBuilder::take_in_pieces(PlanStep& loop, const PlanStep& product) {
  const Place& result = product.results[0];
  PlanBuffer& buffer = plan_.buffers_[result.buffer];
  const int64_t rows = result.type.shape[0], columns = result.type.shape[1];
  if (buffer.kind != PlanBuffer::Kind::arena || rows == 0 || loop.length == 0 || rows % loop.length != 0) return false;
  const int64_t length = piece_length(loop.length, rows / loop.length), elements = rows / loop.length * columns;
  if (length == loop.length || (!loop.pieces.empty() && length != loop.piece_length)) return false;
  const std::optional<std::vector<Place*>> places = reads_of(loop.body, result.buffer);
  const int64_t walk = places ? common_walk(*places, elements, loop.length) : 0;
  if (walk == 0 || (!loop.pieces.empty() && loop.descends != (walk < 0))) return false;
  for (Place* place : *places) {
    place->walk.in_piece = true;
    if (walk < 0) place->offset -= (loop.length - length) * elements;
  }
  loop.descends = walk < 0;
  loop.piece_length = length;
  loop.nanoseconds += product.nanoseconds;
  loop.pieces.push_back(product);
  buffer.bytes = buffer.bytes / static_cast<size_t>(loop.length) * static_cast<size_t>(length);
  return true;
}

void PlanBuilder::cut_products_into_pieces() {
  std::vector<PlanStep>& steps = plan_.steps_;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].kind != PlanStep::Kind::product) continue;
    PlanStep* const reader = only_reader(steps, steps[i].results[0].buffer);
    if (!reader || reader->kind != PlanStep::Kind::loop || !take_in_pieces(*reader, steps[i])) continue;
    for (const int packed : steps[i].packed)
      if (packed >= 0) plan_.packed_[packed].is_read_often = true;
    if (reader->sharing != PlanStep::Sharing::always) {
      work_.shared -= steps[i].nanoseconds;
      (reader->sharing == PlanStep::Sharing::never ? work_.alone : work_.undecided) += steps[i].nanoseconds;
    }
    steps.erase(steps.begin() + static_cast<std::ptrdiff_t>(i--));
  }
}

}  // namespace calque
