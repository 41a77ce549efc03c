#!/usr/bin/env python3
# Fetches the handwritten digits that examples/digits.cpp learns, once, into build/data/digits.csv.
"""1,797 images of 8x8 pixels from the UCI repository (Alpaydin, Kaynak: Optical recognition of handwritten digits, 1998), as
scikit-learn ships them: a line is 64 numbers from 0 to 16 and the digit. Taken out of scikit-learn's wheel from PyPI (pip), or
out of Debian's package python3-sklearn (apt-get); neither is installed. Exit code 0 when the file is there, 77 (a skipped test)
when it cannot be fetched.

Usage: fetch_digits.py [--check]   with --check nothing is fetched"""
import glob
import gzip
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

TARGET = pathlib.Path(__file__).resolve().parent.parent / "build/data/digits.csv"
SHA256 = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"
INSIDE = "sklearn/datasets/data/digits.csv.gz"
SKIPPED = 77
SECONDS = 120


def is_right(text):
    return hashlib.sha256(text).hexdigest() == SHA256


def from_wheel(folder):
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                    "--only-binary=:all:", "--dest", folder, "scikit-learn"],
                   check=True, timeout=SECONDS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    [wheel] = glob.glob(folder + "/*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return gzip.decompress(archive.read(INSIDE))


def from_debian(folder):
    subprocess.run(["apt-get", "download", "-q", "python3-sklearn"], check=True, timeout=SECONDS, cwd=folder,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    [package] = glob.glob(folder + "/*.deb")
    subprocess.run(["dpkg-deb", "-x", package, folder + "/files"], check=True)
    [found] = glob.glob(folder + "/files/**/" + INSIDE, recursive=True)
    return gzip.decompress(pathlib.Path(found).read_bytes())


def fetch():
    """The text, or None where neither way leads to it."""
    for way in (from_wheel, from_debian):
        with tempfile.TemporaryDirectory(prefix="calque-digits-") as folder:
            try:
                text = way(folder)
            except (OSError, subprocess.SubprocessError, ValueError, KeyError, zipfile.BadZipFile):
                continue
            if is_right(text):
                return text
    return None


def main():
    if TARGET.exists() and is_right(TARGET.read_bytes()):
        return 0
    text = None if "--check" in sys.argv else fetch()
    if text is None:
        print(f"SKIP: {TARGET} is missing, and could not be fetched with pip or apt-get (scripts/fetch_digits.py)")
        return SKIPPED
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    temporary = TARGET.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(text)
    temporary.replace(TARGET)
    print(f"fetched {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
