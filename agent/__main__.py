"""The command line: `callmood`, the same as `python -m agent`."""

import os

# Before numpy is imported anywhere: a thread per core in every process helps nobody who analyses many calls.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from .cli import main

if __name__ == "__main__":
    main()
