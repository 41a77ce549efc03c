#!/usr/bin/env python3
# Installs a build into a prefix, moves that, and uses it as outside projects do: tests/CMakeLists.txt runs one case each.
"""check_install.py <case> --build FOLDER --work FOLDER [--cmake PROGRAM] [--compiler PROGRAM]

prefix           installs into WORK/first and moves that to WORK/prefix, where the other cases find it
find_package     examples/outside_project with find_package(Calque)
pkg_config       its program with the flags that pkg-config gives, run with a relative library path
subdirectory     examples/outside_project with add_subdirectory: what is configured and what its sources can include
without_plugin   an installed tree that lacks the code generator: eager when cold, compiled from a warm cache, one message
without_symbolizer  explain() then shows no source lines, and says so once
late             a program that opens the installed library with dlopen when it is running
headers          each installed header compiles alone; the plain-C ones compile as C
program          the installed program finds its plugins
deb              the Debian package: contents and dependencies
examples         the programs of examples/, as built: they check themselves, and explain their lines"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
OUTSIDE = ROOT / "examples/outside_project"
PLUGIN = "libcalque_cpu_codegen.so"
SYMBOLIZER = "libcalque_symbolizer.so"
SKIP = 77
NO_CACHE = {"CALQUE_CACHE": "0", "CALQUE_LOG": ""}


def run(*command, env=None, **options):
    """Output and errors of a command that has to succeed."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, **(env or {})}, **options)
    if done.returncode != 0:
        print(done.stdout[-4000:], done.stderr[-8000:], sep="\n")
        sys.exit(f"failed ({done.returncode}): {' '.join(map(str, command))}")
    return done.stdout, done.stderr


def expect(holds, what):
    if not holds:
        sys.exit(f"not so: {what}")


def need(tool):
    """A visible SKIP where the machine lacks a tool."""
    if shutil.which(tool) is None:
        print(f"SKIP: {tool} is not installed")
        sys.exit(SKIP)


def can_compile():
    """Whether the machine has what generated code needs."""
    flags = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return re.search(r"\bavx2\b", flags) and re.search(r"\bfma\b", flags)


class Run:
    """What the outside program said."""

    def __init__(self, program, cache, env=None, **options):
        settings = {"CALQUE_CACHE": "1", "CALQUE_CACHE_DIR": str(cache), "CALQUE_LOG": "", **(env or {})}
        output, self.errors = run(program, env=settings, **options)
        print(output + self.errors, end="")
        expect("the same in every bit" in output, "eager and compiled losses agree in every bit")
        self.compiled, self.cached, self.runs = (int(number) for number in re.search(
            r"(\d+) plans compiled, (\d+) from the cache, (\d+) runs", output).groups())


def expect_compiled(first):
    """A first run compiled its plans, and said nothing."""
    expect(first.errors == "", "nothing is said on the standard error output")
    if can_compile():
        expect(first.compiled > 0 and first.runs > 0, "the first run compiles and runs plans")


def configure(options, folder, *definitions):
    return run(options.cmake, "-S", OUTSIDE, "-B", folder, "-G", "Ninja", f"-DCMAKE_CXX_COMPILER={options.compiler}",
               "-DCMAKE_BUILD_TYPE=Release", *definitions)


def flags_of(prefix):
    """Compiler flags for a prefix by way of pkg-config."""
    need("pkg-config")
    env = {"PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig")}
    flags, _ = run("pkg-config", "--cflags", "--libs", "calque", env=env)
    return flags.split()


def compile_by_pkg_config(options, prefix, program):
    run(options.compiler, "-std=c++20", "-O1", OUTSIDE / "main.cpp", "-o", program, *flags_of(prefix))


def case_prefix(options):
    shutil.rmtree(options.work, ignore_errors=True)
    run(options.cmake, "--install", options.build, "--prefix", options.work / "first")
    (options.work / "first").rename(options.prefix)
    for name in ("lib/libcalque.so", f"lib/calque/{PLUGIN}", "lib/cmake/Calque/CalqueConfig.cmake", "bin/calque"):
        expect((options.prefix / name).exists(), f"{name} is installed")
    folders = sorted(path.name for path in (options.prefix / "include").iterdir())
    expect(folders == ["calque"], f"all headers are in include/calque, not in {folders}")


def case_find_package(options):
    folder = options.work / "find_package"
    shutil.rmtree(folder, ignore_errors=True)
    configure(options, folder, f"-DCMAKE_PREFIX_PATH={options.prefix}")
    run(options.cmake, "--build", folder)
    cache = options.work / "cache-find_package"
    expect_compiled(Run(folder / "outside_program", cache))
    again = Run(folder / "outside_program", cache)
    if can_compile():
        expect(again.compiled == 0 and again.cached > 0, "the second process finds its plans in the cache")


def case_pkg_config(options):
    program = options.work / "by_pkg_config"
    compile_by_pkg_config(options, options.prefix, program)
    version, _ = run("pkg-config", "--modversion", "calque", env={"PKG_CONFIG_PATH": str(options.prefix / "lib/pkgconfig")})
    expect(re.fullmatch(r"\d+\.\d+\.\d+", version.strip()), "pkg-config knows the version")
    # A relative path: the library must know where it is nevertheless.
    expect_compiled(Run(program, options.work / "cache-pkg_config", {"LD_LIBRARY_PATH": "lib"}, cwd=options.prefix))


def case_subdirectory(options):
    folder = options.work / "subdirectory"
    shutil.rmtree(folder, ignore_errors=True)
    configure(options, folder, f"-DCALQUE_SOURCE={ROOT}", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON")
    targets, _ = run("ninja", "-C", folder, "-t", "targets", "all")
    for word in ("calque_test", "bench_", "first_program", "bin/calque:"):
        expect(word not in targets, f"{word} is no target of a project that includes Calque")
    expect("bin/libcalque.so" in targets and PLUGIN in targets, "the library and its plugin are")
    cache = (folder / "CMakeCache.txt").read_text(encoding="utf-8")
    expect("CMAKE_BUILD_TYPE:STRING=Release" in cache, "the build type is that of the project")
    run("ninja", "-C", folder, "CMakeFiles/outside_program.dir/main.cpp.o")
    commands = json.loads((folder / "compile_commands.json").read_text(encoding="utf-8"))
    [command] = [entry["command"] for entry in commands if entry["file"].endswith("outside_project/main.cpp")]
    includes = re.findall(r"-(?:I|isystem )\S+", command)
    probe = "\n".join(f'#if __has_include(<{name}>)\n#error {name} is visible\n#endif'
                      for name in ("runtime/dispatch.h", "compiler/frame.h", "ir/graph/graph.h", "tests/catch_main.cpp"))
    run(options.compiler, "-fsyntax-only", *" ".join(includes).split(), "-x", "c++", "-", input=probe)
    expect("-Werror" not in command and "-ftls-model" not in command, "Calque's own flags stay with Calque")


def tree_without(options, plugin):
    """The installed tree once more, by hard links, without one of its plugins."""
    tree = options.work / f"without_{plugin.split('.')[0]}"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(options.prefix, tree, symlinks=True, copy_function=os.link)
    (tree / "lib/calque" / plugin).unlink()
    return tree


def case_without_plugin(options):
    tree = tree_without(options, PLUGIN)
    program = options.work / "without_plugin"
    compile_by_pkg_config(options, tree, program)
    lacking, whole = {"LD_LIBRARY_PATH": str(tree / "lib")}, {"LD_LIBRARY_PATH": str(options.prefix / "lib")}
    if not can_compile():
        Run(program, options.work / "cache-none", lacking)
        return
    with tempfile.TemporaryDirectory(dir=options.work) as cache:
        cold = Run(program, cache, lacking)
        expect(cold.compiled == 0 and cold.cached == 0 and cold.runs == 0, "everything runs eagerly")
        lines = cold.errors.splitlines()
        expect(len(lines) == 1 and PLUGIN in lines[0] and str(tree / "lib/calque") in lines[0],
               "one message says which plugin was looked for, and where")
        filled = Run(program, cache, whole)
        expect(filled.compiled > 0, "with the plugin, the program compiles")
        warm = Run(program, cache, lacking)
        expect(warm.compiled == 0 and warm.cached == filled.compiled and warm.runs == filled.runs and warm.errors == "",
               "without it, all comes from the cache, and nothing is said")


def case_without_symbolizer(options):
    tree = tree_without(options, SYMBOLIZER)
    output, errors = run(tree / "bin/calque", "explain", "--hidden", "16", "--batch", "2", env=NO_CACHE)
    expect(len(errors.splitlines()) == 1 and SYMBOLIZER in errors, "one message names what is missing")
    expect("matmul" in output and not re.search(r"\.(cpp|h):\d+ ", output), "ops are explained without their lines")


LATE = """
#include <dlfcn.h>
#include <cstdio>
int main(int, char** arguments) {
  void* library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
  if (!library) return std::puts(dlerror()), 1;
  return dlclose(library);
}
"""


def case_late(options):
    program = options.work / "late"
    run(options.compiler, "-x", "c++", "-", "-o", program, input=LATE)
    run(program, options.prefix / "lib/libcalque.so")


def case_headers(options):
    include = options.prefix / "include"
    headers = sorted(path.relative_to(include).as_posix() for path in include.rglob("*.h"))
    plain_c = [(options.compiler, "c11", include, name) for name in ("calque/kernel_abi.h", "calque/dlpack.h")]
    plain_c += [(options.compiler, "c11", ROOT, name)
                for name in ("codegen/cpu/plugin_api.h", "compiler/symbolizer_plugin/symbolizer_api.h")]
    eigen = pathlib.Path("/usr/include/eigen3")
    compiled = [name for name in headers if name != "calque/eigen.h" or eigen.is_dir()]  # the one that needs another library
    jobs = [(options.compiler, "c++20", include, name) for name in compiled] + plain_c

    def check(job):
        compiler, standard, folder, name = job
        language = "c" if standard == "c11" else "c++"
        done = subprocess.run([compiler, "-fsyntax-only", f"-std={standard}", "-Wall", "-Wextra", "-pedantic-errors", "-Werror",
                               "-I", folder, "-I", include, "-isystem", str(eigen), "-x", language, "-"], input=f"#include <{name}>\n", text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return f"{name} ({standard}):\n{done.stdout}" if done.returncode != 0 else None

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        faults = [fault for fault in pool.map(check, jobs) if fault]
    print("\n".join([*faults, f"{len(headers)} headers as C++20, {len(plain_c)} as C11"]))
    hidden = [name for name in headers if hides_a_declaration((include / name).read_text(encoding="utf-8"))]
    expect(not hidden, f"these headers open namespace calque outside `#pragma GCC visibility push(default)`: {hidden}")
    expect(not faults, "every header compiles alone, without a warning")


def hides_a_declaration(text):
    """Whether namespace calque is opened where the visibility is that of the library's own code: hidden."""
    depth = 0
    for line in text.splitlines():
        depth += line.startswith("#pragma GCC visibility push(default)") - line.startswith("#pragma GCC visibility pop")
        if line.startswith("namespace calque") and depth == 0:
            return True
    return depth != 0


def case_program(options):
    cache = {"CALQUE_CACHE_DIR": str(options.work / "cache-program"), "CALQUE_CACHE": "1"}
    output, errors = run(options.prefix / "bin/calque", "explain", "--hidden", "16", "--batch", "2", env=cache)
    expect(errors == "", "nothing is missing")
    expect(".h:" in output or ".cpp:" in output, "explain shows source lines, by way of the symbolizer")
    if can_compile():
        expect("fused" in output or "kernel" in output, "explain shows what was compiled")
    version, _ = run(options.prefix / "bin/calque", "--version")
    expect(re.search(r"\d+\.\d+\.\d+", version), "the program knows its version")


def case_deb(options):
    need("dpkg-shlibdeps")
    need("dpkg-deb")
    folder = options.work / "deb"
    shutil.rmtree(folder, ignore_errors=True)
    run(options.cmake.parent / "cpack", "--config", options.build / "CPackConfig.cmake", "-B", folder, cwd=options.build)
    [package] = folder.glob("*.deb")
    fields = {name: run("dpkg-deb", "--field", package, name)[0].strip()
              for name in ("Package", "Version", "Architecture", "Depends")}
    print(package.name, fields)
    version, _ = run(options.prefix / "bin/calque", "--version")
    expect(fields["Package"] == "calque" and fields["Version"] in version, "the package has the program's version")
    for library in ("libc6", "libstdc++6", "libfmt9", "libdw1"):
        expect(re.search(rf"\b{re.escape(library)}\b", fields["Depends"]), f"it depends on {library}")
    expect("llvm" not in fields["Depends"].lower(), "it needs no LLVM")
    contents, _ = run("dpkg-deb", "--contents", package)
    for name in ("./usr/bin/calque", "./usr/lib/libcalque.so", f"./usr/lib/calque/{PLUGIN}", "./usr/include/calque/calque.h",
                 "./usr/lib/cmake/Calque/CalqueConfig.cmake", "./usr/lib/pkgconfig/calque.pc", "./usr/share/doc/calque/copyright"):
        expect(re.search(rf" {re.escape(name)}( ->|$)", contents, re.M), f"{name} is in the package")


def case_examples(options):
    for name, *arguments in (("custom_cell",), ("first_program",), ("language_model", ROOT / "README.md", 80)):
        output, errors = run(options.build / "bin" / name, *arguments, env=NO_CACHE)
        expect(errors == "", f"{name} says nothing on the standard error output")
        if name == "custom_cell" and can_compile():
            expect(re.search(r"custom_cell\.cpp:\d+ +layer_norm +fused into kernel", output),
                   "explain names the line and what became of it")
        if name == "language_model":
            losses = [re.findall(rf"{way} +step +(\d+) +loss (\S+)", output) for way in ("eager", "compiled")]
            expect(len(losses[0]) == 2 and [n for n, _ in losses[0]] == [n for n, _ in losses[1]], "both ways print their losses")
            apart = [abs(float(a) - float(b)) for (_, a), (_, b) in zip(*losses)]
            expect(max(apart) < 1e-2 and float(losses[1][1][1]) < float(losses[1][0][1]), "they agree, and the loss falls")
            expect("\n\n# Cal" in output, "it goes on from the text's beginning")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cases = {name[5:]: function for name, function in globals().items() if name.startswith("case_")}
    parser.add_argument("case", choices=cases)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--cmake", type=pathlib.Path, default=shutil.which("cmake"))
    parser.add_argument("--compiler", default="c++")
    options = parser.parse_args()
    options.build, options.work = options.build.resolve(), options.work.resolve()
    options.prefix = options.work / "prefix"
    cases[options.case](options)
    print(f"{options.case}: ok")


if __name__ == "__main__":
    main()
