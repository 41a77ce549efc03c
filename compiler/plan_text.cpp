// Gradient maps as text: "source <kind> <index>" and "gradient <slot> <first output> <is product>" lines.
#include "compiler/plan_text.h"

#include <fmt/format.h>

#include <sstream>

#include "ir/op/error.h"

namespace calque {

namespace {
void demand_wiring(bool condition) {
  if (!condition) throw UserError("cache: an entry does not say how its gradients are wired");
}
bool in_range(int index, size_t size) { return index >= 0 && static_cast<size_t>(index) < size; }
}  // namespace

std::string print(const GradientMap& map) {
  std::string text;
  for (const Differentiation::Source& source : map.sources)
    text += fmt::format("source {} {}\n", static_cast<int>(source.kind), source.index);
  for (const GradientOutput& gradient : map.gradients)
    text += fmt::format("gradient {} {} {}\n", gradient.slot, gradient.first, gradient.is_product ? 1 : 0);
  return text;
}

GradientMap parse_gradient_map(std::string_view text) {
  GradientMap map;
  std::istringstream stream{std::string(text)};
  std::string word;
  while (stream >> word) {
    int a = -1, b = -1, c = -1;
    if (word == "source") {
      demand_wiring(static_cast<bool>(stream >> a >> b) && a >= 0 && a <= 2);
      map.sources.push_back({static_cast<Differentiation::SourceKind>(a), b});
    } else {
      demand_wiring(word == "gradient" && static_cast<bool>(stream >> a >> b >> c));
      map.gradients.push_back({a, b, c == 1});
    }
  }
  return map;
}

void check_gradient_map(const GradientMap& map, const Graph& backward, size_t slots, size_t saved, size_t held) {
  demand_wiring(map.sources.size() == backward.inputs().size());
  for (const Differentiation::Source& source : map.sources) {
    const size_t sizes[] = {slots, saved, held};
    demand_wiring(in_range(source.index, sizes[static_cast<int>(source.kind)]));
  }
  for (const GradientOutput& gradient : map.gradients)
    demand_wiring(in_range(gradient.slot, slots) && in_range(gradient.first + gradient.is_product, backward.outputs().size()) &&
           gradient.first >= 0);
}

}  // namespace calque
