# A page of docs/ that a test follows: carries out its steps in a copy of the tree.
"""A step is "Add to `FILE`, behind the line with `TEXT`:" or "Create `FILE`:", and behind it a block of code."""
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
STEP = re.compile(r"^(?:Add to `([^`]+)`, behind the line with `([^`]+)`|Create `([^`]+)`):\n\n```\w*\n(.*?)^```", re.S | re.M)


def run(*command, **options):
    """Output of a command that has to succeed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        print(done.stdout[-4000:])
        sys.exit(f"failed: {' '.join(map(str, command))}")
    return done.stdout


def copy_tree(copy):
    """All sources, as they are in the working tree; git is not needed, and the tree need not be git's."""
    lines = [".git"] + (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    at_root = shutil.ignore_patterns(*(line.strip("/") for line in lines))
    below = shutil.ignore_patterns(*(line.strip("/") for line in lines if not line.startswith("/")))
    shutil.copytree(ROOT, copy, dirs_exist_ok=True,
                    ignore=lambda folder, names: (at_root if pathlib.Path(folder) == ROOT else below)(folder, names))


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
