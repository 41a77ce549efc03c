// A list published by an atomic pointer, in front of the disk cache.
#include "compiler/plan_cache.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>
#include <string_view>
#include <vector>

namespace calque {

namespace {

constexpr size_t kMostPrograms = 256;
constexpr uint64_t kMostBytes = uint64_t{64} << 20;

struct Program {
  size_t hash;
  std::string key;
  std::shared_ptr<const Blobs> parts;
  uint64_t bytes;
  mutable std::atomic<uint64_t> last_use;

  Program(std::string_view text, std::shared_ptr<const Blobs> blobs, uint64_t now)
      : hash(std::hash<std::string_view>{}(text)),
        key(text),
        parts(std::move(blobs)),
        bytes(key.size()),
        last_use(now) {
    for (const auto& [name, data] : *parts) bytes += name.size() + data.size();
  }
};

using Programs = std::vector<std::shared_ptr<const Program>>;  // by hash

Programs::const_iterator position(const Programs& programs, size_t hash, std::string_view key) {
  const auto begin =
      std::ranges::lower_bound(programs, hash, {}, [](const auto& program) { return program->hash; });
  return std::find_if(begin, programs.end(),
                      [&](const auto& program) { return program->hash != hash || program->key == key; });
}

}  // namespace

/// Old lists are kept until no reader is inside: a reader that comes later takes the new one.
struct ProgramTable::State {
  const size_t most_programs;
  const uint64_t most_bytes;

  std::atomic<const Programs*> current{new Programs};
  mutable std::atomic<uint64_t> readers{0}, clock{0}, hits{0};

  std::mutex mutex;  // of writers; guards what follows
  std::vector<std::unique_ptr<const Programs>> retired;
  uint64_t bytes = 0, evicted = 0;

  State(size_t programs, uint64_t total) : most_programs(programs), most_bytes(total) {}
  ~State() { delete current.load(); }

  void publish(std::unique_ptr<const Programs> programs) {
    retired.emplace_back(current.exchange(programs.release()));
    if (readers.load() == 0) retired.clear();
  }

  void evict(Programs& programs) {
    while (programs.size() > most_programs || bytes > most_bytes) {
      const auto oldest = std::ranges::min_element(
          programs, {}, [](const auto& program) { return program->last_use.load(); });
      bytes -= (*oldest)->bytes;
      ++evicted;
      programs.erase(oldest);
    }
  }
};

ProgramTable::ProgramTable(size_t most_programs, uint64_t most_bytes)
    : state_(std::make_unique<State>(most_programs, most_bytes)) {}

ProgramTable::~ProgramTable() = default;

std::shared_ptr<const Blobs> ProgramTable::find(std::string_view key) const {
  const State& state = *state_;
  ++state.readers;  // before the pointer is read: both are sequentially consistent
  const Programs& programs = *state.current.load();
  std::shared_ptr<const Blobs> found;
  const size_t hash = std::hash<std::string_view>{}(key);
  const auto at = position(programs, hash, key);
  if (at != programs.end() && (*at)->hash == hash) {
    (*at)->last_use = ++state.clock;
    found = (*at)->parts;
    ++state.hits;
  }
  --state.readers;
  return found;
}

void ProgramTable::insert(std::string_view key, std::shared_ptr<const Blobs> parts) {
  State& state = *state_;
  auto program = std::make_shared<const Program>(key, std::move(parts), ++state.clock);
  if (program->bytes > state.most_bytes) return;
  const std::lock_guard lock(state.mutex);
  auto programs = std::make_unique<Programs>(*state.current.load());
  const auto at = programs->begin() + (position(*programs, program->hash, key) - programs->cbegin());
  const bool is_known = at != programs->end() && (*at)->hash == program->hash;
  if (is_known) state.bytes -= (*at)->bytes;
  state.bytes += program->bytes;
  if (is_known)
    *at = std::move(program);
  else
    programs->insert(at, std::move(program));
  state.evict(*programs);
  state.publish(std::move(programs));
}

ProgramTable::Counts ProgramTable::counts() const {
  const std::lock_guard lock(state_->mutex);
  return {state_->current.load()->size(), state_->bytes, state_->hits, state_->evicted};
}

ProgramTable& memory_cache() {
  static auto* const table =
      new ProgramTable(kMostPrograms, kMostBytes);  // compiled functions may outlive static destruction
  return *table;
}

const char* phrase(PlanOrigin origin) {
  switch (origin) {
    case PlanOrigin::compiled:
      return "compiled";
    case PlanOrigin::memory:
      return "taken from the cache in memory";
    case PlanOrigin::disk:
      break;
  }
  return "taken from the cache on disk";
}

CachedPlan load_plan(const std::string& key) {
  if (auto parts = memory_cache().find(key)) return {std::move(parts), PlanOrigin::memory};
  std::optional<Blobs> parts = disk_cache().load(key);
  if (!parts) return {};
  auto shared = std::make_shared<const Blobs>(std::move(*parts));
  memory_cache().insert(key, shared);
  return {std::move(shared), PlanOrigin::disk};
}

void store_plan(const std::string& key, Blobs parts) {
  disk_cache().store(key, parts);
  memory_cache().insert(key, std::make_shared<const Blobs>(std::move(parts)));
}

}  // namespace calque
