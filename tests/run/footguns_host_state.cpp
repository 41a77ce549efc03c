// Programs whose course depends on host state: flags, counters, caches, containers, objects that are
// exchanged.
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <sstream>
#include <string>

#include "tests/run/footguns.h"

namespace calque {

namespace {

int& static_counter() {
  static int counter = 0;
  return counter;
}

struct Activation {
  virtual ~Activation() = default;
  virtual Tensor operator()(const Tensor& x) const = 0;
};
struct Tanh : Activation {
  Tensor operator()(const Tensor& x) const override { return tanh(x); }
};
struct Silu : Activation {
  Tensor operator()(const Tensor& x) const override { return silu(x) * 2.0; }
};

Program flag() {
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
    const Tensor y = in[0] * in[1];
    if (calls++ % 3 == 1) return {tanh(y) + in[0]};
    return {sigmoid(y) - 2.0};
  }};
}

Program early_return() {
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
    const Tensor y = exp(in[0]);
    if (++calls % 2 == 0) return {y};
    const Tensor z = y + in[1];
    return {z, y};
  }};
}

Program counter_in_a_static() {
  static_counter() = 0;
  return {[](const Tensors& in) -> Tensors {
    Tensor y = in[0];
    for (int i = 0; i < static_counter() % 3; ++i) y = tanh(y + in[1]);
    ++static_counter();
    return {y * 2.0};
  }};
}

Program side_effects() {
  auto calls = std::make_shared<int64_t>(0);
  return {[calls](const Tensors& in) -> Tensors {
            ++*calls;
            return {in[0] * 2.0};
          },
          [calls](const Function& f, int call) -> Tensors {
            return {f(two_matrices(call))[0], from_value(*calls)};
          }};
}

Program two_bounds() {
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
    const int T = 1 + calls++ * 3 % 7;
    Tensor h = in[0];
    for (int t = 0; t < T && t < 4; ++t) h = tanh(h * 0.9 + in[1]);
    return {h};
  }};
}

Program trip_count_from_data() {
  return {[](const Tensors& in) -> Tensors {
            Tensor y = in[0];
            int64_t steps = 0;
            while (sum(y * y).item() > 1.0 && steps < 20) {
              y = y * 0.5;
              ++steps;
            }
            return {y, from_value(steps)};
          },
          [](const Function& f, int call) {
            return f({numbers({4, 9}, 1 << call % 4)});
          }};
}

Program branch_on_data() {
  return {[](const Tensors& in) -> Tensors {
            const Tensor y = in[0] * in[1];
            if (sum(y).item() > 3.0) return {exp(y * 0.1)};
            return {y - 1.0};
          },
          [](const Function& f, int call) {
            return f({numbers({4, 9}, call % 2 ? -2 : 2), numbers({4, 9}, 0.5, 0.01)});
          }};
}

Program random_mask() {
  return {[random = std::mt19937(7)](const Tensors& in) mutable -> Tensors {
    std::vector<float> mask(36);
    for (float& m : mask) m = random() % 4 ? 1.0f : 0.0f;
    return {in[0] * from_vector(mask, {4, 9}) + in[1]};
  }};
}

Program made_at_the_first_call() {
  return {[mask = std::optional<Tensor>()](const Tensors& in) mutable -> Tensors {
    if (!mask) mask = tanh(in[0]) > 0.0;
    return {where(*mask, in[0], in[1]), *mask};
  }};
}

Program cache_by_size() {
  return {[cache = std::map<int64_t, Tensor>()](const Tensors& in) mutable -> Tensors {
            Tensor& ramp = cache[in[0].size(0)];
            if (!ramp) ramp = cast(arange(in[0].size(0)), DType::f32) / static_cast<double>(in[0].size(0));
            return {in[0] * ramp};
          },
          [](const Function& f, int call) { return f({numbers({3 + call % 3}, call)}); }};
}

Program training_flag() {
  struct Dropout {
    bool training = true;
    std::mt19937 random{3};
    Tensor operator()(const Tensor& x) {
      if (!training) return x;
      std::vector<float> keep(static_cast<size_t>(x.element_count()));
      for (float& k : keep) k = random() % 2 ? 2.0f : 0.0f;
      return x * from_vector(keep, x.shape());
    }
  };
  auto dropout = std::make_shared<Dropout>();
  return {[dropout](const Tensors& in) -> Tensors { return {(*dropout)(tanh(in[0])) + in[1]}; },
          [dropout](const Function& f, int call) {
            dropout->training = call % 4 < 2;
            return drive_on_two_matrices(f, call);
          }};
}

Program order_of_a_map() {
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
    std::map<int, Tensor> by_key;
    for (int i = 0; i < 3; ++i) by_key[(i + calls) % 3] = in[0] + static_cast<double>(i);
    ++calls;
    Tensor y = in[1];
    for (const auto& [key, value] : by_key) y = y * value + 1.0;
    return {y};
  }};
}

Program exchanged_object() {
  auto activation = std::make_shared<std::unique_ptr<Activation>>(std::make_unique<Tanh>());
  return {[activation](const Tensors& in) -> Tensors { return {(**activation)(in[0]) + in[1]}; },
          [activation](const Function& f, int call) {
            if (call % 3 == 2) *activation = std::make_unique<Silu>();
            if (call % 3 == 1) *activation = std::make_unique<Tanh>();
            return drive_on_two_matrices(f, call);
          }};
}

Program exchanged_function() {
  auto body = std::make_shared<std::function<Tensor(const Tensor&)>>([](const Tensor& x) { return exp(x); });
  return {[body](const Tensors& in) -> Tensors { return {(*body)(in[0] * 0.5) + in[1]}; },
          [body](const Function& f, int call) {
            if (call == 3) *body = [](const Tensor& x) { return x; };
            if (call == 5) *body = [](const Tensor& x) { return exp(exp(x)); };
            return drive_on_two_matrices(f, call);
          }};
}

Program loop_run_backwards() {
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
    Tensor y = in[0];
    const bool backwards = calls++ % 2;
    for (int i = 0; i < 4; ++i)
      y = y * 0.5 + slice(in[1], 0, backwards ? 3 - i : i, (backwards ? 3 - i : i) + 1);
    return {y};
  }};
}

Program printing() {
  return {[](const Tensors& in) -> Tensors {
    const Tensor y = in[0] - in[1];
    std::ostringstream stream;
    stream << y << in[0] << transpose(y);
    int64_t hash = 0;
    for (char c : stream.str()) hash = (hash * 31 + c) % 1'000'000'007;
    return {y * y, from_value(hash)};
  }};
}

Program feedback_through_the_host() {
  return {[scale = 64.0](const Tensors& in) mutable -> Tensors {
    const Tensor y = in[0] * scale;
    const double largest = max(y).item();
    scale = largest > 20 ? scale * 0.5 : scale * 3;
    return {y + in[1], from_value(scale)};
  }};
}

Program callback() {
  auto calls = std::make_shared<int>(0);
  const auto apply = [](const Tensor& x, const std::function<Tensor(const Tensor&)>& step) {
    return step(step(x) + 1.0);
  };
  return {[calls, apply](const Tensors& in) -> Tensors {
    const int call = (*calls)++;
    return {apply(in[0], [&](const Tensor& x) { return call % 2 ? x * in[1] : tanh(x); })};
  }};
}

Program recursion_to_a_depth() {
  struct Recursive {
    Tensor operator()(const Tensor& x, int depth) const {
      return depth == 0 ? x : tanh((*this)(x * 0.5, depth - 1));
    }
  };
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
    return {Recursive()(in[0], calls++ % 4) + in[1]};
  }};
}

Program unused_results() {
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
    exp(in[0]);
    const Tensor unused = in[0] * in[1];
    if (calls++ % 2) return {};
    return {in[0] + 1.0};
  }};
}

Program deep_chain() {
  return {[](const Tensors& in) -> Tensors {
    Tensor y = in[0];
    for (int i = 0; i < 150; ++i) y = tanh(sigmoid(y) * 1.5 - in[1]);
    return {y};
  }};
}

Program more_ways_than_are_kept() {
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
    Tensor y = in[0];
    for (int i = 0; i < 10; ++i) y = (calls * 37 >> i) & 1 ? tanh(y) : y + in[1];
    ++calls;
    return {y};
  }};
}

}  // namespace

Footguns footguns_of_host_state() {
  return {
      {"a branch on a host flag", "goes on with the branch of the first call", PureFate::reported, flag, 9,
       6},
      {"an early return", "goes on to the end, or always returns early", PureFate::reported, early_return, 8,
       5},
      {"a counter in a static", "bakes the count in", PureFate::reported, counter_in_a_static, 9, 5},
      {"side effects on the host", "does not run the function's own code again", PureFate::skipped,
       side_effects},
      {"t < T && t < 4", "bakes in whichever bound ended the first loop", PureFate::reported, two_bounds, 14,
       6},
      {"a loop whose trip count depends on data", "bakes the trip count in", PureFate::matched,
       trip_count_from_data, 12, 12},
      {"a branch on data through item()", "bakes the value in", PureFate::matched, branch_on_data, 9, 8},
      {"a std::mt19937 mask", "uses the first mask for ever", PureFate::matched, random_mask},
      {"something made at the first call only",
       "makes it again in every call, or keeps a tensor of the trace", PureFate::matched,
       made_at_the_first_call},
      {"a cache by size", "takes the entry of the first size", PureFate::matched, cache_by_size, 9, 3},
      {"a training flag", "stays in the mode of the first call", PureFate::reported, training_flag, 12, 6},
      {"the order of a map's keys", "keeps the order of the first call", PureFate::reported, order_of_a_map,
       9, 4},
      {"an object exchanged for one of another class", "goes on calling the first one", PureFate::reported,
       exchanged_object, 9, 4},
      {"a std::function exchanged for another", "goes on calling the first one", PureFate::reported,
       exchanged_function, 8, 4},
      {"a loop run backwards in every second call", "keeps the first order", PureFate::reported,
       loop_run_backwards, 8, 4},
      {"printing inside the function", "prints placeholders, or only once", PureFate::matched, printing},
      {"feedback through the host", "bakes in the scale of the first call", PureFate::matched,
       feedback_through_the_host, 10, 4},
      {"a callback given by the caller", "traces through the first callback", PureFate::reported, callback, 8,
       4},
      {"recursion to a changing depth", "keeps the first depth", PureFate::reported, recursion_to_a_depth, 12,
       5},
      {"results that nobody uses, and no result at all", "fails for want of outputs", PureFate::reported,
       unused_results, 8, 2},
      {"a deep chain of ops", "recurses once for each op", PureFate::entered, deep_chain, 4, 1},
      {"more ways than a tree may have", "grows for ever, or drops the wrong way", PureFate::reported,
       more_ways_than_are_kept, 100, 0},
  };
}

}  // namespace calque
