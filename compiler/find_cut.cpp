// Tries each op that comes several times, and counts what distinct pieces there are between its places.
#include "compiler/find_cut.h"

#include <algorithm>
#include <map>
#include <set>

#include "compiler/find_iterations.h"
#include "compiler/key_hash.h"

namespace calque {

namespace {

constexpr size_t kMostLookedAt = 4096;  // nodes
constexpr size_t kFewestPieces = 5;   // the first and the last may differ from the others in any loop
constexpr size_t kMostBodies = 8;

using Hash = uint64_t;

void mix(Hash& hash, uint64_t word) { hash = hash_words({&word, 1}, hash); }

Hash hash_of(const TraceNode& node, bool with_types) {
  Hash hash = static_cast<Hash>(node.op) + 1;
  mix(hash, reinterpret_cast<uintptr_t>(node.location));
  mix(hash, node.grad_enabled);
  if (!with_types) return hash;
  for (const ResultRecord& result : node.results) {
    mix(hash, static_cast<uint64_t>(result.dtype) * 2 + result.requires_grad);
    for (const int64_t size : result.shape.dims()) mix(hash, static_cast<uint64_t>(size));
  }
  return hash;
}

std::span<const TraceNode> looked_at(std::span<const TraceNode> segment) {
  return segment.first(std::min(segment.size(), kMostLookedAt));
}

struct Piece {
  Hash body;
  size_t first, length;
};

/// The pieces from the first place on.
std::vector<Piece> pieces_of(std::span<const Hash> nodes, std::span<const size_t> places) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < places.size(); ++i) {
    const size_t end = i + 1 < places.size() ? places[i + 1] : nodes.size();
    Piece piece{1, places[i], end - places[i]};
    for (size_t k = places[i]; k < end; ++k) mix(piece.body, nodes[k]);
    pieces.push_back(piece);
  }
  return pieces;
}

/// The pieces between the first and the last.
struct Bodies {
  size_t pieces = 0, nodes = 0;
  size_t distinct = 0, distinct_nodes = 0;
  bool are_single = true;  // no op comes more often in one body than in another that has it: none is two iterations
};

Bodies bodies_of(std::span<const Piece> pieces, std::span<const Hash> ops) {
  Bodies bodies;
  std::set<Hash> seen;
  std::map<Hash, size_t> times;
  for (const Piece& piece : pieces.subspan(1, pieces.size() - 2)) {
    ++bodies.pieces;
    bodies.nodes += piece.length;
    if (!seen.insert(piece.body).second) continue;
    ++bodies.distinct;
    bodies.distinct_nodes += piece.length;
    if (bodies.distinct > kMostBodies) break;
    std::map<Hash, size_t> here;
    for (const Hash op : ops.subspan(piece.first, piece.length)) ++here[op];
    for (const auto& [op, count] : here) bodies.are_single &= times.try_emplace(op, count).first->second == count;
  }
  return bodies;
}

/// One op, and what it cuts a segment into.
struct Candidate {
  size_t first;  // its first place
  Bodies bodies;
};

bool is_worthwhile(const Bodies& bodies) {
  return bodies.distinct >= 2 && bodies.distinct <= kMostBodies && 2 * bodies.nodes >= 3 * bodies.distinct_nodes;
}

/// Single iterations if there are such; few cuts, unless others give far fewer nodes; of the same number, the first.
const Candidate* best_of(std::vector<Candidate>& candidates) {
  if (std::ranges::any_of(candidates, [](const Candidate& candidate) { return candidate.bodies.are_single; }))
    std::erase_if(candidates, [](const Candidate& candidate) { return !candidate.bodies.are_single; });
  size_t fewest_nodes = kMostLookedAt;
  for (const Candidate& candidate : candidates) fewest_nodes = std::min(fewest_nodes, candidate.bodies.distinct_nodes);
  const Candidate* best = nullptr;
  for (const Candidate& candidate : candidates) {
    if (2 * candidate.bodies.distinct_nodes > 3 * fewest_nodes) continue;
    if (!best || candidate.bodies.pieces < best->bodies.pieces ||
        (candidate.bodies.pieces == best->bodies.pieces && candidate.first < best->first))
      best = &candidate;
  }
  return best;
}

std::vector<Hash> hashes_of(std::span<const TraceNode> nodes, bool with_types) {
  std::vector<Hash> hashes;
  for (const TraceNode& node : nodes) hashes.push_back(hash_of(node, with_types));
  return hashes;
}

/// The bodies of pieces in between, once where they come several times in a row. One that comes only once is what lies between two
/// loops (a stack of results, which is longer after more steps).
std::vector<Hash> bodies_in_a_row(std::span<const Piece> pieces) {
  std::map<Hash, int> times;
  for (size_t i = 1; i + 1 < pieces.size(); ++i) ++times[pieces[i].body];
  std::vector<Hash> bodies;
  for (size_t i = 1; i + 1 < pieces.size(); ++i)
    if (times[pieces[i].body] > 1 && (bodies.empty() || bodies.back() != pieces[i].body)) bodies.push_back(pieces[i].body);
  return bodies;
}

/// Whether both are a few loops one after the other, which only run differently often; some perhaps not at all.
bool are_same_few_loops(std::span<const Piece> a, std::span<const Piece> b) {
  constexpr size_t kMostLoops = 4;  // steps in no order would be more, but for very few of them
  std::vector<Hash> more = bodies_in_a_row(a), fewer = bodies_in_a_row(b);
  if (more.size() < fewer.size()) std::swap(more, fewer);
  if (more.size() > kMostLoops) return false;
  auto place = more.begin();
  for (const Hash body : fewer) {
    place = std::find(place, more.end(), body);
    if (place == more.end()) return false;
  }
  return true;
}

}  // namespace

std::optional<CutPoint> find_cut(std::span<const TraceNode> segment) {
  segment = looked_at(segment);
  const std::vector<Hash> nodes = hashes_of(segment, true), ops = hashes_of(segment, false);
  std::map<Hash, std::vector<size_t>> places;
  for (size_t i = 0; i < ops.size(); ++i) places[ops[i]].push_back(i);
  std::vector<Candidate> candidates;
  for (const auto& [op, where] : places) {
    if (where.size() < kFewestPieces) continue;
    const Candidate candidate{where.front(), bodies_of(pieces_of(nodes, where), ops)};
    // Bodies that are all the same, in most of the segment: a regular loop, whatever is inside.
    if (candidate.bodies.distinct == 1 && 2 * candidate.bodies.nodes > segment.size()) return std::nullopt;
    if (is_worthwhile(candidate.bodies)) candidates.push_back(candidate);
  }
  const Candidate* best = best_of(candidates);
  if (!best) return std::nullopt;
  return CutPoint{segment[best->first].op, segment[best->first].location};
}

bool is_mostly_regular(std::span<const TraceNode> segment) {
  segment = looked_at(segment);
  std::vector<const TraceNode*> nodes;
  for (const TraceNode& node : segment) nodes.push_back(&node);
  size_t covered = 0;
  for (const Iterations& loop : find_iterations(nodes, 0, nodes.size())) covered += loop.end() - loop.first;
  return 5 * covered >= 3 * nodes.size();
}

bool differ_in_order(std::span<const TraceNode> a, std::span<const TraceNode> b, const CutPoint& cut) {
  const auto pieces = [&](std::span<const TraceNode> segment) {
    segment = looked_at(segment);
    std::vector<size_t> places;
    for (size_t i = 0; i < segment.size(); ++i)
      if (cut.begins(segment[i])) places.push_back(i);
    return pieces_of(hashes_of(segment, false), places);
  };
  const std::vector<Piece> of_a = pieces(a), of_b = pieces(b);
  if (are_same_few_loops(of_a, of_b)) return false;
  const size_t common = std::min(of_a.size(), of_b.size());
  for (size_t i = 1; i + 1 < common; ++i)
    if (of_a[i].body != of_b[i].body) return true;
  return false;
}

}  // namespace calque
