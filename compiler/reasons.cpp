// The table of reasons, and its page.
#include "compiler/reasons.h"

#include <fmt/format.h>

#include <cstring>

namespace calque {

std::span<const ReasonRow> reasons() {
  static constexpr ReasonRow rows[] = {
#define REASON(name, code, phrase, sentence, remedy) {code, phrase, sentence, remedy},
#include "compiler/reasons.def"
#undef REASON
  };
  return rows;
}

const ReasonRow* reason_in(std::string_view text) {
  const ReasonRow* best = nullptr;
  for (const ReasonRow& reason : reasons())
    if (text.find(reason.phrase) != text.npos &&
        (!best || std::strlen(reason.phrase) > std::strlen(best->phrase)))
      best = &reason;
  return best;
}

std::string with_code(std::string_view text) {
  const ReasonRow* reason = reason_in(text);
  return reason ? fmt::format("{} [{}]", text, reason->code) : std::string(text);
}

std::string reasons_page() {
  std::string page =
      "# Reasons\n\n"
      "Each reason not to compile something, to end a segment, to run a pure function's code, not to make a loop, and each fate "
      "of an op, has a\n"
      "code. `fn.explain()`, `calque explain` and the logs show it in brackets; this page, made from "
      "`compiler/reasons.def`,\n"
      "says what it means and what helps.\n\n"
      "| code | what it says | what it means | what helps |\n| --- | --- | --- | --- |\n";
  for (const ReasonRow& reason : reasons())
    page += fmt::format("| `{}` | {} | {}. | {} |\n", reason.code, reason.phrase, reason.sentence,
                        *reason.remedy ? fmt::format("{}.", reason.remedy) : "");
  return page;
}

}  // namespace calque
