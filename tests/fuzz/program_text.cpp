// Random programs as text: a regression file is IR text behind comment lines that say what the host does.
#include <sstream>

#include "ir/graph/parser.h"
#include "ir/graph/printer.h"
#include "ir/op/error.h"
#include "tests/fuzz/random_program.h"

namespace calque::test {

namespace {

/// The flags that are lists of node numbers, and those that are lists of input numbers.
struct NodeFlag {
  const char* name;
  bool (*get)(const HostStep&);
  void (*set)(HostStep&);
};
constexpr NodeFlag kNodeFlags[] = {
    {"read", [](const HostStep& step) { return step.is_read; }, [](HostStep& step) { step.is_read = true; }},
    {"no_grad", [](const HostStep& step) { return step.is_no_grad; }, [](HostStep& step) { step.is_no_grad = true; }},
    {"keep", [](const HostStep& step) { return step.is_kept; }, [](HostStep& step) { step.is_kept = true; }},
    {"vary", [](const HostStep& step) { return step.varies; }, [](HostStep& step) { step.varies = true; }},
    {"turn_by_counter", [](const HostStep& step) { return step.turn == Branch::by_counter; },
     [](HostStep& step) { step.turn = Branch::by_counter; }},
    {"turn_by_data", [](const HostStep& step) { return step.turn == Branch::by_data; },
     [](HostStep& step) { step.turn = Branch::by_data; }},
};
struct InputFlag {
  const char* name;
  std::vector<bool> RandomProgram::*flags;
};
constexpr InputFlag kInputFlags[] = {{"requires_grad", &RandomProgram::requires_grad},
                                     {"transposed", &RandomProgram::is_transposed}};

std::string line(const std::string& what, const std::vector<int64_t>& numbers) {
  std::string text = "//! " + what;
  for (int64_t number : numbers) text += " " + std::to_string(number);
  return text + "\n";
}

/// One line of `what` and its numbers into the program.
class Reader {
 public:
  explicit Reader(RandomProgram& program) : program_(program) {}

  void read(const std::string& text) {
    std::istringstream words(text);
    std::string what;
    words >> what;
    std::vector<int64_t> numbers;
    for (int64_t number; words >> number;) numbers.push_back(number);
    if (!read_node_flags(what, numbers) && !read_input_flags(what, numbers) && !read_rest(what, numbers))
      throw UserError("fuzz: an unknown line, or numbers out of range: " + text);
  }

 private:
  static bool all_below(const std::vector<int64_t>& numbers, size_t bound) {
    for (int64_t number : numbers)
      if (number < 0 || static_cast<size_t>(number) >= bound) return false;
    return true;
  }
  bool read_node_flags(const std::string& what, const std::vector<int64_t>& numbers) {
    for (const NodeFlag& flag : kNodeFlags) {
      if (what != flag.name || !all_below(numbers, program_.steps.size())) continue;
      for (int64_t number : numbers) flag.set(program_.steps[number]);
      return true;
    }
    return false;
  }
  bool read_input_flags(const std::string& what, const std::vector<int64_t>& numbers) {
    for (const InputFlag& flag : kInputFlags) {
      if (what != flag.name || !all_below(numbers, (program_.*flag.flags).size())) continue;
      for (int64_t number : numbers) (program_.*flag.flags)[number] = true;
      return true;
    }
    return false;
  }
  bool read_rest(const std::string& what, const std::vector<int64_t>& numbers) {
    const size_t count = numbers.size();
    if ((what == "write" || what == "recorded_write") && count == 3 && all_below({numbers[0]}, program_.steps.size()) &&
        all_below({numbers[1], numbers[2]}, program_.graph.value_count())) {
      program_.steps[numbers[0]].write = Write{static_cast<ValueId>(numbers[1]), static_cast<ValueId>(numbers[2]), what != "write"};
    } else if (what == "gradient" && count == 2 && all_below({numbers[0]}, program_.steps.size()) &&
               all_below({numbers[1]}, program_.graph.value_count())) {
      program_.steps[numbers[0]].gradient_by = static_cast<ValueId>(numbers[1]);
    } else if (what == "same_as" && count == 2 && all_below(numbers, program_.same_as.size())) {
      program_.same_as[numbers[0]] = static_cast<int>(numbers[1]);
    } else if (what == "resize" && count == 2) {
      program_.resized_from = numbers[0];
      program_.resized_to = numbers[1];
    } else if (what.starts_with("exit_by_") && count == 1 && all_below(numbers, program_.steps.size())) {
      program_.exit = what == "exit_by_data" ? Branch::by_data : Branch::by_counter;
      program_.exit_node = static_cast<NodeId>(numbers[0]);
    } else {
      return false;
    }
    return true;
  }

  RandomProgram& program_;
};

}  // namespace

std::string print_program(const RandomProgram& program) {
  std::string text;
  for (const NodeFlag& flag : kNodeFlags) {
    std::vector<int64_t> numbers;
    for (size_t i = 0; i < program.steps.size(); ++i)
      if (flag.get(program.steps[i])) numbers.push_back(static_cast<int64_t>(i));
    if (!numbers.empty()) text += line(flag.name, numbers);
  }
  for (const InputFlag& flag : kInputFlags) {
    std::vector<int64_t> numbers;
    for (size_t i = 0; i < (program.*flag.flags).size(); ++i)
      if ((program.*flag.flags)[i]) numbers.push_back(static_cast<int64_t>(i));
    if (!numbers.empty()) text += line(flag.name, numbers);
  }
  for (size_t i = 0; i < program.same_as.size(); ++i)
    if (program.same_as[i] >= 0) text += line("same_as", {static_cast<int64_t>(i), program.same_as[i]});
  for (size_t i = 0; i < program.steps.size(); ++i)
    if (const std::optional<Write>& write = program.steps[i].write)
      text += line(write->is_recorded ? "recorded_write" : "write", {static_cast<int64_t>(i), write->target, write->source});
  for (size_t i = 0; i < program.steps.size(); ++i)
    if (const std::optional<ValueId> by = program.steps[i].gradient_by) text += line("gradient", {static_cast<int64_t>(i), *by});
  if (program.resized_from) text += line("resize", {program.resized_from, program.resized_to});
  if (program.exit == Branch::by_counter) text += line("exit_by_counter", {program.exit_node});
  if (program.exit == Branch::by_data) text += line("exit_by_data", {program.exit_node});
  return text + print(program.graph);
}

RandomProgram parse_program(std::string_view text) {
  RandomProgram program;
  program.graph = parse(text);
  program.steps.resize(program.graph.nodes().size());
  program.requires_grad.resize(program.graph.inputs().size());
  program.is_transposed.resize(program.graph.inputs().size());
  program.same_as.resize(program.graph.inputs().size(), -1);
  Reader reader(program);
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("//! ")) reader.read(line.substr(4));
  return program;
}

}  // namespace calque::test
