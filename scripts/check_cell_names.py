#!/usr/bin/env python3
# Checks that what compiles loops knows no cell by name: a cell of your own is compiled as well as a famous one.
"""check_cell_names.py [--root FOLDER]   prints each line of passes/, codegen/, compiler/ and ir/ that names a cell; exit code 1 if one does
check_cell_names.py --self-test       plants names in a temporary folder and expects each caught

Comments and texts count in passes/ and codegen/. Elsewhere names of files, as in an example of a source line, do not."""
import re

import source_check

STRICT, LENIENT = ["passes", "codegen"], ["compiler", "ir"]
SUFFIXES = {".h", ".def", ".cpp", ".inc"}
# Also cells that the gallery does not have; its own are added by their files' names.
FAMOUS = ["rnn", "lstm", "gru", "sru", "mgu", "qrnn", "indrnn", "peephole", "zoneout", "elman", "mamba", "minlstm", "mingru", "xlstm"]
COMMENT = re.compile(r"//.*")


def pattern_for(root):
    gallery = [path.stem for path in (root / "examples/cells").glob("*.cpp") if path.stem != "gallery"]
    # Words end at underscores and at humps, too: fuse_lstm, kGruStep.
    words = "|".join(sorted({*FAMOUS, *gallery}, key=lambda word: (-len(word), word)))
    any_case = "|".join(word.capitalize() + "|" + word.upper() for word in FAMOUS)
    return re.compile(rf"(?<![A-Za-z])(?:{words})(?![a-z])|(?:{any_case})(?![a-z])")


def faults_in(root):
    pattern, faults, count = pattern_for(root), [], 0
    for source in source_check.sources(root, STRICT + LENIENT, SUFFIXES):
        count += 1
        for number, line in enumerate((root / source).read_text(encoding="utf-8").splitlines(), 1):
            looked_at = line if source.split("/")[0] in STRICT else COMMENT.sub("", line)
            if pattern.search(looked_at):
                faults.append(f"{source}:{number}: names a cell: {line.strip()}")
    return faults, count


GOOD = {"examples/cells/my_own_cell.cpp": "", "passes/good.cpp": "// A nurnnberg, a grunt and a strum.\nint truncated_rows;\n",
        "ir/good.h": "// such as lstm.cpp:14\n", "compiler/good.cpp": "int x;  // `gru.cpp:3`\n"}
BAD = {"passes/comment.cpp": "// as an LSTM does\n", "passes/name.cpp": "void fuse_lstm();\n", "codegen/cpu/hump.cpp": "int kGruStep;\n",
       "compiler/code.cpp": 'if (name == "gru") return;\n', "codegen/gallery.cpp": "// peephole_lstm\n",
       "ir/own.h": "bool is_adaptive_cell(); bool is_my_own_cell();\n"}

if __name__ == "__main__":
    source_check.main("Checks that no cell is known by name.", faults_in, GOOD, BAD, "names of cells", fewest=100)
