// What each part of a checkpoint saves, checks and takes over.
#include "calque/nn/checkpoint.h"

#include <string_view>

#include "calque/nn/safetensors.h"

namespace calque::nn {

namespace {

/// The one tensor, without a name of its own, of parts that are a single number or variable.
constexpr std::string_view kItself = "";

std::string full_name(const std::string& part, const std::string& inner) { return inner.empty() ? part : part + "." + inner; }

/// The tensors of one part, by their names within it.
NamedTensors tensors_of(const NamedTensors& all, const std::string& part) {
  NamedTensors result = within(all, part);
  if (const Tensor itself = find(all, part)) result.emplace_back(kItself, itself);
  return result;
}

Tensor only_tensor(const NamedTensors& tensors, const Type& type) {
  const Tensor tensor = find(tensors, kItself);
  if (!tensor || tensors.size() != 1) throw UserError("it must be one tensor, got " + std::to_string(tensors.size()));
  const Type given{tensor.dtype(), tensor.shape()};
  if (!(given == type)) throw UserError("it must be " + to_string(type) + ", got " + to_string(given));
  return tensor;
}

}  // namespace

NamedTensors within(const NamedTensors& tensors, const std::string& name) {
  NamedTensors result;
  for (const auto& [full, tensor] : tensors)
    if (full.starts_with(name + ".")) result.emplace_back(full.substr(name.size() + 1), tensor);
  return result;
}

Checkpoint& Checkpoint::add(Part part) {
  if (part.name.empty() || part.name.find('.') != std::string::npos)
    throw UserError("Checkpoint: a name must not be empty or have a dot, got '" + part.name + "'");
  for (const Part& other : parts_)
    if (other.name == part.name) throw UserError("Checkpoint: the name " + part.name + " is taken");
  parts_.push_back(std::move(part));
  return *this;
}

Checkpoint& Checkpoint::add(const std::string& name, Module& module) {
  return add({name, [&module] { return module.state(); }, [&module](const NamedTensors& state) { module.check_state(state); },
              [&module](const NamedTensors& state) { module.load_state(state); }});
}

Checkpoint& Checkpoint::add(const std::string& name, optim::Optimizer& optimizer) {
  return add({name, [&optimizer] { return optimizer.state(); },
              [&optimizer](const NamedTensors& state) { optimizer.check_state(state); },
              [&optimizer](const NamedTensors& state) { optimizer.load_state(state); }});
}

Checkpoint& Checkpoint::add(const std::string& name, Generator& generator) {
  const Type type{DType::i64, {2}};
  return add({name, [&generator] { return NamedTensors{{std::string(kItself), generator.state()}}; },
              [type](const NamedTensors& state) { only_tensor(state, type); },
              [&generator, type](const NamedTensors& state) { generator.set_state(only_tensor(state, type)); }});
}

Checkpoint& Checkpoint::add(const std::string& name, int64_t& number) {
  const Type type{DType::i64, {}};
  return add({name, [&number] { return NamedTensors{{std::string(kItself), from_value<int64_t>(number)}}; },
              [type](const NamedTensors& state) { only_tensor(state, type); },
              [&number, type](const NamedTensors& state) { number = only_tensor(state, type).to_vector<int64_t>()[0]; }});
}

Checkpoint& Checkpoint::add(const std::string& name, Tensor& variable) {
  return add({name,
              [&variable] { return variable ? NamedTensors{{std::string(kItself), variable.detach()}} : NamedTensors{}; },
              [&variable](const NamedTensors& state) {
                const Tensor tensor = find(state, kItself);
                const Tensor& fitting = variable ? variable : tensor;
                if (!state.empty()) only_tensor(state, fitting ? Type{fitting.dtype(), fitting.shape()} : Type{});
              },
              [&variable](const NamedTensors& state) { variable = find(state, kItself); }});
}

NamedTensors Checkpoint::state() const {
  NamedTensors result;
  for (const Part& part : parts_)
    for (const auto& [inner, tensor] : part.state()) result.emplace_back(full_name(part.name, inner), tensor);
  return result;
}

void Checkpoint::load_state(const NamedTensors& tensors) {
  size_t used = 0;
  for (const Part& part : parts_) {
    const NamedTensors own = tensors_of(tensors, part.name);
    used += own.size();
    try {
      part.check(own);
    } catch (const UserError& error) {
      throw UserError("Checkpoint: " + part.name + ": " + error.what());
    }
  }
  if (used != tensors.size())
    throw UserError("Checkpoint: " + std::to_string(tensors.size() - used) + " of its tensors belong to no part of this program's list");
  for (const Part& part : parts_) part.load(tensors_of(tensors, part.name));
}

void Checkpoint::save(const std::string& path, const Metadata& metadata) const { save_safetensors(path, state(), metadata); }

Checkpoint::Metadata Checkpoint::load(const std::string& path) {
  const SafetensorsFile file = load_safetensors(path);
  try {
    load_state(file.tensors);
  } catch (const UserError& error) {
    throw UserError(path + " does not fit: " + error.what());
  }
  return file.metadata;
}

}  // namespace calque::nn
