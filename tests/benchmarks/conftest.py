"""The benchmarks are scripts beside the package; a source distribution does not have them."""

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
collect_ignore_glob = [] if BENCHMARKS.is_dir() else ["test_*.py"]
sys.path.insert(0, str(BENCHMARKS))
