#!/usr/bin/env python3
# Plants bugs one at a time in a copy of the tree and expects the tests to catch each: a test of the tests.
"""seeded_bugs.py [NAME...]   plants these bugs (all without a name), builds, runs their tests; exit code 1 if one survives
seeded_bugs.py --list      says what each bug is
seeded_bugs.py --check     only looks whether every bug still has its place in the sources (a test does this)

The copy and its build lie in build/seeded_bugs and are kept for the next time. CALQUE_JOBS=<n> as for ./dev."""
import dataclasses
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

from copied_tree import ROOT, copy_tree

COPY = ROOT / "build" / "seeded_bugs"
CATCH_SECONDS = 900  # for one test program


@dataclasses.dataclass
class Bug:
    name: str
    what: str
    file: str
    before: str      # must be in the file exactly once
    after: str
    programs: list   # test programs (kinds), in the order in which they are tried


BUGS = [
    Bug("guard", "a match does not look whether an outside tensor requires grad", "compiler/trace.h",
        "tensor.requires_grad == requires_grad &&", "", ["run"]),
    Bug("shape_guard", "a match does not look at the shape of an outside tensor", "compiler/trace.h",
        "tensor.shape == shape &&", "", ["run"]),
    Bug("attributes", "a match ignores the attributes of an op", "compiler/frame_match.cpp",
        ": node.attributes == attributes;",
        ": node.attributes.size() == attributes.size();", ["run"]),
    Bug("grad_mode", "a match ignores whether gradients are recorded", "compiler/frame_match.cpp",
        "node.op == call.op && node.grad_enabled == thread_state.grad_enabled &&",
        "node.op == call.op &&", ["run"]),
    Bug("nan_max", "the maximum loses a NaN", "ir/op/scalar/formulas.h",
        "select((a >= b) | (a != a), a, b)", "select(a >= b, a, b)", ["unit", "run"]),
    Bug("reduction_tail", "a reduction over rows leaves out the last element after the whole lanes",
        "runtime/kernels/reduction.isa.cpp",
        "__builtin_memcpy(last, x + whole, (n - whole) * sizeof(T));",
        "__builtin_memcpy(last, x + whole, (n - whole - 1) * sizeof(T));", ["unit", "run"]),
    Bug("split_order", "split gives its pieces (the gates of a cell) in reverse", "runtime/views.cpp",
        "map.offset = index * result_shape[attributes[1]]",
        "map.offset = (attributes[0] - 1 - index) * result_shape[attributes[1]]", ["unit", "run"]),
    Bug("stale_weight", "a packed weight is used after its elements were written", "compiler/packed_weight.cpp",
        "lock && version == version_ ?", "lock && version + 1 != 0 ?", ["run"]),
    Bug("broadcast_gradient", "the gradient of a broadcast operand takes the largest of what it should add", "ir/op/emitter.cpp",
        "sum(value, axes, true)", "max(value, axes, true)", ["grad"]),
    Bug("output_alias", "equal results of a plan share their memory", "compiler/plan_builder.cpp",
        " || given_away[place.buffer];", ";", ["run"]),
    Bug("saved_version", "a value saved for the backward pass is used though it was written since", "runtime/tape.cpp",
        "if (version_of(tensor_) != version_)", "if (version_of(tensor_) < version_)", ["grad", "unit", "run", "fuzz"]),
    Bug("cache_key", "the cache key lacks the strides of outside tensors", "compiler/compiled_segment.cpp",
        "fmt::join(std::span(slot.strides).first(slot.shape.rank()), \",\")", "slot.shape.rank()", ["run"]),
    Bug("trip_count", "plans of a loop that ran otherwise often are taken for this call's", "compiler/trace.cpp",
        "symbols.push_back(loop->trips);\n    if (!nodes_[id].sizes) continue;",
        "(void)loop;\n    if (!nodes_[id].sizes) continue;", ["run"]),
    Bug("loop_index", "an index that grows with the steps of a loop is not looked at", "compiler/frame_match.cpp",
        "if (attributes[i] != node.attributes[i] + iteration * (*node.steps)[static_cast<size_t>(i)]) return false;",
        "if (iteration < 0) return false;", ["run"]),
    Bug("loop_order", "a loop backwards runs forwards", "passes/loops/roll.cpp",
        "LoopForm form{period_.length, carried_.size(), sequences_.size(), reverse_};",
        "LoopForm form{period_.length, carried_.size(), sequences_.size(), false};", ["run"]),
    Bug("differentiated_by", "a loop is rolled over a value by which a gradient is taken", "passes/loops/period.cpp",
        "is_one_of_its_kind |= is_by[node.result(i)];", "is_one_of_its_kind |= is_by.empty();", ["run", "fuzz"]),
    Bug("older_history", "a gradient inside takes no notice of what happened before the segment", "compiler/frame.cpp",
        "return !impl.producer || (from_outside.size() == 1", "return true || (from_outside.size() == 1", ["run"]),
    Bug("barrier", "no step of a plan waits for what other threads write", "compiler/plan_builder.cpp",
        "step.barrier_before |= has_to_wait(buffers, touched);", "step.barrier_before = false;", ["run", "fuzz"]),
    Bug("own_columns", "members do not wait for columns that others of them made", "compiler/plan_columns.cpp",
        "step.waits |= has_to_wait(of_step, touched);", "step.waits = false;", ["run", "fuzz"]),
    Bug("write_border", "a write in place does not make pending reads run first", "runtime/in_place.cpp",
        "border(\"a write in place\");", "", ["run"]),
]


def check():
    """The bugs whose place in the sources is gone or not unique, as sentences."""
    faults = []
    for bug in BUGS:
        path = ROOT / bug.file
        count = path.read_text().count(bug.before) if path.exists() else 0
        if count != 1:
            faults.append(f"{bug.name}: {bug.file} has {count} times: {bug.before}\n"
                          f"  the code has moved on: say in scripts/seeded_bugs.py how to plant this bug now")
    return faults


def build(programs):
    """The output of a failed build; empty when it went well."""
    if not (COPY / "build/dev/build.ninja").exists():
        subprocess.run(["cmake", "--preset", "dev"], cwd=COPY, check=True, stdout=subprocess.DEVNULL)
    jobs = os.environ.get("CALQUE_JOBS", str(os.cpu_count()))
    done = subprocess.run(["cmake", "--build", "build/dev", "-j", jobs, "--target"] + [f"calque_test_{p}" for p in programs],
                          cwd=COPY, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout[-3000:]


def failing_test(program):
    """The name of the first test case that fails; None when all pass."""
    environment = dict(os.environ, CALQUE_TEST_KIND=program)
    if program == "fuzz":  # others pass them on to children, which do not know them and warn
        environment |= {"CALQUE_FUZZ_PROGRAMS": "300", "CALQUE_FUZZ_LOOPS": "200"}
    try:
        done = subprocess.run([f"build/dev/bin/calque_test_{program}", "-r", "xml"], cwd=COPY, env=environment,
                              capture_output=True, timeout=CATCH_SECONDS)
    except subprocess.TimeoutExpired as expired:
        return f"{program}: (stopped after {CATCH_SECONDS} s) {last_test(expired.stdout or b'')}"
    if done.returncode == 0:
        return None
    try:
        for case in xml.fromstring(done.stdout).iter("TestCase"):
            if case.find("OverallResult").get("success") == "false":
                return f"{program}: {case.get('name')}"
    except xml.ParseError:
        pass
    return f"{program}: (crashed) {last_test(done.stdout)}"


def last_test(output):
    names = re.findall(r'<TestCase name="([^"]*)"', output.decode(errors="replace"))
    return names[-1] if names else "before the first test"


def plant(bug):
    """How the bug was caught; None when it survived. The copy is as before afterwards."""
    path = COPY / bug.file
    sound = path.read_text()
    path.write_text(sound.replace(bug.before, bug.after))
    try:
        fault = build(bug.programs)
        if fault:
            raise SystemExit(f"seeded_bugs: with the bug {bug.name} the sources do not compile:\n{fault}")
        return next((found for found in map(failing_test, bug.programs) if found), None)
    finally:
        path.write_text(sound)


def main(arguments):
    if arguments == ["--list"]:
        for bug in BUGS:
            print(f"{bug.name:20} {bug.what} ({bug.file})")
        return 0
    faults = check()
    if faults or arguments == ["--check"]:
        print("\n".join(faults) if faults else f"{len(BUGS)} bugs have their place in the sources")
        return 1 if faults else 0
    chosen = [bug for bug in BUGS if not arguments or bug.name in arguments]
    unknown = set(arguments) - {bug.name for bug in BUGS}
    if unknown:
        raise SystemExit(f"seeded_bugs: there is no bug {', '.join(sorted(unknown))}; --list names them")
    copy_tree(COPY)
    programs = sorted({program for bug in chosen for program in bug.programs})
    fault = build(programs)
    if fault:
        raise SystemExit(f"seeded_bugs: the tree does not build without a bug:\n{fault}")
    sound = [found for found in map(failing_test, programs) if found]
    if sound:
        raise SystemExit(f"seeded_bugs: tests fail without a bug: {'; '.join(sound)}")
    survivors = 0
    for bug in chosen:
        start = time.monotonic()
        caught = plant(bug)
        survivors += caught is None
        print(f"{bug.name:20} {'caught by ' + caught if caught else 'SURVIVED'}  ({time.monotonic() - start:.0f} s)", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} bugs caught")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
