#!/usr/bin/env python3
# Checks who includes whom: the direction of dependencies that docs/ and the folders promise, from #include lines.
"""check_includes.py [--root FOLDER]   prints each include that points the wrong way; exit code 1 if there is one
check_includes.py --self-test       plants one violation per rule in a temporary folder and expects each caught"""
import fnmatch
import re

import source_check

# For each folder (the longest match decides): what of this repository its files may include, as patterns.
# In these patterns `*` also crosses folders. A folder that is not named here may include anything.
ALLOWED = {
    "include/calque": ["include/calque/*", "ir/op/*.h", "ir/op/*.def", "ir/op/*.inc"],
    "ir/op": ["ir/op/*"],
    "ir/graph": ["ir/*"],
    "passes": ["ir/*", "passes/*"],
    "runtime": ["runtime/*", "ir/op/*", "include/calque/*"],
    "codegen": ["codegen/*", "ir/*", "include/calque/kernel_abi.h", "calque_build_id.h"],
    "compiler": ["compiler/*", "ir/*", "passes/*", "runtime/*", "include/calque/*",
                 "codegen/cpu/plugin_api.h", "calque_build_id.h"],
    "nn": ["nn/*", "runtime/*", "ir/op/*", "include/calque/*"],
    "cli": ["cli/*", "compiler/*", "nn/*", "passes/*", "ir/*", "runtime/*", "include/calque/*"],
    "python": ["python/*", "compiler/*", "nn/*", "runtime/*", "ir/*", "include/calque/*"],
    "examples": ["examples/*", "include/calque/*"],
}

# Outside libraries that are kept in one place: name, pattern of the include, patterns of files that may use it.
CONFINED = [
    ("LLVM", re.compile(r"^llvm(-c)?/"), ["codegen/cpu/*"]),
    ("CLI11", re.compile(r"^CLI/"), ["cli/*"]),
    ("nlohmann-json", re.compile(r"^nlohmann/"), ["cli/*", "nn/safetensors*.cpp"]),
    ("CUDA", re.compile(r"^(cuda|nvrtc|cublas|cudnn|nvJitLink)[\w./]*\.h$"), ["codegen/cuda/*", "runtime/cuda/*"]),
    ("libdw", re.compile(r"^(elfutils|dwarf\.h|libelf\.h|gelf\.h)"), ["compiler/symbolizer_plugin/*"]),
    ("Catch2", re.compile(r"^catch2/"), ["tests/*"]),
    ("Eigen", re.compile(r"^Eigen/"), ["include/calque/eigen.h", "tests/unit/eigen_test.cpp"]),
]

SOURCE_FOLDERS = ["include", "ir", "passes", "codegen", "runtime", "compiler", "nn", "cli", "python",
                  "examples", "bench", "tests"]
SOURCE_SUFFIXES = {".h", ".hpp", ".def", ".cpp", ".cc", ".c", ".cu", ".inc"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def matches(path, patterns):
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def resolve(root, source, target):
    """The included file as a path from the root, or None where it is of an outside library."""
    if target == "calque_build_id.h":
        return target
    if target.startswith("calque/"):
        return "include/" + target
    beside = (root / source).parent / target
    if (root / target).is_file() or target.split("/")[0] in SOURCE_FOLDERS:
        return target
    if beside.is_file():
        return beside.resolve().relative_to(root.resolve()).as_posix()
    return None


def folder_rule(source):
    """The most specific folder of ALLOWED that holds the file."""
    folders = [folder for folder in ALLOWED if source.startswith(folder + "/")]
    return max(folders, key=len, default=None)


def fault_of(root, source, quote, target):
    """Why this include is wrong, or None."""
    for name, pattern, users in CONFINED:
        if pattern.search(target):
            return None if matches(source, users) else f"{name} belongs to {', '.join(users)} only"
    folder = folder_rule(source)
    path = resolve(root, source, target)
    if path is None:
        public = folder == "include/calque"
        standard = quote == "<" and re.fullmatch(r"[a-z_0-9]+(\.h)?", target)
        return "a public header includes only public headers, ir/op and the standard library" \
            if public and not standard else None
    if folder and not matches(path, ALLOWED[folder]):
        return f"{folder} may include only {', '.join(ALLOWED[folder])}"
    return None


def check(root):
    """All faults as lines `file:line: include: reason`, and the number of files read."""
    faults, count = [], 0
    for source in source_check.sources(root, SOURCE_FOLDERS, SOURCE_SUFFIXES):
        count += 1
        text = (root / source).read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            found = INCLUDE.match(line)
            reason = found and fault_of(root, source, found.group(1), found.group(2))
            if reason:
                faults.append(f"{source}:{number}: {found.group(2)}: {reason}")
    return faults, count


GOOD = [("ir/graph/a.h", "ir/op/op.h"), ("passes/a.cpp", "ir/graph/a.h"), ("runtime/a.cpp", "ir/op/op.h"),
        ("codegen/cpu/a.cpp", "llvm/IR/Module.h"), ("codegen/cpu/b.cpp", "calque/kernel_abi.h"),
        ("compiler/a.cpp", "codegen/cpu/plugin_api.h"), ("nn/a.cpp", "calque/tensor.h"),
        ("nn/safetensors_read.cpp", "nlohmann/json.hpp"), ("cli/a.cpp", "CLI/CLI.hpp"),
        ("include/calque/a.h", "ir/op/op.h"), ("include/calque/b.h", "vector"), ("tests/unit/a.cpp", "passes/a.h")]
BAD = [("ir/op/a.h", "ir/graph/a.h"), ("ir/op/b.h", "calque/dtype.h"), ("ir/graph/b.h", "passes/a.h"),
       ("passes/b.cpp", "runtime/a.h"), ("runtime/b.cpp", "ir/graph/a.h"), ("runtime/c.cpp", "compiler/a.h"),
       ("codegen/cpu/c.cpp", "runtime/a.h"), ("compiler/b.cpp", "codegen/cpu/emit.h"), ("compiler/c.cpp", "nn/a.h"),
       ("nn/b.cpp", "compiler/a.h"), ("nn/c.cpp", "passes/a.h"), ("nn/d.cpp", "ir/graph/a.h"),
       ("nn/e.cpp", "nlohmann/json.hpp"), ("runtime/d.cpp", "CLI/CLI.hpp"), ("compiler/d.cpp", "llvm/IR/Module.h"),
       ("include/calque/c.h", "runtime/a.h"), ("include/calque/d.h", "fmt/core.h"), ("cli/b.cpp", "codegen/cpu/a.h"),
       ("runtime/e.cpp", "cuda.h"), ("compiler/e.cpp", "elfutils/libdw.h"), ("examples/a.cpp", "passes/a.h")]


def planted(cases):
    return {source: f"// One include.\n#include <{target}>\n" for source, target in cases}


if __name__ == "__main__":
    source_check.main("Checks the direction of #include lines.", check, planted(GOOD), planted(BAD), "includes that point the wrong way")
