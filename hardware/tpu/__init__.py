"""Latencies of chips that are not there, from the TPU compiler's own schedule."""

from hardware.tpu.estimator import estimate, not_estimable

__all__ = ["estimate", "not_estimable"]
