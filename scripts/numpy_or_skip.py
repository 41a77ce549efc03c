# NumPy for scripts that judge by it: this Python's, or that of .venv-bench; without either the importing script is skipped.
import os
import pathlib
import sys

VENV = pathlib.Path(__file__).resolve().parent.parent / ".venv-bench/bin/python"
SKIPPED = 77

try:
    import numpy as np
except ImportError:
    if VENV.exists() and not os.environ.get("CALQUE_JUDGE_AGAIN"):
        os.environ["CALQUE_JUDGE_AGAIN"] = "1"
        os.execv(str(VENV), [str(VENV), *sys.argv])
    print("SKIP: there is no NumPy (pip install numpy torch into .venv-bench, or ./dev bench demo)")
    sys.exit(SKIPPED)
