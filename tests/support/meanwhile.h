// A setting that has another value for as long as a test needs it.
#pragma once

#include <atomic>
#include <type_traits>

namespace calque::test {

template <class T>
class Meanwhile {
 public:
  Meanwhile(std::atomic<T>& setting, std::type_identity_t<T> value) : setting_(setting), before_(setting.exchange(value)) {}
  ~Meanwhile() { setting_ = before_; }
  Meanwhile(const Meanwhile&) = delete;
  Meanwhile& operator=(const Meanwhile&) = delete;

 private:
  std::atomic<T>& setting_;
  const T before_;
};

}  // namespace calque::test
