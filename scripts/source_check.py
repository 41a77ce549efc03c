# What checks of the sources' text share: which files there are, planting faults to be caught, and the command line.
import argparse
import pathlib
import sys
import tempfile


def sources(root, folders, suffixes):
    """Files of these folders, by their place in `root`."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file():
                yield path.relative_to(root).as_posix()


def self_test(check, good, bad, what):
    """Plants these files, given as {place: text}: the good ones must pass and every bad one must be named."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for source, text in {**good, **bad}.items():
            path = root / source
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        caught = {line.split(":")[0] for line in check(root)[0]}
    wrong = caught.symmetric_difference(bad)
    for source in sorted(wrong):
        print(f"self-test: {source} was {'caught' if source in caught else 'missed'}")
    print(f"self-test: {len(bad)} {what} planted, {len(caught)} caught, {len(wrong)} wrong")
    return 1 if wrong else 0


def main(description, check, good, bad, what, fewest=0):
    """`check(root)` gives all faults as lines `file:line: ...`, and the number of files read, of which `fewest` must be there."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if arguments.self_test:
        sys.exit(self_test(check, good, bad, what))
    faults, count = check(arguments.root)
    print("\n".join([*faults, f"{count} files checked, {len(faults)} {what}"]))
    sys.exit(1 if faults or count < fewest else 0)
