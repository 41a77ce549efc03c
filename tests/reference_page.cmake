# Script (cmake -P): fails unless PAGE is what PROGRAM makes of the op table.
execute_process(COMMAND ${PROGRAM} ops --markdown OUTPUT_VARIABLE made RESULT_VARIABLE code)
file(READ ${PAGE} kept)
if(code OR NOT made STREQUAL kept)
  message(FATAL_ERROR "docs/ops.md is not current: run `build/dev/bin/calque ops --markdown > docs/ops.md`")
endif()
