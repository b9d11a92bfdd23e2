"""One thread per test: the networks are tiny, and the machine may be busy with other things."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, here or in a subprocess
