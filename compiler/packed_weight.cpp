// Finds what is packed already by where the weight lies.
#include "compiler/packed_weight.h"

#include <map>
#include <mutex>

namespace calque {

namespace {

struct Registry {
  std::mutex mutex;
  std::map<PackedWeight::Matrix, std::weak_ptr<PackedWeight>> weights;
};

/// Never destroyed: plans of other statics may be destroyed later.
Registry& registry() {
  static Registry& made = *new Registry;
  return made;
}

}  // namespace

std::shared_ptr<PackedWeight> PackedWeight::of(const Matrix& matrix) {
  const std::lock_guard lock(registry().mutex);
  std::weak_ptr<PackedWeight>& known = registry().weights[matrix];
  std::shared_ptr<PackedWeight> weight = known.lock();
  if (!weight) known = weight = std::make_shared<PackedWeight>(matrix);
  return weight;
}

size_t PackedWeight::count() {
  const std::lock_guard lock(registry().mutex);
  return registry().weights.size();
}

PackedWeight::PackedWeight(const Matrix& matrix) : matrix_(matrix), storage_(Ref<Storage>::share(matrix.storage)) {}

PackedWeight::~PackedWeight() {
  const std::lock_guard lock(registry().mutex);
  const auto entry = registry().weights.find(matrix_);
  if (entry != registry().weights.end() && entry->second.expired()) registry().weights.erase(entry);
}

Tensor PackedWeight::find(uint32_t version) {
  const std::unique_lock lock(lock_, std::try_to_lock);
  return lock && version == version_ ? packed_ : Tensor();
}

void PackedWeight::keep(uint32_t version, const Tensor& packed) {
  const std::unique_lock lock(lock_, std::try_to_lock);
  if (!lock) return;
  version_ = version;
  packed_ = packed;
}

}  // namespace calque
