#!/usr/bin/env python3
# Checks symbols by way of nm: no weak ones in kernels, plain C from plugins, only Calque's public names from the library.
"""check_symbols.py weak <object>...      fails if an object defines a weak or unique symbol
check_symbols.py exports <plugin>...   fails if a plugin exports anything but C functions calque_*
check_symbols.py library <library>...  fails if a library exports a name that is not of namespace calque, or an internal one
check_symbols.py closed <archive>...   fails if an archive needs a symbol of namespace calque that it does not define
check_symbols.py self-test <compiler>  compiles one good and one bad source and expects the bad one caught"""
import os
import re
import subprocess
import sys
import tempfile

# A pointer to the personality routine: data, the same for every level, folding it is harmless.
HARMLESS_WEAK = re.compile(r"^DW\.ref\.")


def symbols(path, *options):
    """The (kind, name) pairs that nm lists for a file."""
    lines = subprocess.run(["nm", "--no-demangle", *options, path], check=True, capture_output=True, text=True)
    rows = (line.split() for line in lines.stdout.splitlines())
    return [(row[-2], row[-1]) for row in rows if len(row) >= 2 and len(row[-2]) == 1]


def weak_symbols(path):
    """Definitions that the linker may replace by another object's: weak (W, V) and unique (u)."""
    return [name for kind, name in symbols(path, "--defined-only")
            if kind in "WVu" and not HARMLESS_WEAK.match(name)]


def foreign_exports(path):
    """Exported names that are not a C function of ours."""
    return [name for kind, name in symbols(path, "-D", "--defined-only")
            if not (kind == "T" and re.fullmatch(r"calque_[a-z0-9_]+", name))]


# Of namespace calque and visible, since public headers name them: the types behind a handle.
PUBLIC_NAME = re.compile(r"(typeinfo (name )?for |vtable for |non-virtual thunk to )?calque::")
INTERNAL_NAME = re.compile(r"calque::(kernels|passes|memory|recorder)::|\(anonymous namespace\)|\b(llvm|fmt|nlohmann)::")


def not_public(path):
    """Exported names that no public header declares: of another library, of the standard library, or internal."""
    names = [name for _, name in symbols(path, "-D", "--defined-only")]
    text = subprocess.run(["c++filt"], input="\n".join(names), check=True, capture_output=True, text=True).stdout
    return [name for name, readable in zip(names, text.splitlines())
            if not PUBLIC_NAME.match(readable) or INTERNAL_NAME.search(readable)]


def missing_of_ours(path):
    """Names of namespace calque that an archive uses and does not define: somebody else's."""
    defined = {name for _, name in symbols(path, "--defined-only")}
    used = {name for _, name in symbols(path, "--undefined-only")}
    return sorted(name for name in used - defined if "6calque" in name)


def demangle(name):
    return subprocess.run(["c++filt", name], capture_output=True, text=True).stdout.strip()


GOOD = 'extern "C" int calque_good() { return 1; }'
PUBLIC = """namespace calque { struct Error { virtual ~Error(); }; Error::~Error() {} int add(int x) { return x; } }"""
STRAY = """namespace llvm { int pass() { return 1; } } namespace calque::kernels { int exp() { return 1; } }"""
BAD = """template <class T> [[gnu::noipa]] T twice(T x) { return x + x; }
int calque_data = 1;
int mangled() { return twice(1); }
extern "C" int calque_good() { return mangled(); }"""


CLOSED = "namespace calque { void inner() {} void outer() { inner(); } }"
OPEN = "namespace calque { void dispatch(); void run() { dispatch(); } }"


def self_test(compiler):
    """Names of the bad source that go uncaught, or of the good one that are caught, are faults."""
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for text in (GOOD, BAD):
            library = os.path.join(folder, f"{len(found)}.so")
            subprocess.run([compiler, "-x", "c++", "-std=c++20", "-O3", "-fPIC", "-shared", "-o", library, "-"],
                           input=text, text=True, check=True)
            found.append((sorted(weak_symbols(library)), sorted(foreign_exports(library))))
        for text in (CLOSED, OPEN):
            object_file = os.path.join(folder, f"{len(found)}.o")
            subprocess.run([compiler, "-x", "c++", "-O0", "-c", "-o", object_file, "-"], input=text, text=True, check=True)
            found.append(missing_of_ours(object_file))
        for text in (PUBLIC, STRAY):
            library = os.path.join(folder, f"{len(found)}.so")
            subprocess.run([compiler, "-x", "c++", "-std=c++20", "-fPIC", "-shared", "-o", library, "-"], input=text, text=True,
                           check=True)
            found.append(sorted(not_public(library)))
    twice = "_Z5twiceIiET_S0_"
    expected = [([], []), ([twice], [twice, "_Z7mangledv", "calque_data"]), [], ["_ZN6calque8dispatchEv"], [],
                ["_ZN4llvm4passEv", "_ZN6calque7kernels3expEv"]]
    print(f"self-test: found {found}, expected {expected}")
    return 0 if found == expected else 1


def main(arguments):
    checks = {"weak": (weak_symbols, "defines the weak symbol"), "exports": (foreign_exports, "exports"),
              "library": (not_public, "exports"), "closed": (missing_of_ours, "needs")}
    if len(arguments) < 2 or arguments[0] not in [*checks, "self-test"]:
        print(__doc__, file=sys.stderr)
        return 2
    if arguments[0] == "self-test":
        return self_test(arguments[1])
    find, verb = checks[arguments[0]]
    faults = [(path, name) for path in arguments[1:] for name in find(path)]
    for path, name in faults:
        print(f"{path}: {verb} {demangle(name)}")
    print(f"{len(arguments) - 1} files checked, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
