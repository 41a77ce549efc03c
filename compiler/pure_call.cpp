// The door of compile(pure, ...): keys are written, known ones entered, calls of others observed.
#include <cstring>

#include "calque/pure.h"
#include "compiler/compiled_function.h"
#include "compiler/frame.h"
#include "compiler/key_hash.h"
#include "compiler/pure_table.h"
#include "compiler/settings.h"
#include "runtime/state.h"
#include "runtime/view_origin.h"

namespace calque::detail {

// --- keys

KeyWriter::KeyWriter(const void* kind) {
  word(reinterpret_cast<uintptr_t>(kind));
  word(mode_fingerprint() ^ static_cast<uint64_t>(thread_state.grad_enabled));
}

KeyWriter::KeyWriter() { word(own_mode_fingerprint()); }

void KeyWriter::tensor(const Tensor& tensor) {
  constexpr uint64_t kEmpty = uint64_t{1} << 8;
  const auto flag = [](bool is_set, int bit) { return static_cast<uint64_t>(is_set) << bit; };
  TensorImpl* const impl = tensor.impl();
  if (!impl) return word(kEmpty);
  uint64_t seen_as = 0;  // 1 + number of the earlier tensor that this one is
  for (size_t i = 0; i < tensor_count_; ++i)
    if (tensors_[i] == impl) {
      seen_as = i + 1;
      break;
    }
  if (tensor_count_ == tensor_capacity_) grow_tensors();
  tensors_[tensor_count_++] = impl;
  refresh_history(*impl);
  const int rank = impl->shape.rank();
  int64_t step = 1;
  bool dense = true;
  for (int axis = rank - 1; axis >= 0; --axis) {
    dense &= impl->strides[axis] == step;
    step *= impl->shape[axis];
  }
  has_pending_ |= impl->is_pending();
  word(static_cast<uint64_t>(impl->dtype) | static_cast<uint64_t>(rank) << 4 | flag(impl->requires_grad, 9) |
       flag(!impl->producer, 10) | flag(impl->is_pending(), 11) | flag(dense, 12) |
       flag(!impl->is_pending() && impl->storage->changes_unseen(), 13) | seen_as << 32);
  for (int axis = 0; axis < rank; ++axis) word(static_cast<uint64_t>(impl->shape[axis]));
  if (dense) return;
  for (int axis = 0; axis < rank; ++axis) word(static_cast<uint64_t>(impl->strides[axis]));
}

void KeyWriter::text(std::string_view text, bool) {
  word(text.size());
  for (size_t i = 0; i < text.size(); i += 8) {
    uint64_t bytes = 0;
    std::memcpy(&bytes, text.data() + i, std::min<size_t>(8, text.size() - i));
    word(bytes);
  }
}

namespace {

template <class T>
void grow(T*& items, const T* inline_items, size_t count, size_t& capacity) {
  T* const more = static_cast<T*>(memory::allocate(2 * capacity * sizeof(T)));
  std::memcpy(more, items, count * sizeof(T));
  if (items != inline_items) memory::free(items, capacity * sizeof(T));
  items = more;
  capacity *= 2;
}

}  // namespace

void KeyWriter::grow_words() { grow(words_, inline_words_, word_count_, word_capacity_); }
void KeyWriter::grow_tensors() { grow(tensors_, inline_tensors_, tensor_count_, tensor_capacity_); }
void KeyWriter::release() noexcept {
  if (words_ != inline_words_) memory::free(words_, word_capacity_ * sizeof(uint64_t));
  if (tensors_ != inline_tensors_) memory::free(tensors_, tensor_capacity_ * sizeof(TensorImpl*));
}

uint64_t digest(const KeyWriter& key) {
  uint64_t hash = hash_words(key.words(), 0);
  for (const TensorImpl* tensor : key.tensors()) {
    const uint64_t address = reinterpret_cast<uintptr_t>(tensor);
    hash = hash_words({&address, 1}, hash);
  }
  return hash;
}

void ResultReader::text(std::string_view text, bool is_owned) {
  is_whole &= is_owned;
  words.push_back(text.size());
  for (const char c : text) words.push_back(static_cast<unsigned char>(c));
}

// --- entering

bool enter(CompiledFunction& function, KeyWriter& key, EnteredResult& result) {
  // Inside another compiled function this one's ops are part of it.
  if (thread_state.own || !key.is_whole() || key.has_pending()) return false;
  PureTable& table = *function.pure();
  if (!table.is_believed() || settings().verify || settings().disable_compile) return false;
  PureProgram* const program = table.find(key.words());
  if (!program) return false;
  if (!program->count_call(function.options().audits)) {
    // Registered state of another kind than before is no fault of the function: the key is learned anew.
    if (!program->fits(key.tensors())) table.forget(*program);
    return false;
  }
  try {
    if (program->run(key.tensors(), result)) return true;
    table.forget(*program);
  } catch (const std::exception&) {
    // Nothing was written yet: the function's own code meets the error, and may handle it.
    key.note_failure();
  }
  return false;
}

// --- observing

struct ObservedCall::State {
  CompiledFunction& function;
  CallScope scope;
  bool is_learned;
  std::vector<uint64_t> words;
  std::vector<Tensor> arguments;
  std::vector<StateSnapshot> state;
  std::string refusal;

  State(CompiledFunction& function, const KeyWriter& key)
      : function(function),
        scope(function),
        is_learned(scope.frame() && function.pure()->is_believed() && !key.has_failed()) {
    if (!is_learned) return;
    words.assign(key.words().begin(), key.words().end());
    for (TensorImpl* argument : key.tensors()) arguments.push_back(Tensor::share(argument));
    state = snapshot_state();
    if (!key.is_whole()) refusal = "an argument has a part that cannot be made into a key";
  }
};

ObservedCall::ObservedCall(CompiledFunction& function, const KeyWriter& key)
    : state_(std::make_unique<State>(function, key)) {}
ObservedCall::~ObservedCall() = default;

void ObservedCall::refuse(const char* reason) {
  if (state_->refusal.empty()) state_->refusal = reason;
}

void ObservedCall::finish(const ResultReader& reader, const void* result, MakePrototype make_prototype) {
  State& state = *state_;
  PureTable& table = *state.function.pure();
  if (!state.is_learned) return state.scope.finish();
  std::optional<PureTrace> trace;
  if (state.refusal.empty()) try {
      trace = read_trace(*state.scope.frame(), state.function.tree(), state.arguments, state.state, reader);
    } catch (const Refusal& refusal) {
      state.refusal = refusal.reason;
    }
  state.scope.finish();
  if (state.scope.frame()->has_omitted()) return;  // the next call, which matches the loop, shows all of it
  if (trace && state.scope.frame()->notes().obstacle) state.refusal = state.scope.frame()->notes().obstacle;
  if (!state.refusal.empty() && state.scope.frame()->notes().has_new_order)
    return table.refuse_new_order(state.function, state.words, state.refusal);
  if (!state.refusal.empty()) return table.refuse(state.function, state.words, state.refusal);
  note_end(*trace, *state.scope.frame(), state.function.tree());
  std::shared_ptr<const void> prototype;
  if (result) {
    prototype = make_prototype(result);
    if (!prototype) return table.refuse(state.function, state.words, "its result has a part that cannot be taken apart and made again");
  }
  table.learn(state.function, state.words, std::move(*trace), std::move(prototype));
}

}  // namespace calque::detail
