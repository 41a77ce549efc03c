// Walks an older and the newest way side by side and fits what differs to the sizes.
#include "compiler/merge_ways.h"

#include "compiler/resize.h"
#include "compiler/segment.h"

namespace calque {

namespace {

using Kind = TraceNode::Kind;

bool same_records(const TraceNode& a, const TraceNode& b) {
  const auto slots_alike = [](const SlotRecord& x, const SlotRecord& y) { return x.is_alike_but_for_sizes(y); };
  const auto results_alike = [](const ResultRecord& x, const ResultRecord& y) {
    return x.dtype == y.dtype && x.requires_grad == y.requires_grad && x.shape.rank() == y.shape.rank();
  };
  return std::equal(a.new_slots.begin(), a.new_slots.end(), b.new_slots.begin(), b.new_slots.end(), slots_alike) &&
         std::equal(a.results.begin(), a.results.end(), b.results.begin(), b.results.end(), results_alike);
}

/// Whether the nodes ask for the same but for sizes, and numbers that may follow from them.
bool are_alike(const TraceNode& a, const TraceNode& b) {
  return a.kind == b.kind && a.op == b.op && a.grad_enabled == b.grad_enabled && a.reason == b.reason &&
         a.attributes.size() == b.attributes.size() && a.first_value == b.first_value && a.first_slot == b.first_slot &&
         a.level == b.level && (a.loop == kNoLoop) == (b.loop == kNoLoop) && a.inputs == b.inputs && a.grows_like(b) &&
         same_records(a, b);
}

class WayMerger {
 public:
  WayMerger(TraceTree& tree, TraceId fork) : tree_(tree), fork_(fork) {
    const SizeSample recorded = tree.sample(tree[fork].sample);
    now_.assign(recorded.begin(), recorded.end());
    symbols_ = tree.symbols_on_way(tree[fork].parent);
  }

  /// False, and nothing has changed, when the way that begins with `old` differs in more than sizes.
  bool find_differences(TraceId old) {
    for (TraceId now = fork_; now != kNoTrace; now = tree_[now].first_child, old = next_of(old, now)) {
      if (old == kNoTrace || !are_alike(tree_[old], tree_[now])) return false;
      pairs_.push_back({old, now, {}, false});
      if (tree_[old].sizes) pairs_.back().sizes = *tree_[old].sizes;
    }
    for (size_t i = 0; i < pairs_.size(); ++i) {
      if (i > 0 && tree_[pairs_[i].old].loop != tree_[pairs_[i - 1].old].loop && !note_loop(pairs_[i - 1])) return false;
      if (!compare_slots(pairs_[i]) || !compare_words(pairs_[i])) return false;
    }
    // What was not matched for another reason would be recorded and taken back at every call.
    return std::any_of(pairs_.begin(), pairs_.end(), [](const Pair& pair) { return pair.has_changed; });
  }

  /// Where the value of a `full` kept the ways apart; null where something else did.
  const void* varying_number() const { return varying_number_; }

  TraceId merge(TraceId end) {
    for (const int64_t before : fresh_) tree_.add_size(before);
    for (SizeSymbol symbol : symbols_) tree_.set_size(symbol, now_[symbol]);
    tree_.renew();
    TraceId merged_end = end;
    for (Pair& pair : pairs_) {
      TraceNode& old = tree_[pair.old];
      if (pair.has_changed) old.sizes = std::make_shared<const NodeSizes>(std::move(pair.sizes));
      if (old.kind == Kind::end) {
        note_sizes_of_plans(pair.old);
        old.segment->adopt(*tree_[pair.now].segment, tree_.bound_sizes(pair.old));
      }
      if (pair.now == end) merged_end = pair.old;
    }
    for (const Pair& pair : pairs_) go_on_alike(pair);
    tree_.drop_way(fork_);
    for (TraceId id = 0; id < tree_.size(); ++id)
      if (tree_[id].kind == Kind::end) note_sizes_of_plans(id);  // of ways that part from this one
    return merged_end;
  }

 private:
  struct Pair {
    TraceId old, now;
    NodeSizes sizes;
    bool has_changed;
  };
  /// Where the new way goes in circles, the old one does from now on.
  void go_on_alike(const Pair& pair) {
    tree_[pair.old].is_cut |= tree_[pair.now].is_cut;
    const TraceId junction = tree_[pair.now].goes_on_at;
    if (junction == kNoTrace || tree_[pair.old].goes_on_at != kNoTrace) return;
    const auto same = std::ranges::find(pairs_, junction, &Pair::now);
    TraceId goes_on_at = same != pairs_.end() ? same->old : junction < fork_ ? junction : kNoTrace;
    if (goes_on_at == kNoTrace) return;
    tree_[pair.old].goes_on_at = goes_on_at;
    tree_[goes_on_at].is_junction = true;
  }

  /// The child of an old node that goes on like the new one: with the same attributes if there is such a one.
  TraceId next_of(TraceId old, TraceId now) const {
    TraceId alike = kNoTrace;
    if (now == kNoTrace) return kNoTrace;
    for (TraceId id = tree_[old].first_child; id != kNoTrace; id = tree_[id].next_sibling) {
      if (!are_alike(tree_[id], tree_[now])) continue;
      if (tree_[id].attributes == tree_[now].attributes) return id;
      if (alike == kNoTrace) alike = id;
    }
    return alike;
  }

  /// The sizes when an old node was recorded.
  std::vector<int64_t> sizes_before(const Pair& pair) const {
    const SizeSample sample = tree_.sample(tree_[pair.old].sample);
    std::vector<int64_t> sizes(sample.begin(), sample.end());
    sizes.insert(sizes.end(), fresh_.begin(), fresh_.end());
    return sizes;
  }
  std::vector<SizeSymbol> fresh_symbols() const {
    std::vector<SizeSymbol> symbols;
    for (size_t i = 0; i < fresh_.size(); ++i) symbols.push_back(static_cast<SizeSymbol>(tree_.sizes().size() + i));
    return symbols;
  }

  /// A loop was left here: from now on sizes may follow from its trip count.
  bool note_loop(const Pair& pair) {
    const uint32_t old = tree_[pair.old].loop, now = tree_[pair.now].loop;
    if (old == kNoLoop) return true;
    const TraceLoop &before = tree_.loop(old), &after = tree_.loop(now);
    if (before.length != after.length) return false;
    symbols_.push_back(before.trips);
    now_[before.trips] = tree_.sizes()[after.trips];
    return true;
  }

  bool compare_slots(Pair& pair) {
    for (size_t i = 0; i < tree_[pair.old].new_slots.size(); ++i) {
      SizedSlot sized;
      sized.slot = static_cast<uint32_t>(i);
      sized.dims.fill(kNoSize);
      std::vector<SizedSlot>& slots = pair.sizes.slots;
      const auto known = std::find_if(slots.begin(), slots.end(), [&](const SizedSlot& slot) { return slot.slot == i; });
      if (known != slots.end()) sized = *known;
      const bool was_known = known != slots.end(), had_changed = std::exchange(pair.has_changed, false);
      if (!compare_dims(pair, i, sized) || !compare_strides(pair, i, sized)) return false;
      if (pair.has_changed && was_known) *known = sized;
      if (pair.has_changed && !was_known) slots.push_back(sized);
      pair.has_changed |= had_changed;
    }
    return true;
  }

  bool compare_dims(Pair& pair, size_t i, SizedSlot& sized) {
    const Shape &before = tree_[pair.old].new_slots[i].shape, &now = tree_[pair.now].new_slots[i].shape;
    for (int axis = 0; axis < now.rank(); ++axis) {
      SizeSymbol& symbol = sized.dims[axis];
      if (symbol == kNoSize && before[axis] == now[axis]) continue;
      if (now[axis] < kLeastSize) return false;
      if (symbol == kNoSize) {
        if (before[axis] < kLeastSize) return false;
        symbol = static_cast<SizeSymbol>(now_.size());
        fresh_.push_back(before[axis]);
        now_.push_back(now[axis]);
        pair.has_changed = true;
      }
      now_[symbol] = now[axis];
      symbols_.push_back(symbol);
    }
    return true;
  }

  bool compare_strides(Pair& pair, size_t i, SizedSlot& sized) {
    const SlotRecord &before = tree_[pair.old].new_slots[i], &now = tree_[pair.now].new_slots[i];
    const bool is_dense = is_row_major(now.shape, now.strides);
    if (sized.is_dense) return is_dense;
    if (is_dense && sized.strides.empty() && is_row_major(before.shape, before.strides)) {
      sized.is_dense = pair.has_changed;
      return true;
    }
    for (int axis = 0; axis < now.shape.rank(); ++axis) {
      auto known = std::find_if(sized.strides.begin(), sized.strides.end(), [&](const auto& e) { return e.first == axis; });
      const int64_t stride = now.strides[axis];
      if (known == sized.strides.end() ? before.strides[axis] == stride : known->second.value(now_) == stride) continue;
      const auto fitted = known == sized.strides.end() ? fit(pair, before.strides[axis], stride) : refit(pair, known->second, stride);
      if (!fitted) return false;
      if (known == sized.strides.end()) sized.strides.emplace_back(axis, *fitted);
      else known->second = *fitted;
      pair.has_changed = true;
    }
    return true;
  }

  bool compare_words(Pair& pair) {
    const TraceNode &old = tree_[pair.old], &now = tree_[pair.now];
    if (old.kind == Kind::apart) return true;
    for (int word = old.kind == Kind::number ? 1 : 0; word < now.attributes.size(); ++word) {
      std::vector<SizedWord>& words = pair.sizes.words;
      const auto known = std::find_if(words.begin(), words.end(), [&](const SizedWord& w) { return w.word == word; });
      const int64_t value = now.attributes[word];
      if (known == words.end() ? old.attributes[word] == value : known->value(now_) == value) continue;
      if (old.kind == Kind::number) return false;
      const std::optional<SizedWord> fitted =
          known == words.end() ? fit_word(pair, word) : refit_word(pair, *known, value);
      if (!fitted) return false;
      if (known == words.end()) words.push_back(*fitted);
      else *known = *fitted;
      pair.has_changed = true;
    }
    return true;
  }

  std::optional<SizedWord> fit_word(const Pair& pair, int word) {
    const TraceNode& old = tree_[pair.old];
    const int64_t before = old.attributes[word], now = tree_[pair.now].attributes[word];
    const AttributeKind kind = kind_of_word(old.op, word);
    std::optional<SizedWord> fitted;
    if (kind == AttributeKind::number) {
      fitted = fit_number(before, sizes_before(pair), now, now_, symbols_);
      if (!fitted && old.op == Op::full) varying_number_ = old.location;
    } else if (kind == AttributeKind::integer || kind == AttributeKind::integers) {
      if (const auto expression = fit(pair, before, now)) fitted = SizedWord{word, SizedWord::Kind::integer, 1, *expression};
    }
    if (fitted) fitted->word = word;
    return fitted;
  }

  std::optional<SizedWord> refit_word(const Pair& pair, SizedWord known, int64_t now) {
    if (known.kind != SizedWord::Kind::integer) return std::nullopt;
    const auto expression = refit(pair, known.expression, now);
    if (!expression) return std::nullopt;
    known.expression = *expression;
    return known;
  }

  std::optional<SizeExpression> fit(const Pair& pair, int64_t before, int64_t now) const {
    return fit_integer(before, sizes_before(pair), now, now_, symbols_);
  }
  std::optional<SizeExpression> refit(const Pair& pair, const SizeExpression& known, int64_t now) const {
    return refit_integer(known, sizes_before(pair), now, now_, fresh_symbols());
  }

  /// Plans that were made while something of the segment was always the same.
  void note_sizes_of_plans(TraceId end) {
    BoundSizes sizes = tree_.bound_sizes(end);
    const SizeSample before = tree_.sample(tree_[end].sample);
    for (auto& [symbol, value] : sizes) value = before[symbol];
    tree_[end].segment->add_sizes(sizes);
  }

  TraceTree& tree_;
  TraceId fork_;
  std::vector<int64_t> now_;            // sizes of the new way; of old symbols, then of fresh ones
  std::vector<SizeSymbol> symbols_;     // bound so far
  std::vector<int64_t> fresh_;          // what each dimension that is new among them was in all calls of the old way
  std::vector<Pair> pairs_;
  const void* varying_number_ = nullptr;
};

}  // namespace

TraceId merge_way(TraceTree& tree, TraceId fork, TraceId end) {
  for (TraceId old = tree[tree[fork].parent].first_child; old != fork; old = tree[old].next_sibling) {
    WayMerger merger(tree, fork);
    if (merger.find_differences(old)) return merger.merge(end);
    if (merger.varying_number()) tree.note_varying_number(merger.varying_number());
  }
  return end;
}

}  // namespace calque
