"""Freed memory is kept for the next batch."""

import platform
import subprocess
import sys

import pytest

BATCHES = """
import resource, sys
import numpy as np
from agent.allocator import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "kept":
    assert keep_freed_memory()
for batch in range(20):
    if batch == 10:
        before = faults()
    arrays = [np.ones(200_000, dtype=np.uint8) for _ in range(20)]
    del arrays
print(faults() - before)
"""


def page_faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", BATCHES, how], capture_output=True, text=True, check=True, timeout=60)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library, which is left as it is")
def test_a_batch_takes_its_memory_from_the_one_before_it_and_not_page_by_page_from_the_system() -> None:
    assert page_faults("kept") < page_faults("given back") / 5
