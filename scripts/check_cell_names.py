#!/usr/bin/env python3
# Checks that what compiles loops knows no cell by name: a cell of your own is compiled as well as a famous one.
"""check_cell_names.py [--root FOLDER]   prints each line of passes/, codegen/, compiler/ and ir/ that names a cell; exit code 1 if one does
check_cell_names.py --self-test       plants names in a temporary folder and expects each caught

Comments and texts count in passes/ and codegen/. Elsewhere names of files, as in an example of a source line, do not."""
import argparse
import pathlib
import re
import sys
import tempfile

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
    for folder in STRICT + LENIENT:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in SUFFIXES:
                continue
            count += 1
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                looked_at = line if folder in STRICT else COMMENT.sub("", line)
                if pattern.search(looked_at):
                    faults.append(f"{path.relative_to(root)}:{number}: names a cell: {line.strip()}")
    return faults, count


GOOD = {"passes/good.cpp": "// A nurnnberg, a grunt and a strum.\nint truncated_rows;\n", "ir/good.h": "// such as lstm.cpp:14\n",
        "compiler/good.cpp": "int x;  // `gru.cpp:3`\n"}
BAD = {"passes/comment.cpp": "// as an LSTM does\n", "passes/name.cpp": "void fuse_lstm();\n", "codegen/cpu/hump.cpp": "int kGruStep;\n",
       "compiler/code.cpp": 'if (name == "gru") return;\n', "codegen/gallery.cpp": "// peephole_lstm\n",
       "ir/own.h": "bool is_adaptive_cell(); bool is_my_own_cell();\n"}


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in {**GOOD, **BAD, "examples/cells/my_own_cell.cpp": ""}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        caught = {line.split(":")[0] for line in faults_in(root)[0]}
    wrong = caught.symmetric_difference(BAD)
    for name in sorted(wrong):
        print(f"self-test: {name} was {'caught' if name in caught else 'missed'}")
    print(f"self-test: {len(BAD)} names planted, {len(caught)} files caught, {len(wrong)} wrong")
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description="Checks that no cell is known by name.")
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    faults, count = faults_in(arguments.root)
    print("\n".join([*faults, f"{count} files checked, {len(faults)} lines name a cell"]))
    return 1 if faults or count < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
