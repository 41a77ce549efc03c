# NumPy for scripts that judge by it: that of .venv-bench, where torch is, too, or this Python's; without either the importing script
# is skipped.
import os
import pathlib
import sys

VENV = pathlib.Path(__file__).resolve().parent.parent / ".venv-bench"
SKIPPED = 77

if any(VENV.glob("lib/python*/site-packages/numpy")) and not os.environ.get("JUDGE_AGAIN"):
    os.environ["JUDGE_AGAIN"] = "1"
    os.execv(str(VENV / "bin/python"), [str(VENV / "bin/python"), *sys.argv])
try:
    import numpy as np
except ImportError:
    print("SKIP: there is no NumPy; `./dev judge` makes .venv-bench, which has it, and judges")
    sys.exit(SKIPPED)
