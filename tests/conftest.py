"""Before anything imports JAX."""

import os

# As the command does: else JAX takes an accelerator, or the lock of the TPU's library, which estimates then wait for.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
