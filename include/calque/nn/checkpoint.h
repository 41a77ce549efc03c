// Checkpoints: all that a training needs to go on with the same bits, in one file that appears whole or not at all.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "calque/nn/module.h"
#include "calque/nn/optimizer.h"
#include "calque/random.h"

#pragma GCC visibility push(default)

namespace calque::nn {

/// A list of the things that change while a program trains. Each is known by reference, so it has to live as long as this list.
///
///     nn::Checkpoint checkpoint;
///     checkpoint.add("model", net).add("optimizer", adam).add("random", default_generator()).add("step", step);
///     if (resume) checkpoint.load(path);
///     while (step < steps) { ...; ++step; if (step % 100 == 0) checkpoint.save(path); }
class Checkpoint {
 public:
  using Metadata = std::map<std::string, std::string>;

  // Throw UserError for a name that is empty, has a dot or is taken.
  Checkpoint& add(const std::string& name, Module& module);
  Checkpoint& add(const std::string& name, optim::Optimizer& optimizer);
  Checkpoint& add(const std::string& name, Generator& generator);
  /// A count or a place in the data.
  Checkpoint& add(const std::string& name, int64_t& number);
  /// A variable that is carried from step to step, such as a recurrent state; it may be empty. Loading puts another tensor into it,
  /// without history; while it holds one, only one of the same type.
  Checkpoint& add(const std::string& name, Tensor& variable);

  /// Writes a safetensors file, as save_safetensors does: until it is whole, a file that was there stays. Tensors are named
  /// "<name>" or "<name>.<name within>".
  void save(const std::string& path, const Metadata& metadata = {}) const;
  /// Reads what save() wrote with a list of the same names, and gives its metadata. Throws UserError, and changes nothing, when the
  /// file is damaged or does not fit.
  Metadata load(const std::string& path);

  /// The same without a file.
  NamedTensors state() const;
  void load_state(const NamedTensors& tensors);

 private:
  struct Part {
    std::string name;
    std::function<NamedTensors()> state;
    std::function<void(const NamedTensors&)> check, load;
  };
  Checkpoint& add(Part part);

  std::vector<Part> parts_;
};

/// The tensors whose names begin with "<name>.", without that.
NamedTensors within(const NamedTensors& tensors, const std::string& name);

}  // namespace calque::nn

#pragma GCC visibility pop
