// From a traced segment to plans: prepare, differentiate, lower, generate code; or all of it from the cache.
#include "compiler/compiled_segment.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>

#include "compiler/absent_gradients.h"
#include "compiler/codegen_client.h"
#include "compiler/compile_dump.h"
#include "compiler/generated.h"
#include "compiler/log.h"
#include "compiler/plan_cache.h"
#include "compiler/plan_entry.h"
#include "compiler/settings.h"
#include "compiler/step_rows.h"
#include "ir/graph/printer.h"
#include "ir/op/error.h"
#include "passes/pipeline.h"

namespace calque {

namespace {

PassOptions pass_options(const std::string& dump_name) {
  PassOptions options;
  options.disabled.insert(settings().disabled_passes.begin(), settings().disabled_passes.end());
  options.verify = settings().verify_ir;
  if (!dump_name.empty()) options.after = dump_hook(dump_name);
  return options;
}

/// Nothing is dumped for a segment without a name.
std::string part_name(const std::string& name, const char* part) { return name.empty() ? "" : name + part; }

std::string cache_key(const SegmentGraph& traced) {
  std::string key = print(own_plan_header());
  for (const SlotRecord& slot : traced.slots)
    key += fmt::format("slot {} {} {}\n", slot.requires_grad, slot.is_leaf,
                       fmt::join(std::span(slot.strides).first(slot.shape.rank()), ","));
  key += fmt::format("held {} roots {} gradients {}\n", traced.held.size(), fmt::join(traced.roots, ","),
                     fmt::join(traced.output_has_gradient(), ","));
  return key + print_program(traced.graph);
}

/// What CALQUE_DUMP asks for is made anew.
CachedPlan find_plan(const std::string& key) { return settings().dump_dir.empty() ? load_plan(key) : CachedPlan{}; }

/// A copy of the graph that gives other outputs.
Graph with_outputs(Graph graph, std::vector<ValueId> outputs) {
  graph.set_outputs(std::move(outputs));
  return graph;
}

/// The forward graph gives the roots and the saved values; held views are made again from their roots.
Graph keep_roots(const Graph& forward, const SegmentGraph& traced) {
  std::vector<ValueId> outputs;
  for (int root : traced.roots) outputs.push_back(forward.outputs()[root]);
  for (size_t i = traced.graph.outputs().size(); i < forward.outputs().size(); ++i)
    outputs.push_back(forward.outputs()[i]);
  return with_outputs(forward, std::move(outputs));
}

/// By saved value: the root that is the tensor which a tape would keep. Others may be equal to it, but are written on their own.
std::vector<int> memory_of_saved(const Differentiation& differentiation, const SegmentGraph& traced) {
  const std::span<const ValueId> outputs = differentiation.forward.outputs();
  std::vector<int> as;
  for (size_t i = 0; i < differentiation.saved_is_apart.size(); ++i) {
    const ValueId saved = outputs[traced.graph.outputs().size() + i];
    const auto root = std::ranges::find_if(traced.roots, [&](int root) { return outputs[static_cast<size_t>(root)] == saved; });
    as.push_back(differentiation.saved_is_apart[i] ? Plan::kApart
                 : root == traced.roots.end()      ? Plan::kAnywhere
                                                   : static_cast<int>(root - traced.roots.begin()));
  }
  return as;
}

/// Whether a matrix product has more elements than its factors: then keeping the factors costs less than the product.
bool is_outer_product(const Graph& graph, const Node& node) {
  if (node.op != Op::matmul || graph.type(node.result()).shape.rank() != 2) return false;
  const Shape &a = graph.type(node.inputs[0]).shape, &b = graph.type(node.inputs[1]).shape;
  return (a[0] + b[1]) * a[1] < a[0] * b[1];
}

/// Gradients of leaves (weights) that are such products are given as their factors: the tape sums the products of all
/// calls in one go.
Graph defer_products(const Graph& backward, const Differentiation& differentiation, const SegmentGraph& traced,
                     std::vector<GradientOutput>& gradients) {
  const std::vector<uint32_t> uses = backward.use_counts();
  std::vector<ValueId> outputs;
  for (size_t i = 0; i < differentiation.wanted.size(); ++i) {
    const ValueId value = backward.outputs()[i];
    GradientOutput gradient{differentiation.wanted[i], static_cast<int>(outputs.size()), false};
    const bool is_leaf = traced.slots[gradient.slot].is_leaf;
    if (is_leaf && !backward.is_input(value) && uses[value] == 1 &&
        is_outer_product(backward, backward.node(backward.producer(value)))) {
      const Node& product = backward.node(backward.producer(value));
      outputs.insert(outputs.end(), product.inputs.begin(), product.inputs.end());
      gradient.is_product = true;
    } else {
      outputs.push_back(value);
    }
    gradients.push_back(gradient);
  }
  return with_outputs(backward, std::move(outputs));
}

bool wants_gradient(const SegmentGraph& traced) {
  const auto any = [](const std::vector<bool>& flags) { return std::find(flags.begin(), flags.end(), true) != flags.end(); };
  return any(traced.input_requires_grad()) && any(traced.output_has_gradient());
}

Differentiation differentiate_segment(const SegmentGraph& traced, const Graph& prepared) {
  // std::vector<bool> is no span of bool.
  const std::vector<bool> inputs = traced.input_requires_grad(), outputs = traced.output_has_gradient();
  const auto input_flags = std::make_unique<bool[]>(inputs.size()), output_flags = std::make_unique<bool[]>(outputs.size());
  std::copy(inputs.begin(), inputs.end(), input_flags.get());
  std::copy(outputs.begin(), outputs.end(), output_flags.get());
  return differentiate(prepared, {input_flags.get(), inputs.size()}, {output_flags.get(), outputs.size()});
}

GeneratedBackward lower_backward(const Differentiation& differentiation, const SegmentGraph& traced, const std::string& name) {
  GradientMap map{differentiation.sources, {}};
  Graph graph = lower(defer_products(differentiation.backward, differentiation, traced, map.gradients),
                      pass_options(part_name(name, ".backward")));
  graph.set_name(traced.graph.name() + "_backward");
  return {std::move(graph), std::move(map)};
}

/// Everything but the code.
Generated lower_segment(const SegmentGraph& traced, const std::string& name) {
  Generated generated;
  const Graph prepared = prepare(traced.graph, pass_options(name));
  std::optional<Differentiation> differentiation;
  if (wants_gradient(traced)) differentiation = differentiate_segment(traced, prepared);
  const Graph& forward = differentiation ? differentiation->forward : prepared;
  generated.forward = GeneratedForward{lower(keep_roots(forward, traced), pass_options(part_name(name, ".forward")))};
  generated.forward->graph.set_name(traced.graph.name());
  if (!differentiation) return generated;
  generated.forward->saved_as = memory_of_saved(*differentiation, traced);
  if (!differentiation->wanted.empty()) generated.backward = lower_backward(*differentiation, traced, name);
  return generated;
}

/// Gives how often the code generator was called.
uint64_t generate_code(Generated& generated, RowLength length, const std::string& name) {
  uint64_t generations = 0;
  if (auto& forward = generated.forward)
    forward->kernels = generated_kernels(forward->graph, length, name + ".forward", generations);
  if (auto& backward = generated.backward)
    backward->kernels = generated_kernels(backward->graph, length, name + ".backward", generations);
  return generations;
}

std::unique_ptr<Plan> forward_plan(GeneratedForward generated, const SegmentGraph& traced) {
  std::vector<InputLayout> layouts;
  for (const SlotRecord& slot : traced.slots) layouts.push_back({slot.strides});
  std::vector<bool> fresh(generated.graph.outputs().size(), false);
  std::fill_n(fresh.begin(), traced.roots.size(), true);
  for (const HeldValue& value : traced.held)
    if (!value.steps.empty()) fresh[static_cast<size_t>(value.root)] = false;  // each step is copied
  std::vector<int> same_as(traced.roots.size(), Plan::kAnywhere);
  same_as.insert(same_as.end(), generated.saved_as.begin(), generated.saved_as.end());
  return std::make_unique<Plan>(std::move(generated.graph), std::move(generated.kernels), layouts, fresh, same_as);
}

std::shared_ptr<BackwardProgram> backward_program(GeneratedBackward generated, const SegmentGraph& traced, const Plan& forward) {
  std::vector<InputLayout> layouts;
  for (size_t i = 0; i < generated.map.sources.size(); ++i) {
    const Differentiation::Source& source = generated.map.sources[i];
    switch (source.kind) {
      case Differentiation::SourceKind::input: layouts.push_back({traced.slots[source.index].strides}); break;
      case Differentiation::SourceKind::saved:
        layouts.push_back({forward.output(traced.roots.size() + source.index).strides});
        break;
      case Differentiation::SourceKind::output_gradient:
        layouts.push_back({row_major_strides(generated.graph.type(generated.graph.inputs()[i]).shape)});
        break;
    }
  }
  std::vector<bool> fresh(generated.graph.outputs().size(), true);
  for (const GradientOutput& gradient : generated.map.gradients)
    if (gradient.is_product) fresh[gradient.first] = fresh[gradient.first + 1] = false;
  auto program = std::make_shared<BackwardProgram>();
  program->plan = std::make_unique<Plan>(std::move(generated.graph), std::move(generated.kernels), layouts, fresh);
  program->map = std::move(generated.map);
  return program;
}

std::vector<HeldPlace> held_places(const SegmentGraph& traced) {
  std::vector<HeldPlace> places;
  for (uint32_t entry = 0; entry < traced.held.size(); ++entry) {
    const HeldValue& value = traced.held[entry];
    if (value.steps.empty()) places.push_back({value.value, entry, 0});
    for (size_t step = 0; step < value.steps.size(); ++step) places.push_back({value.steps[step], entry, static_cast<int64_t>(step)});
  }
  std::ranges::sort(places, {}, &HeldPlace::value);
  return places;
}

/// What is stored under the key and passes the check; else it is made, and stored.
template <class Check, class Make>
Generated find_or_make(const std::string& key, const std::string& function, const std::string& name, const Check& check,
                       const Make& make, RowLength length, PlanOrigin& origin, uint64_t& generations) {
  if (const CachedPlan cached = find_plan(key); cached.parts) {
    try {
      Generated generated = Generated::from_blobs(*cached.parts, function);
      check(generated);
      origin = cached.origin;
      return generated;
    } catch (const std::exception& error) {
      warn_of_cache_fault(error.what());
    }
  }
  Generated generated = make();
  generations += generate_code(generated, length, name);
  store_plan(key, generated.to_blobs(function));
  return generated;
}

// --- programs of any length

/// What tells the code of a program: no kernel knows how long loops are, where lowering does not choose by it.
std::string code_key(const Generated& generated, RowLength length) {
  std::string key = print(own_plan_header());
  const auto add = [&](const auto& part) {
    if (part) key += key_of_kernels(part->graph, length);
  };
  if (!generated.forward) key += "absent gradients\n";
  add(generated.forward);
  add(generated.backward);
  return key;
}

/// False where some of it is not in memory.
bool take_known_code(Generated& generated, RowLength length) {
  const auto take = [length](auto& part) {
    if (!part) return true;
    std::optional<Kernels> kernels = known_kernels(part->graph, length);
    if (kernels) part->kernels = std::move(*kernels);
    return kernels.has_value();
  };
  return take(generated.forward) && take(generated.backward);
}

/// Takes the code of a program of another length, from memory or from an entry that holds it, or generates it. Another length is no
/// reason for another entry.
PlanOrigin find_code(Generated& generated, RowLength length, const std::string& function, const std::string& name,
                     uint64_t& generations) {
  if (take_known_code(generated, length)) return PlanOrigin::memory;
  const std::string key = code_key(generated, length);
  const CachedPlan cached = find_plan(key);
  try {
    if (cached.parts) Generated::from_blobs(*cached.parts, function);  // which makes its kernels known
  } catch (const std::exception& error) {
    warn_of_cache_fault(error.what());
  }
  const uint64_t made = generate_code(generated, length, name);
  generations += made;
  if (made == 0) return cached.origin;
  store_plan(key, generated.to_blobs(function));
  return PlanOrigin::compiled;
}

// --- without some gradients

/// The backward pass without some gradients, from the cache or compiled.
Generated partial_backward(const CompiledSegment& segment, const std::vector<bool>& absent, uint64_t& generations) {
  const SegmentGraph& traced = segment.traced;
  const std::string& function = traced.graph.name();
  const std::string name = function + ".partial";
  const auto lower_it = [&] {
    const Differentiation whole = differentiate_segment(traced, prepared_graph(traced));
    return Generated{{}, lower_backward(without_gradients(whole, absent), traced, name)};
  };
  if (segment.is_of_any_length()) {
    Generated generated = lower_it();
    find_code(generated, segment.row_length, function, name, generations);
    return generated;
  }
  const size_t saved = segment.forward->graph().outputs().size() - traced.roots.size();
  PlanOrigin origin{};
  return find_or_make(fmt::format("{}absent {}\n", cache_key(traced), fmt::join(absent, ",")), function, name,
                      [&](const Generated& found) { found.check_backward_fits(traced, saved); }, lower_it,
                      segment.row_length, origin, generations);
}

/// A program whose loops are as long as its sizes say is looked up.
Generated generated_program(const SegmentGraph& traced, RowLength length, const std::string& name, PlanOrigin& origin,
                            uint64_t& generations) {
  return find_or_make(cache_key(traced), traced.graph.name(), name, [&](const Generated& found) { found.check_fits(traced); },
                      [&] { return lower_segment(traced, name); }, length, origin, generations);
}

}  // namespace

std::unique_ptr<CompiledSegment> compile_segment(SegmentGraph traced, const std::string& name, RowLength row_length,
                                                 WriteRecorded write_recorded) {
  const auto start = std::chrono::steady_clock::now();
  auto compiled = std::make_unique<CompiledSegment>();
  compiled->traced = std::move(traced);
  compiled->row_length = row_length;
  compiled->write_recorded_ = std::move(write_recorded);
  const SegmentGraph& segment = compiled->traced;
  compiled->held = held_places(segment);
  uint64_t generations = 0;
  Generated generated;
  if (compiled->is_of_any_length()) {
    generated = lower_segment(segment, name);
    compiled->origin = find_code(generated, row_length, segment.graph.name(), name, generations);
  } else {
    generated = generated_program(segment, row_length, name, compiled->origin, generations);
  }
  compiled->code_generations = generations;
  compiled->forward = forward_plan(*std::move(generated.forward), segment);
  if (generated.backward) compiled->backward = backward_program(*std::move(generated.backward), segment, *compiled->forward);
  const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - start;
  compiled->compile_milliseconds = elapsed.count();
  log(LogTopic::compile, "{}: {} ops, {} kernels forward{}, {:.2f} ms{}", name, segment.graph.nodes().size(),
      compiled->forward->kernel_count(), compiled->backward ? " and a backward" : "", elapsed.count(),
      compiled->is_from_cache() ? " (from the cache)" : "");
  return compiled;
}

std::vector<Tensor> CompiledSegment::inputs_of(std::span<const Tensor> slots) const {
  std::vector<Tensor> inputs;
  std::vector<const Tensor*> steps;
  for (size_t i = 0; i < traced.sources.size(); ++i) {
    const SlotSource& source = traced.sources[i];
    steps.clear();
    for (uint32_t slot : source.steps) steps.push_back(&slots[slot]);
    inputs.push_back(steps.empty() ? slots[source.slot] : joined({traced.slots[i].dtype, traced.slots[i].shape}, steps));
  }
  return inputs;
}

const SegmentGraph& CompiledSegment::recorded() const {
  if (!write_recorded_) return traced;
  std::call_once(recorded_once_, [&] { recorded_ = write_recorded_(); });
  return recorded_;
}

std::shared_ptr<BackwardProgram> CompiledSegment::backward_without(const std::vector<bool>& absent) const {
  if (std::find(absent.begin(), absent.end(), true) == absent.end()) return backward;
  const std::lock_guard lock(partial_mutex_);
  const auto [entry, is_new] = partial_.try_emplace(absent);
  if (!is_new) return entry->second;
  try {
    uint64_t generations = 0;
    Generated generated = partial_backward(*this, absent, generations);
    code_generations.fetch_add(generations, std::memory_order_relaxed);
    entry->second = backward_program(*std::move(generated.backward), traced, *forward);
  } catch (const std::exception& error) {
    warn_once("backward " + traced.graph.name(),
              fmt::format("the backward pass of {} runs eagerly: it could not be compiled: {}", traced.graph.name(), error.what()));
  }
  return entry->second;
}

LoweredGraphs lowered_graphs(const SegmentGraph& segment) {
  Generated generated = lower_segment(segment, "");
  LoweredGraphs graphs{std::move(generated.forward->graph)};
  if (generated.backward) graphs.backward = std::move(generated.backward->graph);
  return graphs;
}

Graph prepared_graph(const SegmentGraph& segment) { return prepare(segment.graph, pass_options("")); }

EagerGradient eager_gradient(const SegmentGraph& segment) {
  EagerGradient result;
  PassOptions unrolled = pass_options("");
  unrolled.disabled.insert("roll");  // loops are no eager ops
  result.differentiation = differentiate_segment(segment, prepare(segment.graph, unrolled));
  result.saved = result.differentiation.forward.outputs().size() - segment.graph.outputs().size();
  return result;
}

}  // namespace calque
