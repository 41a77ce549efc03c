// compile(pure, f): the caller states that f depends on nothing but its arguments, registered state
// (calque/state.h) and the modes of the process, and does nothing but return its result and assign to
// registered state.
//
// Once a kind of arguments (a key) was matched twice alike, calls with that key run the plan without f's own
// code. Some of them (about the 4th, 8th, 16th, ... of a key) are matched all the same: a difference is
// reported once with its line, and f is matched from then on, as compile(f) does from the start. What cannot
// be done without f's code (it reads elements, writes in place, uses a tensor from elsewhere) is matched,
// too; explain() says which and why.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "calque/compile.h"
#include "calque/reflect.h"

#pragma GCC visibility push(default)

namespace calque {

struct Pure {};
inline constexpr Pure pure{};

namespace detail {

/// What a call is known by: one word for each tensor (dtype, rank, layout, requires_grad, which earlier
/// argument it is), its sizes, numbers and texts by value, structure, and the modes of the thread.
class KeyWriter {
 public:
  /// Of a call of this kind, in the modes that the process is in now.
  explicit KeyWriter(const void* kind);
  /// Of nothing but what is written, and the modes that this thread has set.
  KeyWriter();
  ~KeyWriter() {
    if (words_ != inline_words_ || tensors_ != inline_tensors_) release();
  }
  KeyWriter(const KeyWriter&) = delete;
  KeyWriter& operator=(const KeyWriter&) = delete;

  void word(uint64_t bits) {
    if (word_count_ == word_capacity_) grow_words();
    words_[word_count_++] = bits;
  }
  void tensor(const Tensor& tensor);
  void text(std::string_view text, bool is_owned);
  void unknown() { is_whole_ = false; }
  /// Its plan failed on the values of this call: what the function's own code does then says nothing of other
  /// calls.
  void note_failure() { has_failed_ = true; }

  std::span<const uint64_t> words() const { return {words_, word_count_}; }
  std::span<TensorImpl* const> tensors() const { return {tensors_, tensor_count_}; }
  /// Whether everything could be taken apart.
  bool is_whole() const { return is_whole_; }
  bool has_pending() const { return has_pending_; }
  bool has_failed() const { return has_failed_; }

 private:
  void grow_words();
  void grow_tensors();
  void release() noexcept;

  static constexpr size_t kInlineWords = 96, kInlineTensors = 24;
  size_t word_count_ = 0, word_capacity_ = kInlineWords, tensor_count_ = 0, tensor_capacity_ = kInlineTensors;
  uint64_t* words_ = inline_words_;
  TensorImpl** tensors_ = inline_tensors_;
  bool is_whole_ = true, has_pending_ = false, has_failed_ = false;
  uint64_t inline_words_[kInlineWords];
  TensorImpl* inline_tensors_[kInlineTensors];
};

/// Takes a result apart: its tensors, and words for all else.
class ResultReader {
 public:
  void word(uint64_t bits) { words.push_back(bits); }
  void tensor(Tensor& tensor) {
    words.push_back(static_cast<bool>(tensor));
    tensors.push_back(&tensor);
  }
  void tensor(const Tensor&) { is_whole = false; }
  void text(std::string_view text, bool is_owned);
  void unknown() { is_whole = false; }

  std::vector<Tensor*> tensors;
  std::vector<uint64_t> words;
  bool is_whole = true;
};

/// Puts tensors into a copy of a result, in the order of a ResultReader.
struct ResultFiller {
  Tensor* next;
  void word(uint64_t) {}
  void tensor(Tensor& tensor) { tensor = std::move(*next++); }
  void tensor(const Tensor&) {}
  void text(std::string_view, bool) {}
  void unknown() {}
};

/// The tensors of one result, made without the function's code, and the rest of it to copy.
struct EnteredResult {
  static constexpr size_t kInline = 8;
  Tensor inline_tensors[kInline];
  std::vector<Tensor> more;
  Tensor* tensors = inline_tensors;
  const void* prototype = nullptr;
};

/// Runs the call's plan when the key is known and no audit is due. False: the function's code is to run,
/// observed.
bool enter(CompiledFunction& function, KeyWriter& key, EnteredResult& result);

/// A copy of a result without its tensors; null where there is no copying it.
using MakePrototype = std::shared_ptr<const void> (*)(const void* result);
template <class Result>
std::shared_ptr<const void> make_prototype(const void* result) {
  if constexpr (std::is_copy_constructible_v<Result>) {
    auto copy = std::make_shared<Result>(*static_cast<const Result*>(result));
    struct Emptier {
      void word(uint64_t) {}
      void tensor(Tensor& tensor) { tensor = Tensor(); }
      void tensor(const Tensor&) {}
      void text(std::string_view, bool) {}
      void unknown() {}
    } emptier;
    walk(emptier, *copy);
    return copy;
  } else {
    return nullptr;
  }
}

/// A call of a pure function whose own code runs: what it does is compared with earlier calls of its key.
class ObservedCall {
 public:
  ObservedCall(CompiledFunction& function, const KeyWriter& key);
  ~ObservedCall();
  ObservedCall(const ObservedCall&) = delete;
  ObservedCall& operator=(const ObservedCall&) = delete;

  /// The call does something that its key says nothing of.
  void refuse(const char* reason);
  /// The body returned: runs what is pending and learns from the call.
  void finish(const ResultReader& reader, const void* result, MakePrototype make_prototype);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Of all words and of which tensors they are.
uint64_t digest(const KeyWriter& key);

/// A number of its own for each list of argument types and categories.
template <class... Arguments>
inline constexpr char kCallKind = 0;

}  // namespace detail

/// A function wrapped by compile(pure, ...). Copies share what was compiled. Any number of threads may call
/// it.
template <class Function>
class CompiledPure : public CompiledBase {
 public:
  CompiledPure(Function function, const CompileOptions& options)
      : CompiledBase(detail::make_compiled_function(options, true)), function_(std::move(function)) {}

  template <class... Arguments>
  auto operator()(Arguments&&... arguments) -> std::invoke_result_t<Function&, Arguments...> {
    using Result = std::invoke_result_t<Function&, Arguments...>;
    detail::KeyWriter key(&detail::kCallKind<Arguments...>);
    (detail::walk(key, arguments), ...);
    detail::EnteredResult made;
    if constexpr (!std::is_reference_v<Result>) {
      if (detail::enter(*state_, key, made)) {
        if constexpr (std::is_void_v<Result>) {
          return;
        } else if constexpr (std::is_same_v<Result, Tensor>) {
          return std::move(made.tensors[0]);
        } else if constexpr (std::is_copy_constructible_v<Result>) {
          Result result(*static_cast<const Result*>(made.prototype));
          detail::ResultFiller filler{made.tensors};
          detail::walk(filler, result);
          return result;
        }
      }
    }
    return observe<Result>(key, std::forward<Arguments>(arguments)...);
  }

 private:
  template <class Result, class... Arguments>
  Result observe(const detail::KeyWriter& key, Arguments&&... arguments) {
    detail::ObservedCall call(*state_, key);
    const uint64_t before = changeable<Arguments...>(arguments...);
    const auto check_arguments = [&] {
      if (changeable<Arguments...>(arguments...) != before) call.refuse("it assigns to one of its arguments");
    };
    detail::ResultReader reader;
    if constexpr (std::is_void_v<Result>) {
      std::invoke(function_, std::forward<Arguments>(arguments)...);
      check_arguments();
      call.finish(reader, nullptr, nullptr);
    } else if constexpr (std::is_reference_v<Result>) {
      Result result = std::invoke(function_, std::forward<Arguments>(arguments)...);
      call.refuse("it returns a reference");
      call.finish(reader, nullptr, nullptr);
      return static_cast<Result>(result);
    } else {
      Result result = std::invoke(function_, std::forward<Arguments>(arguments)...);
      check_arguments();
      detail::walk(reader, result);
      call.finish(reader, &result, &detail::make_prototype<Result>);
      return result;
    }
  }

  /// A digest of the caller's variables that the function could assign to.
  template <class... Arguments>
  static uint64_t changeable(const std::remove_reference_t<Arguments>&... arguments) {
    detail::KeyWriter words;
    const auto add = [&]<class Argument>(const auto& argument, std::type_identity<Argument>) {
      if constexpr (std::is_lvalue_reference_v<Argument> &&
                    !std::is_const_v<std::remove_reference_t<Argument>>)
        detail::walk(words, argument);
    };
    (add(arguments, std::type_identity<Arguments>()), ...);
    return detail::digest(words);
  }

  Function function_;
};

/// Wraps a callable that is pure in the sense above. Throws nothing for one that is not: it is found out and
/// matched.
template <class Function>
CompiledPure<std::decay_t<Function>> compile(Pure, Function&& function, const CompileOptions& options = {}) {
  return {std::forward<Function>(function), options};
}

}  // namespace calque

#pragma GCC visibility pop
