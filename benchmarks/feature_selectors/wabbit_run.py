"""One run of Vowpal Wabbit, and what it took; for a Python that has it.

python wabbit_run.py "OPTIONS"
"""

import json
import sys
import time
from pathlib import Path

from vowpalwabbit import Workspace


def memory(key):
    """Bytes that Linux tells of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(key))


before = memory("VmRSS")
start = time.process_time()
Workspace(sys.argv[1]).finish()
spent = time.process_time() - start
print(json.dumps({"cpu_s": spent, "peak_bytes": memory("VmHWM") - before}))
