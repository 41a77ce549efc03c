// The table of reasons: why something was not compiled, ended, or was compiled again; what became of an op.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace calque {

enum class Reason : uint8_t {
#define REASON(name, code, phrase, sentence, remedy) name,
#include "compiler/reasons.def"
#undef REASON
};

struct ReasonRow {
  const char* code;
  const char* phrase;
  const char* sentence;
  const char* remedy;
};

/// All rows, in the order of the enum.
std::span<const ReasonRow> reasons();
inline const ReasonRow& row(Reason reason) { return reasons()[static_cast<size_t>(reason)]; }

/// The row whose phrase is in the text (the longest, if several are); null when there is none.
const ReasonRow* reason_in(std::string_view text);
/// The text with the code behind it: "a value was needed [value-needed]".
std::string with_code(std::string_view text);

/// The page of all reasons, docs/reasons.md.
std::string reasons_page();

}  // namespace calque
