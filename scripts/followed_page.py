# A page of docs/ that a test follows: carries out its steps in a copy of the tree.
"""A step is "Add to `FILE`, behind the line with `TEXT`:" or "Create `FILE`:", and behind it a block of code."""
import re
import subprocess
import sys

from copied_tree import ROOT, copy_tree

STEP = re.compile(r"^(?:Add to `([^`]+)`, behind the line with `([^`]+)`|Create `([^`]+)`):\n\n```\w*\n(.*?)^```", re.S | re.M)


def run(*command, **options):
    """Output of a command that has to succeed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        print(done.stdout[-4000:])
        sys.exit(f"failed: {' '.join(map(str, command))}")
    return done.stdout


def follow(page, copy, step_count):
    """Copies the tree and carries out all steps of the page; their number is told, so that none is overlooked."""
    copy_tree(copy)
    steps = STEP.findall((ROOT / page).read_text(encoding="utf-8"))
    if len(steps) != step_count:
        sys.exit(f"{page}: {len(steps)} steps were found, not {step_count}")
    for changed, text, created, block in steps:
        if created:
            if (copy / created).exists():
                sys.exit(f"{page}: {created} is there already")
            (copy / created).write_text(block, encoding="utf-8")
        else:
            add_behind(page, copy / changed, text, block)


def add_behind(page, file, text, block):
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    places = [i for i, line in enumerate(lines) if text in line]
    if len(places) != 1:
        sys.exit(f"{page}: {len(places)} lines of {file.name} have `{text}`, not one")
    lines.insert(places[0] + 1, block)
    file.write_text("".join(lines), encoding="utf-8")
