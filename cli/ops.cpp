// `calque ops`: the op table as a list, or as the reference page docs/ops.md.
#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

#include "calque/ops.h"
#include "cli/command.h"
#include "ir/op/op.h"

namespace calque::cli {

namespace {

/// What a row says in words that are not kept in the table at run time.
struct Source {
  const char* parameters = "";
  const char* formula = "";
  std::vector<const char*> gradients;
};

#define DEFAULT(value) = value
const Source kSources[] = {
#define UNARY(name, signature, formula, gradient, ...) {"", #formula, {#gradient}},
#define BINARY(name, signature, formula, gradient_a, gradient_b, ...) {"", #formula, {#gradient_a, #gradient_b}},
#define SELECT(name, formula, gradient_a, gradient_b, ...) {"", #formula, {#gradient_a, #gradient_b}},
#include "ir/op/elementwise.def"
#define CALQUE_TEXT(...) #__VA_ARGS__
#define CALQUE_PARAMETERS(...) CALQUE_TEXT(__VA_ARGS__)
#define OP0(name, kind, parameters, ...) {CALQUE_PARAMETERS parameters, "", {}},
#define OP1(name, kind, promotion, parameters, ...) {CALQUE_PARAMETERS parameters, "", {}},
#define OP2 OP1
#define OPN OP1
#define OPS OP0
#define REDUCTION(...) {CALQUE_PARAMETERS(Ints axes DEFAULT(Ints{}), bool keepdim DEFAULT(false)), "", {}},
#define COMPOSITE1(name, promotion, parameters, ...) {CALQUE_PARAMETERS parameters, "", {}},
#define COMPOSITE2 COMPOSITE1
#define IR_ONLY(...) {},
#include "ir/op/structural.def"
};
#undef DEFAULT
static_assert(std::size(kSources) == kOpCount);

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : std::string(separator)) + part;
  return text;
}

/// In a table cell a bar would begin the next cell.
std::string cell(std::string_view text) {
  std::string escaped;
  for (char c : text) escaped += c == '|' ? std::string("\\|") : std::string(1, c);
  return escaped;
}
std::string code(std::string_view text) { return text.empty() ? "" : fmt::format("`{}`", cell(text)); }

std::string dtypes(Signature signature) {
  std::vector<std::string> names;
  for (DType dtype : kAllDTypes)
    if (accepts(signature, dtype)) names.emplace_back(name(dtype));
  return names.size() == std::size(kAllDTypes) ? "any" : join(names, ", ");
}

bool gives_bool(Signature signature) { return signature == Signature::compare || signature == Signature::equality; }

std::string_view promotion_text(Promotion promotion) {
  switch (promotion) {
    case Promotion::none: return "";
    case Promotion::common: return "to the common dtype";
    case Promotion::floating: return "to the common float, else f32";
    case Promotion::counting: return "bool to i64";
  }
  return "";
}

std::string call_of(const OpRow& entry, const Source& source) {
  std::vector<std::string> arguments;
  if (entry.inputs == OpRow::kVariadic) arguments.emplace_back("tensors");
  if (entry.inputs == 1) arguments.emplace_back("x");
  if (entry.inputs == 2) arguments = {"a", "b"};
  if (*source.parameters) arguments.emplace_back(source.parameters);
  return fmt::format("{}({})", entry.name, join(arguments, ", "));
}

/// How the op is written in IR text.
std::string text_of(const OpRow& entry) {
  std::vector<std::string> operands, attributes;
  for (int i = 0; i < entry.inputs; ++i) operands.push_back(entry.inputs == 1 ? "%x" : i == 0 ? "%a" : "%b");
  if (entry.inputs == OpRow::kVariadic) operands = {"%a", "%b", "..."};
  for (const AttributeSpec& attribute : entry.attributes) attributes.push_back(fmt::format("{} = ...", attribute.name));
  const std::string list = attributes.empty() ? "" : fmt::format("{{{}}}", join(attributes, ", "));
  return fmt::format("{}{}{}{}{}", entry.name, operands.empty() ? "" : " ", join(operands, ", "), list.empty() ? "" : " ", list);
}

void print_elementwise() {
  fmt::print("## Elementwise\n\nOperands broadcast by NumPy's rule. `x`, or `a` and `b`, are the operands, `y` is the result and "
             "`g` its gradient. Names ending in `_formula` are in `ir/op/scalar/`, with sources and error bounds.\n\n"
             "| op | takes | gives | formula | gradients | meaning |\n| --- | --- | --- | --- | --- | --- |\n");
  for (int i = 0; i < kOpCount; ++i) {
    const OpRow& entry = row(static_cast<Op>(i));
    if (entry.signature == Signature::none) continue;
    std::vector<std::string> gradients;
    for (const char* gradient : kSources[i].gradients) gradients.push_back(code(gradient));
    fmt::print("| {} | {} | {} | {} | {} | {} |\n", code(entry.name), dtypes(entry.signature),
               gives_bool(entry.signature) ? "bool" : "the same", code(kSources[i].formula), join(gradients, "; "),
               cell(entry.documentation));
  }
}

void print_reductions() {
  fmt::print("\n## Reductions\n\nOver `axes` (all when empty), which are dropped or kept as size 1 (`keepdim`), by the fixed tree "
             "of `ir/op/reduction.h`: the same bits for any layout and number of threads.\n\n"
             "| op | joins by | from | mixed dtypes | meaning |\n| --- | --- | --- | --- | --- |\n");
  for (int i = 0; i < kOpCount; ++i) {
    const OpRow& entry = row(static_cast<Op>(i));
    if (entry.kind != OpKind::reduction) continue;
    fmt::print("| {} | {} | {} | {} | {} |\n", code(call_of(entry, kSources[i])), code(row(entry.join).name),
               identity_value(entry.identity), promotion_text(entry.promotion), cell(entry.documentation));
  }
}

void print_kind(OpKind kind, std::string_view title, std::string_view introduction) {
  fmt::print("\n## {}\n\n{}\n\n| op | in IR text | mixed dtypes | meaning |\n| --- | --- | --- | --- |\n", title, introduction);
  for (int i = 0; i < kOpCount; ++i) {
    const OpRow& entry = row(static_cast<Op>(i));
    if (entry.signature != Signature::none || entry.kind != kind) continue;
    fmt::print("| {} | {} | {} | {} |\n", code(entry.ir_only ? entry.name : call_of(entry, kSources[i])), code(text_of(entry)),
               promotion_text(entry.promotion), cell(entry.documentation));
  }
}

void print_promotion() {
  fmt::print("\n## Type promotion\n\nThe common dtype of two operands. Ops that take floats only make f32 of what is not a float. "
             "`include/calque/ops.h` says what plain numbers become.\n\n|  |");
  for (DType dtype : kAllDTypes) fmt::print(" {} |", name(dtype));
  fmt::print("\n| --- |{}\n", " --- | --- | --- | --- | --- |");
  for (DType a : kAllDTypes) {
    fmt::print("| {} |", name(a));
    for (DType b : kAllDTypes) fmt::print(" {} |", name(promote_types(a, b)));
    fmt::print("\n");
  }
}

int print_markdown() {
  fmt::print("# Ops\n\nMade from the op table by `calque ops --markdown`; a test compares. Each op is a function on tensors, a "
             "method of the graph's builder, and a word of the IR: `%2 = op %0, %1 {{attribute = value}} : type`.\n\n");
  print_elementwise();
  print_reductions();
  print_kind(OpKind::elementwise, "Casts", "Elementwise as well, with a dtype as attribute.");
  print_kind(OpKind::matmul, "Matrix products", "Deterministic: each element is one chain of fused multiply-adds.");
  print_kind(OpKind::view, "Views", "Index maps: no element is copied, and a write through one is seen through all.");
  print_kind(OpKind::structural, "Structure", "Elements in new places.");
  print_kind(OpKind::indexing, "Indexing", "Places that are read from a tensor of integers, each checked.");
  print_kind(OpKind::creation, "Creation", "Tensors from nothing.");
  print_kind(OpKind::composite, "Composites", "Made of other ops (`ir/op/composites.cpp`, `ir/op/random.cpp`), and fused like them.");
  print_kind(OpKind::loop, "Loops", "Made by passes from what was traced; printed and parsed like the others.");
  print_kind(OpKind::gradient, "Gradients", "Made of a call of `grad` in a traced function; replaced by what it stands for once loops are rolled.");
  print_kind(OpKind::fusion, "Made by passes", "No user writes these; printed and parsed like the others.");
  print_promotion();
  return 0;
}

int print_list() {
  for (int i = 0; i < kOpCount; ++i) {
    const OpRow& entry = row(static_cast<Op>(i));
    fmt::print("{:<34} {}\n", entry.name, entry.documentation);
  }
  return 0;
}

}  // namespace

void add_ops(CLI::App& program, Action& action) {
  CLI::App* command = program.add_subcommand("ops", "The ops: a list, or the reference page");
  static bool markdown = false;
  command->add_flag("--markdown", markdown, "Print the reference page docs/ops.md");
  command->callback([&action] { action = [] { return markdown ? print_markdown() : print_list(); }; });
}

}  // namespace calque::cli
