"""Calibrations over REST."""

from __future__ import annotations

from urllib.parse import quote

from client.decoding import decoded
from client.transport import Transport
from protocol.calibration import CalibrationRecord, CalibrationView


class Calibrations:
    """`client.calibrations`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def upload(self, record: CalibrationRecord) -> CalibrationView:
        """Keep this calibration for every study of its device profile; may be repeated."""
        body = record.model_dump(mode="json")
        return decoded(CalibrationView, self._transport.call("POST", "/calibrations", json=body))

    def list(self) -> tuple[CalibrationView, ...]:
        """Every calibration, the newest first."""
        pages = self._transport.pages("/calibrations")
        return tuple(view for page in pages for view in decoded(tuple[CalibrationView, ...], page))

    def get(self, identity: str) -> CalibrationRecord:
        """One calibration with its rows and its model."""
        answer = self._transport.call("GET", f"/calibrations/{quote(identity, safe='')}")
        return decoded(CalibrationRecord, answer)
