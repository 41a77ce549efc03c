# A copy of the sources, to change and build without touching the tree.
import os
import pathlib
import shutil

ROOT = pathlib.Path(__file__).resolve().parent.parent


def copy_tree(copy):
    """Makes the folder `copy` have exactly the sources, as they are in the working tree; what git ignores there, a build say,
    stays. Files that did not change keep their time, so that little is built again. Git is not needed, and the tree need not
    be git's."""
    copy.mkdir(parents=True, exist_ok=True)
    wanted = set(sources(ROOT))
    for name in wanted:
        write_if_different(copy / name, (ROOT / name).read_bytes(), (ROOT / name).stat().st_mode)
    for name in set(sources(copy)) - wanted:
        (copy / name).unlink()


def sources(root):
    """Names, from the root, of all files of a tree that git would not ignore."""
    lines = [".git"] + (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    at_root = shutil.ignore_patterns(*(line.strip("/") for line in lines))
    below = shutil.ignore_patterns(*(line.strip("/") for line in lines if not line.startswith("/")))
    for folder, folders, files in os.walk(root):
        ignored = (at_root if pathlib.Path(folder) == root else below)(folder, folders + files)
        folders[:] = [name for name in folders if name not in ignored]
        yield from (pathlib.Path(folder, name).relative_to(root) for name in files if name not in ignored)


def write_if_different(path, content, mode):
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
