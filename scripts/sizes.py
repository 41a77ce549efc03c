#!/usr/bin/env python3
# Shows how large the library, the plugins and the program are, as built and stripped; the library has a bound.
"""sizes.py [FOLDER]   FOLDER holds what was built (default: build/dev/bin)

Exit code 1 when libcalque.so, stripped, is larger than 6 MB."""
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = ["libcalque.so", "libcalque_cpu_codegen.so", "libcalque_symbolizer.so", "calque"]
LIBRARY_BOUND = 6_000_000


def stripped_bytes(path):
    """Size of a copy without symbols and debug information, as it is installed."""
    with tempfile.NamedTemporaryFile() as copy:
        subprocess.run(["strip", "-o", copy.name, path], check=True)
        return pathlib.Path(copy.name).stat().st_size


def section_bytes(path):
    """Code, constants and data of an object file, from `size -A`."""
    lines = subprocess.run(["size", "-A", path], check=True, capture_output=True, text=True).stdout.splitlines()
    sizes = {row[0]: int(row[1]) for row in (line.split() for line in lines) if len(row) == 3 and re.match(r"\.", row[0])}
    return [sum(size for name, size in sizes.items() if name.startswith(prefixes))
            for prefixes in ((".text",), (".rodata",), (".data", ".bss"))]


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build/dev/bin"
    print(f"{'MB (10^6 bytes)':28} {'as built':>9} {'stripped':>9} {'code':>9} {'constants':>9} {'data':>9}")
    library = None
    for name in FILES:
        path = folder / name
        if not path.exists():
            print(f"{name:28} is not there")
            continue
        stripped = stripped_bytes(path)
        library = stripped if name == "libcalque.so" else library
        print(f"{name:28}" + "".join(f" {bytes_ / 1e6:9.2f}" for bytes_ in (path.stat().st_size, stripped, *section_bytes(path))))
    if library is None:
        sys.exit(f"{folder} has no libcalque.so")
    print(f"libcalque.so, stripped: {library / 1e6:.2f} MB of {LIBRARY_BOUND / 1e6:.0f} MB at most")
    return 0 if library <= LIBRARY_BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
