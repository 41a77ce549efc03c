#!/usr/bin/env python3
# Follows docs/adding-a-pass.md in a copy of the tree and runs the pass that it adds on its golden file.
"""check_adding_a_pass.py <compiler> <folder of libcalque.a and libcalque_ir.a> <object of tests/catch_main.cpp> [<sanitizers>]

Only the new pass, the pipeline and the golden test are compiled; all else comes from the archives of a build."""
import pathlib
import sys
import tempfile

from followed_page import follow, run

GOLDEN = "tests/ir/golden"


def main():
    compiler, archives, catch_main = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    sanitizers = [f"-fsanitize={name}" for name in sys.argv[4:]]  # those of the archives
    with tempfile.TemporaryDirectory(prefix="calque-adding-a-pass-") as folder:
        copy = pathlib.Path(folder) / "tree"
        follow("docs/adding-a-pass.md", copy, 5)
        for file in (copy / GOLDEN).glob("*.cq"):  # the others are run by the tests of this tree
            if file.stem != "absolute_values":
                file.unlink()
        # The pipeline with the new pass is linked before the archive, whose own pipeline then is not needed.
        run(compiler, "-std=c++20", "-O0", "-Wall", "-Wextra", "-Werror", *sanitizers, "-I", copy, "-I", copy / "include",
            copy / "passes/absolute_values.cpp", copy / "passes/pipeline.cpp", copy / "tests/ir/golden_test.cpp", catch_main,
            archives / "libcalque.a", archives / "libcalque_ir.a", "-lfmt", "-o", copy / "golden")
        print(run(copy / "golden", "golden graphs", cwd=copy).strip())
        run(copy / "scripts/check_includes.py")


if __name__ == "__main__":
    main()
