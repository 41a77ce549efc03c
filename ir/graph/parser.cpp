// A parser by descent over characters. Only the blocks of fusions and loops nest, and their depth is limited.
#include "ir/graph/parser.h"

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <unordered_map>

#include "ir/op/error.h"

namespace calque {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_word(char c) { return is_letter(c) || is_digit(c); }

/// The text and a place in it: tokens are read straight from the characters.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}

  [[noreturn]] void fail(size_t position, std::string_view sentence) const {
    size_t line = 1, column = 1;
    for (char c : text_.substr(0, position)) {
      ++column;
      if (c == '\n') ++line, column = 1;
    }
    throw UserError(fmt::format("{}:{}: {}", line, column, sentence));
  }

  /// Runs a rule that knows no position, and gives its error the position.
  template <class F>
  auto at(size_t position, F f) const {
    try {
      return f();
    } catch (const UserError& error) {
      fail(position, error.what());
    }
  }

  /// Position of the next token.
  size_t skip() {
    while (position_ < text_.size()) {
      const char c = text_[position_];
      if (text_.substr(position_, 2) == "//")
        position_ = std::min(text_.find('\n', position_), text_.size());
      else if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
        ++position_;
      else
        break;
    }
    return position_;
  }

  bool at_end() { return skip() == text_.size(); }
  bool sees(std::string_view token) { return text_.substr(skip(), token.size()) == token; }
  bool accept(std::string_view token) {
    if (!sees(token)) return false;
    position_ += token.size();
    return true;
  }
  void expect(std::string_view token, std::string_view where) {
    if (!accept(token)) fail(position_, fmt::format("expected `{}` {}", token, where));
  }

  /// [A-Za-z_][A-Za-z0-9_]*; empty if there is none.
  std::string_view word() {
    const size_t start = skip();
    if (start == text_.size() || !is_letter(text_[start])) return {};
    return run(start, is_word);
  }
  std::string_view identifier(std::string_view what) {
    const std::string_view result = word();
    if (result.empty()) fail(position_, fmt::format("expected {}", what));
    return result;
  }
  /// The letters and digits that follow without a space.
  std::string_view name_behind() { return run(position_, is_word); }

  int64_t integer(std::string_view what) {
    const size_t start = skip();
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text_.data() + start, text_.data() + text_.size(), value);
    if (error == std::errc::result_out_of_range) fail(start, fmt::format("{} is beyond 64 bits", what));
    if (error != std::errc()) fail(start, fmt::format("expected {}", what));
    position_ = end - text_.data();
    return value;
  }

  double number() {
    const size_t start = skip();
    std::string_view digits =
        run(start, [](char c) { return is_word(c) || c == '.' || c == '+' || c == '-'; });
    if (digits == "nan" && accept("(")) return nan_with_bits(start);
    if (digits == "nan") return std::numeric_limits<double>::quiet_NaN();
    double value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size() || std::isnan(value))
      fail(start, "expected a number within the range of f64");
    return value;
  }

 private:
  template <class Predicate>
  std::string_view run(size_t start, Predicate predicate) {
    size_t end = start;
    while (end < text_.size() && predicate(text_[end])) ++end;
    position_ = end;
    return text_.substr(start, end - start);
  }

  /// Behind `nan(`: all 64 bits in hexadecimal, which must be those of a NaN.
  double nan_with_bits(size_t start) {
    expect("0x", "before the bits of a NaN");
    const std::string_view digits = name_behind();
    uint64_t bits = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits, 16);
    const double value = std::bit_cast<double>(bits);
    if (error != std::errc() || end != digits.data() + digits.size() || !std::isnan(value))
      fail(start, "these are not the bits of a NaN");
    expect(")", "behind the bits of a NaN");
    return value;
  }

  std::string_view text_;
  size_t position_ = 0;
};

class Parser {
 public:
  explicit Parser(std::string_view text) : cursor_(text) {}

  Graph graph() {
    if (cursor_.word() != "graph") cursor_.fail(0, "expected `graph @name(...)`");
    cursor_.expect("@", "before the name of the graph");
    Graph graph{std::string(cursor_.identifier("the name of the graph"))};
    const Names names = inputs(graph);
    cursor_.expect("->", "before the types of the outputs");
    const size_t position = cursor_.skip();
    const std::vector<Type> declared = types();
    block(graph, names, 0);
    std::vector<Type> actual;
    for (ValueId output : graph.outputs()) actual.push_back(graph.type(output));
    require_equal(position, declared, actual, "the graph returns");
    if (!cursor_.at_end()) cursor_.fail(cursor_.skip(), "expected the end of the text behind the graph");
    return graph;
  }

 private:
  using Names = std::unordered_map<std::string_view, ValueId>;

  /// `(%x: f32[2], ...)`
  Names inputs(Graph& graph) {
    Names names;
    cursor_.expect("(", "before the inputs");
    if (cursor_.accept(")")) return names;
    do {
      const size_t position = cursor_.skip();
      cursor_.expect("%", "before the name of an input");
      const std::string_view name = cursor_.name_behind();
      if (name.empty() || !is_letter(name[0]))
        cursor_.fail(position, "the name of an input starts with a letter");
      cursor_.expect(":", "behind the name of an input");
      const ValueId id = graph.add_input(type(), std::string(name));
      if (!names.emplace(name, id).second)
        cursor_.fail(position, fmt::format("input %{} is named twice", name));
    } while (cursor_.accept(","));
    cursor_.expect(")", "behind the inputs");
    return names;
  }

  Type type() {
    const size_t position = cursor_.skip();
    const std::optional<DType> dtype = dtype_named(cursor_.word());
    if (!dtype) cursor_.fail(position, "expected a type such as f32[2,3]");
    const std::vector<int64_t> dims = integers();
    return cursor_.at(position, [&] { return Type{*dtype, Shape(std::span<const int64_t>(dims))}; });
  }

  /// One type, or `(type, ...)`.
  std::vector<Type> types() {
    if (!cursor_.accept("(")) return {type()};
    std::vector<Type> result;
    if (cursor_.accept(")")) return result;
    do result.push_back(type());
    while (cursor_.accept(","));
    cursor_.expect(")", "behind the types");
    return result;
  }

  /// `[1, 2]`
  std::vector<int64_t> integers() {
    std::vector<int64_t> result;
    const size_t position = cursor_.skip();
    cursor_.expect("[", "before a list of integers");
    if (cursor_.accept("]")) return result;
    do result.push_back(cursor_.integer("an integer"));
    while (cursor_.accept(",") && result.size() <= Attributes::kMaxWords);
    if (result.size() > Attributes::kMaxWords)
      cursor_.fail(position, "the list is longer than the largest rank");
    cursor_.expect("]", "behind a list of integers");
    return result;
  }

  /// `{ nodes return values }`
  void block(Graph& graph, const Names& names, int depth) {
    cursor_.expect("{", "before the block");
    while (cursor_.sees("%")) node(graph, names, depth);
    const size_t position = cursor_.skip();
    if (cursor_.word() != "return") cursor_.fail(position, "expected a node `%N = op ...` or `return`");
    graph.set_outputs(operands(graph, names));
    cursor_.expect("}", "behind the block");
  }

  std::vector<ValueId> operands(const Graph& graph, const Names& names) {
    std::vector<ValueId> result;
    if (!cursor_.sees("%")) return result;
    do result.push_back(operand(graph, names));
    while (cursor_.accept(","));
    return result;
  }

  /// `%x`, `%3` or `%3.1`
  ValueId operand(const Graph& graph, const Names& names) {
    const size_t position = cursor_.skip();
    cursor_.expect("%", "before a value");
    const std::string_view name = cursor_.name_behind();
    if (const auto found = names.find(name); found != names.end()) return found->second;
    uint32_t id = 0;
    if (!whole_number(name, id) || id >= graph.nodes().size())
      cursor_.fail(position, fmt::format("%{} is not defined before it is used", name));
    const Node& node = graph.node(id);
    if (node.result_count == 1) return node.result();
    if (!cursor_.accept("."))
      cursor_.fail(position, fmt::format("%{} has several results: write %{}.0", id, id));
    uint32_t result = 0;
    if (!whole_number(cursor_.name_behind(), result) || result >= node.result_count)
      cursor_.fail(position, fmt::format("%{} has {} results", id, node.result_count));
    return node.result(result);
  }

  /// Digits only, without leading zeros, so that each value has one spelling.
  static bool whole_number(std::string_view text, uint32_t& value) {
    if (text.empty() || (text[0] == '0' && text.size() > 1)) return false;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size();
  }

  void node(Graph& graph, const Names& names, int depth) {
    const size_t position = cursor_.skip();
    cursor_.expect("%", "before the number of a node");
    uint32_t number = 0;
    if (!whole_number(cursor_.name_behind(), number) || number != graph.nodes().size())
      cursor_.fail(position, fmt::format("nodes are numbered in order: expected %{}", graph.nodes().size()));
    cursor_.expect("=", "behind the number of a node");
    const size_t op_position = cursor_.skip();
    const std::string_view name = cursor_.identifier("the name of an op");
    const std::optional<Op> op = op_named(name);
    if (!op) cursor_.fail(op_position, fmt::format("there is no op `{}`", name));
    const std::vector<ValueId> inputs = operands(graph, names);
    const Attributes given = attributes(*op);
    cursor_.expect(":", "before the types of the results");
    const size_t types_position = cursor_.skip();
    const std::vector<Type> declared = types();
    if (*op == Op::fusion || *op == Op::loop)
      node_with_block(*op, graph, inputs, given, depth);
    else
      cursor_.at(op_position, [&] { graph.add(*op, inputs, given); });
    std::vector<Type> actual;
    const Node& added = graph.nodes().back();
    for (uint32_t i = 0; i < added.result_count; ++i) actual.push_back(graph.type(added.result(i)));
    require_equal(types_position, declared, actual, "the shape rule gives");
  }

  void node_with_block(Op op, Graph& graph, std::span<const ValueId> operands, const Attributes& given, int depth) {
    const size_t position = cursor_.skip();
    if (depth == kMostNesting) cursor_.fail(position, "blocks are nested too deeply");
    Graph body;
    const Names names = inputs(body);
    block(body, names, depth + 1);
    cursor_.at(position, [&] {
      if (op == Op::loop && given[1] < 0) throw UserError("loop: a negative number of carried values");
      graph.add_block(op, operands, given, std::make_shared<const Graph>(std::move(body)));
    });
  }

  /// `{name = value, ...}`: every attribute of the op, in the order of its row.
  Attributes attributes(Op op) {
    Attributes result;
    const std::span<const AttributeSpec> specs = row(op).attributes;
    if (specs.empty()) return result;
    cursor_.expect("{", fmt::format("before the attributes of {}", row(op).name));
    for (const AttributeSpec& spec : specs) {
      if (&spec != specs.data()) cursor_.expect(",", "between attributes");
      const size_t position = cursor_.skip();
      if (cursor_.word() != spec.name)
        cursor_.fail(position, fmt::format("expected attribute `{}` of {}", spec.name, row(op).name));
      cursor_.expect("=", "behind the name of an attribute");
      attribute(spec, result);
    }
    cursor_.expect("}", "behind the attributes");
    return result;
  }

  void attribute(const AttributeSpec& spec, Attributes& result) {
    const size_t position = cursor_.skip();
    switch (spec.kind) {
      case AttributeKind::integer:
        return result.add_word(cursor_.integer("an integer"));
      case AttributeKind::number:
        return result.add_word(std::bit_cast<int64_t>(cursor_.number()));
      case AttributeKind::boolean: {
        const std::string_view word = cursor_.word();
        if (word != "true" && word != "false") cursor_.fail(position, "expected true or false");
        return result.add_word(word == "true");
      }
      case AttributeKind::dtype: {
        const std::optional<DType> dtype = dtype_named(cursor_.word());
        if (!dtype) cursor_.fail(position, "expected a dtype: f32, f64, i64, i32 or bool");
        return result.add_word(static_cast<int64_t>(*dtype));
      }
      case AttributeKind::integers: {
        const std::vector<int64_t> values = integers();
        return cursor_.at(position, [&] { result.set_list(result.size(), values); });
      }
    }
  }

  void require_equal(size_t position, std::span<const Type> declared, std::span<const Type> actual,
                     std::string_view who) const {
    if (std::equal(declared.begin(), declared.end(), actual.begin(), actual.end())) return;
    std::string text;
    for (const Type& type : actual) text += (text.empty() ? "" : ", ") + to_string(type);
    cursor_.fail(position, fmt::format("{} ({}), which is not what is written", who, text));
  }

  Cursor cursor_;
};

/// Where a value comes from, which does not depend on when inputs were added: input number or node, then
/// result number.
struct Origin {
  bool input;
  uint32_t index, result;
  bool operator==(const Origin&) const = default;
};

std::vector<Origin> origins(const Graph& graph) {
  std::vector<Origin> result(graph.value_count());
  for (uint32_t i = 0; i < graph.inputs().size(); ++i) result[graph.inputs()[i]] = {true, i, 0};
  for (NodeId id = 0; id < graph.nodes().size(); ++id)
    for (uint32_t i = 0; i < graph.node(id).result_count; ++i)
      result[graph.node(id).result(i)] = {false, id, i};
  return result;
}

/// Compares blocks; the names of the graphs aside.
class Comparison {
 public:
  Comparison(const Graph& a, const Graph& b) : a_(a), b_(b), origins_a_(origins(a)), origins_b_(origins(b)) {}

  bool equal() const {
    if (a_.inputs().size() != b_.inputs().size() || a_.nodes().size() != b_.nodes().size()) return false;
    for (size_t i = 0; i < a_.inputs().size(); ++i)
      if (a_.input_name(i) != b_.input_name(i) || a_.type(a_.inputs()[i]) != b_.type(b_.inputs()[i]))
        return false;
    for (NodeId id = 0; id < a_.nodes().size(); ++id)
      if (!equal_nodes(a_.node(id), b_.node(id))) return false;
    return equal_values(a_.outputs(), b_.outputs());
  }

 private:
  bool equal_values(std::span<const ValueId> a, std::span<const ValueId> b) const {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [this](ValueId x, ValueId y) { return origins_a_[x] == origins_b_[y]; });
  }
  bool equal_nodes(const Node& a, const Node& b) const {
    if (a.op != b.op || a.attributes != b.attributes || a.result_count != b.result_count ||
        !a.body != !b.body || !equal_values(a.inputs, b.inputs))
      return false;
    for (uint32_t i = 0; i < a.result_count; ++i)
      if (a_.type(a.result(i)) != b_.type(b.result(i))) return false;
    return !a.body || Comparison(*a.body, *b.body).equal();
  }

  const Graph &a_, &b_;
  const std::vector<Origin> origins_a_, origins_b_;
};

}  // namespace

Graph parse(std::string_view text) { return Parser(text).graph(); }

bool equal(const Graph& a, const Graph& b) { return a.name() == b.name() && Comparison(a, b).equal(); }

}  // namespace calque
