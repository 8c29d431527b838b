"""The machines that measure, as the API shows them: one for each hardware key."""

from __future__ import annotations

from protocol.calibration import CalibrationView
from protocol.targets import Target
from protocol.views import DriftView, View


class DeviceView(View):
    """Hardware whose latencies may be compared with each other.

    `environment` is that of its newest calibration or reference; None while there is neither. `workers` are those that
    announced it last, `alive` among them those that were seen lately; `studies` have their latencies from it.
    """

    hardware_key: str
    environment: dict[str, str] | None
    targets: tuple[Target, ...]
    workers: tuple[str, ...]
    alive: tuple[str, ...]
    calibrations: tuple[CalibrationView, ...]
    drifts: tuple[DriftView, ...]
    studies: tuple[str, ...]
