"""Where the service keeps its things and where it listens."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from service.errors import SettingsError

HOME_VARIABLE = "STILLHOUSE_HOME"
DATABASE_VARIABLE = "STILLHOUSE_DATABASE_URL"
LEASE_VARIABLE = "STILLHOUSE_LEASE_S"
HOSTS_VARIABLE = "STILLHOUSE_HOSTS"
DRAIN_VARIABLE = "STILLHOUSE_DRAIN_S"
ARTEFACT_GRACE_VARIABLE = "STILLHOUSE_ARTEFACT_GRACE_S"
ARTEFACT_QUOTA_VARIABLE = "STILLHOUSE_ARTEFACT_QUOTA_GB"
HOST = "127.0.0.1"
PORT = 8787
LEASE_S = 30.0
LONGEST_LEASE_S = 86_400.0
MAX_ATTEMPTS = 3
ARTEFACT_GRACE_S = 86_400.0
SHORTEST_ARTEFACT_GRACE_S = 600.0
SCHEMES = ("sqlite:///", "postgresql://", "postgresql+psycopg://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one service is set up.

    A lease lasts `lease_s` unless it is renewed; a job that fails or whose lease expires is given out `max_attempts`
    times in all. Port 0 is any free one. Requests are answered that name a loopback host, or one of `hosts`: the names
    by which a proxy asks. Told to end, the service answers for `drain_s` more: a balancer looks elsewhere meanwhile.

    Artefacts that nothing refers to are kept for `artefact_grace_s` after they were last sent or asked for. Uploads are
    refused that would make all of them larger than `artefact_quota_gb`; 0 is no limit but the disk's.

    Raises:
        SettingsError: a value that cannot be used. Only loopback may be bound: there are no tokens yet, so whoever
            reaches the port may do everything.
    """

    home: Path
    database_url: str
    lease_s: float = LEASE_S
    max_attempts: int = MAX_ATTEMPTS
    host: str = HOST
    port: int = PORT
    hosts: tuple[str, ...] = ()
    drain_s: float = 0.0
    artefact_grace_s: float = ARTEFACT_GRACE_S
    artefact_quota_gb: float = 0.0

    def __post_init__(self) -> None:
        if not self.database_url.startswith(SCHEMES):
            raise SettingsError(
                f"{DATABASE_VARIABLE}: must start with {' or '.join(SCHEMES)}, got {_scheme(self.database_url)!r}"
            )
        if self.database_url in ("sqlite:///", "sqlite:///:memory:"):
            raise SettingsError(
                f"{DATABASE_VARIABLE}: {self.database_url!r} names no file, and several processes share the database; "
                "write sqlite:////PATH/OF/THE/FILE"
            )
        if not _is_loopback(self.host):
            raise SettingsError(
                f"host {self.host!r} is not loopback: the service has no access tokens, so it listens only on this "
                "machine; use 127.0.0.1, and a tunnel to reach it from elsewhere"
            )
        if not 0 <= self.port <= 65_535:
            raise SettingsError(f"port must be in 0 ... 65535, got {self.port}")
        if not 0 < self.lease_s <= LONGEST_LEASE_S:
            raise SettingsError(f"lease_s must be above 0 and at most {LONGEST_LEASE_S:g}, got {self.lease_s}")
        if self.max_attempts < 1:
            raise SettingsError(f"max_attempts must be at least 1, got {self.max_attempts}")
        if not 0 <= self.drain_s <= 300:
            raise SettingsError(f"{DRAIN_VARIABLE}: must be in 0 ... 300 seconds, got {self.drain_s:g}")
        if not self.artefact_grace_s >= SHORTEST_ARTEFACT_GRACE_S:
            raise SettingsError(
                f"{ARTEFACT_GRACE_VARIABLE}: must be at least {SHORTEST_ARTEFACT_GRACE_S:g} seconds, in which a worker "
                f"reports what it has uploaded, got {self.artefact_grace_s:g}"
            )
        if not self.artefact_quota_gb >= 0:
            raise SettingsError(f"{ARTEFACT_QUOTA_VARIABLE}: must be 0 (no limit) or more")

    @property
    def artefacts(self) -> Path:
        """The folder of the artefacts' files."""
        return self.home / "artefacts"

    @property
    def artefact_quota_bytes(self) -> int:
        return round(1e9 * self.artefact_quota_gb)

    @property
    def exports(self) -> Path:
        """The folder into which `stillhouse run` and `stillhouse export` put finalists: `STUDY/trial-NUMBER`."""
        return self.home / "exports"

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str] = os.environ,
        *,
        home: Path | str | None = None,
        database_url: str | None = None,
        lease_s: float | None = None,
        max_attempts: int = MAX_ATTEMPTS,
        host: str = HOST,
        port: int = PORT,
    ) -> Settings:
        """The settings that the environment names; what is given here comes first.

        Without any, home is `.stillhouse` in the working directory and the database a SQLite file in it.
        """
        folder = Path(home or environment.get(HOME_VARIABLE) or ".stillhouse").resolve()
        if lease_s is None:
            lease_s = _number(environment, LEASE_VARIABLE, LEASE_S)
        return cls(
            home=folder,
            database_url=database_url or environment.get(DATABASE_VARIABLE) or sqlite_url(folder),
            lease_s=lease_s,
            max_attempts=max_attempts,
            host=host,
            port=port,
            hosts=tuple(environment.get(HOSTS_VARIABLE, "").split()),
            drain_s=_number(environment, DRAIN_VARIABLE, 0.0),
            artefact_grace_s=_number(environment, ARTEFACT_GRACE_VARIABLE, ARTEFACT_GRACE_S),
            artefact_quota_gb=_number(environment, ARTEFACT_QUOTA_VARIABLE, 0.0),
        )

    def answers_to(self, host: str) -> bool:
        """Whether a request that names this host is meant for the service."""
        return host in self.hosts or _is_loopback(host)


def sqlite_url(home: Path) -> str:
    """The address of the SQLite database in this home."""
    return f"sqlite:///{home / 'stillhouse.db'}"


def _number(environment: Mapping[str, str], name: str, otherwise: float) -> float:
    text = environment.get(name)
    try:
        return otherwise if text is None else float(text)
    except ValueError:
        raise SettingsError(f"{name}: must be a number, got {text!r}") from None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _scheme(url: str) -> str:
    """What may be shown of an address: never the password in it."""
    return url.split("//")[0][:40]
