"""Limit every library to the same number of threads. Import this module before NumPy.

BLAS and OpenMP read their limits once, when they are loaded, so the number has to stand in the environment by then;
our native engine reads its own there too. It comes from ``--threads K`` on the command line, else from
``OMP_NUM_THREADS``, else it is 1.
"""

import argparse
import os

NAMES = (
    "COMPUERTA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def _asked() -> int:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS") or 1))
    return max(1, parser.parse_known_args()[0].threads)


#: What everything is limited to.
THREADS = _asked()
os.environ.update(dict.fromkeys(NAMES, str(THREADS)))
