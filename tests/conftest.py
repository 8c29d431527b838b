"""Before anything imports JAX."""

import os

# As the command does: else JAX takes an accelerator, or the lock of the TPU's library, which estimates then wait for.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
if "PYTEST_XDIST_WORKER" in os.environ:  # one thread each: the others have the other cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")
