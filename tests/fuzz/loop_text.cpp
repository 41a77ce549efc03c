// Random loops as text: a keyword and numbers in each line.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <sstream>

#include "ir/op/error.h"
#include "tests/fuzz/random_loop.h"

namespace calque::test {

namespace {

constexpr std::array kNames{"add", "sub", "mul", "tanh", "sigmoid", "maximum", "scale", "matmul", "row_sum", "layer_norm",
                            "select_larger", "random", "exchange"};

/// Calls `visit(name, member)` for each number and flag of a loop that is not of its ops.
template <class Loop, class Visit>
void for_each_number(Loop& loop, Visit visit) {
  auto& habits = loop.habits;
  visit("states", loop.states), visit("sequences", loop.sequences), visit("weights", loop.weights);
  visit("gradient", loop.gradient), visit("second_loop", loop.second_loop);
  visit("reverse", habits.reverse), visit("steps_are_tensors", habits.steps_are_tensors);
  visit("number_changes", habits.number_changes), visit("first_differs", habits.first_differs);
  visit("last_differs", habits.last_differs), visit("tosses_coin", habits.tosses_coin), visit("reads", habits.reads);
  visit("ends_by_data", habits.ends_by_data), visit("writes_in_place", habits.writes_in_place);
  visit("reads_first", habits.reads_first), visit("goes_on", habits.goes_on), visit("maps", habits.maps);
  visit("keeps_one", habits.keeps_one), visit("without_gradients", habits.without_gradients);
  visit("most_steps", habits.most_steps), visit("inner_steps", habits.inner_steps), visit("back", habits.back);
  visit("stride", habits.stride), visit("both_ways", habits.both_ways), visit("counts", habits.counts);
  visit("shares_start", habits.shares_start), visit("outside_steps", habits.outside_steps), visit("listed_held", habits.listed_held);
  visit("write", habits.write), visit("writes_argument", habits.writes_argument), visit("is_one_row", habits.is_one_row);
}

template <class Loop, class Visit>
void for_each_list(Loop& loop, Visit visit) {
  visit("next", loop.next), visit("stacked", loop.stacked), visit("listed", loop.listed);
}

BodyOp parse_op(std::istringstream& line) {
  BodyOp op{};
  std::string name;
  line >> name >> op.a >> op.b >> op.weight >> op.number;
  const auto found = std::ranges::find(kNames, name);
  if (found == kNames.end()) throw UserError("a loop has no op " + name);
  op.kind = static_cast<BodyOp::Kind>(found - kNames.begin());
  return op;
}

void parse_line(const std::string& keyword, std::istringstream& line, RandomLoop& loop) {
  bool is_known = keyword == "op";
  if (is_known) loop.body.push_back(parse_op(line));
  for_each_number(loop, [&]<class Member>(const char* name, Member& member) {
    if (keyword != name) return;
    int64_t number = 0;
    is_known = static_cast<bool>(line >> number);
    member = static_cast<Member>(number);
  });
  for_each_list(loop, [&](const char* name, std::vector<int>& list) {
    if (keyword != name) return;
    is_known = true;
    for (int number; line >> number;) list.push_back(number);
  });
  if (!is_known) throw UserError("a loop has no line that begins with " + keyword);
}

}  // namespace

std::string print_loop(const RandomLoop& loop) {
  std::string text;
  const RandomLoop plain{.body = {}, .next = {}, .stacked = {}, .listed = {}, .habits = {}};
  std::vector<int64_t> usual;
  for_each_number(plain, [&](const char*, const auto& member) { usual.push_back(static_cast<int64_t>(member)); });
  size_t place = 0;
  for_each_number(loop, [&](const char* name, const auto& member) {
    const auto number = static_cast<int64_t>(member);
    if (number != usual[place++]) text += fmt::format("{} {}\n", name, number);
  });
  for (const BodyOp& op : loop.body)
    text += fmt::format("op {} {} {} {} {}\n", kNames[static_cast<size_t>(op.kind)], op.a, op.b, op.weight, op.number);
  for_each_list(loop, [&](const char* name, const std::vector<int>& list) {
    if (!list.empty()) text += fmt::format("{} {}\n", name, fmt::join(list, " "));
  });
  return text;
}

RandomLoop parse_loop(const std::string& text) {
  RandomLoop loop;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string keyword;
    if (!(words >> keyword) || keyword.starts_with("//")) continue;
    parse_line(keyword, words, loop);
  }
  return loop;
}

}  // namespace calque::test
