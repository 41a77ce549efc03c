# Script (cmake -P): writes OUTPUT, a header that defines CALQUE_BUILD_ID from the files named in LIST.
# Paths enter the hash relative to ROOT, so that two checkouts of one revision have one build id.
file(STRINGS "${LIST}" files)
list(SORT files)
set(text "")
foreach(path ${files})
  file(SHA256 "${path}" digest)
  file(RELATIVE_PATH name "${ROOT}" "${path}")
  string(APPEND text "${digest} ${name}\n")
endforeach()
string(SHA256 id "${text}")
string(SUBSTRING "${id}" 0 16 id)
file(WRITE "${OUTPUT}"
  "// Generated: a hash of the sources that shape generated code.\n#define CALQUE_BUILD_ID \"${id}\"\n")
