"""Where the service keeps its things, where it listens, and what it takes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from protocol.errors import SettingsFileError
from protocol.settings_file import Found, Kind, Setting, gathered, settings_file
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
TABLE = "service"
"""Of `stillhouse.toml`."""

SETTINGS = (
    Setting(name="home", kind=Kind.PATH, meaning="folder of artefacts, and of the database if that is SQLite"),
    Setting(name="database_url", meaning="`sqlite:////PATH` or `postgresql://USER:PASSWORD@HOST/NAME`"),
    Setting(name="host", meaning="address to listen on; other than loopback only with an administrator's token"),
    Setting(name="port", kind=Kind.WHOLE, meaning="to listen on; 0 for any free one"),
    Setting(
        name="hosts", kind=Kind.WORDS, meaning="names by which requests may ask for an open service, besides loopback's"
    ),
    Setting(name="proxies", kind=Kind.WORDS, meaning="addresses and networks whose word is taken on whom they ask for"),
    Setting(name="tls_certificate", kind=Kind.PATH, meaning="PEM file; with `tls_key` the service speaks https"),
    Setting(name="tls_key", kind=Kind.PATH, meaning="PEM file"),
    Setting(name="largest_message_bytes", kind=Kind.WHOLE, meaning="larger messages are refused"),
    Setting(name="largest_artefact_bytes", kind=Kind.WHOLE, meaning="larger artefacts are refused"),
    Setting(
        name="lease_s", kind=Kind.NUMBER, meaning="seconds after which a worker that was not heard of has lost its job"
    ),
    Setting(name="max_attempts", kind=Kind.WHOLE, meaning="how often a job is given out that fails or is lost"),
    Setting(name="drain_s", kind=Kind.NUMBER, meaning="seconds for which a replica that was told to end still answers"),
    Setting(
        name="artefact_grace_s", kind=Kind.NUMBER, meaning="seconds for which artefacts are kept that nothing refers to"
    ),
    Setting(
        name="artefact_quota_gb",
        kind=Kind.NUMBER,
        meaning="uploads beyond it are refused; 0 is no limit but the disk's",
    ),
)
"""What may stand in the environment and in the file; each is a field of `Settings`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one service is set up.

    A lease lasts `lease_s` unless it is renewed; a job that fails or whose lease expires is given out `max_attempts`
    times in all. Port 0 is any free one. While the service is open, requests are answered that name a loopback host,
    or one of `hosts`: the names by which a proxy asks. `proxies` are the addresses and networks whose word is taken on
    whom they ask for. With `tls_certificate` and `tls_key`, PEM files, it speaks https. Told to end, the service
    answers for `drain_s` more: a balancer looks elsewhere meanwhile.

    Artefacts that nothing refers to are kept for `artefact_grace_s` after they were last sent or asked for. Uploads are
    refused that would make all of them larger than `artefact_quota_gb`; 0 is no limit but the disk's.

    Raises:
        SettingsError: a value that cannot be used.
    """

    home: Path
    database_url: str
    lease_s: float = LEASE_S
    max_attempts: int = MAX_ATTEMPTS
    host: str = HOST
    port: int = PORT
    hosts: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    largest_message_bytes: int = 16_000_000
    largest_artefact_bytes: int = 20_000_000_000
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
        if not _is_address(self.host):
            raise SettingsError(f"host must be an address of this machine, or localhost, got {self.host!r}")
        if not 0 <= self.port <= 65_535:
            raise SettingsError(f"port must be in 0 ... 65535, got {self.port}")
        if not 0 < self.lease_s <= LONGEST_LEASE_S:
            raise SettingsError(f"lease_s must be above 0 and at most {LONGEST_LEASE_S:g}, got {self.lease_s}")
        for name in ("max_attempts", "largest_message_bytes", "largest_artefact_bytes"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1, got {getattr(self, name)}")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise SettingsError("tls_certificate and tls_key belong together: name both, or neither")
        for proxy in self.proxies:
            _check_network(proxy)
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

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the service."""
        return _is_loopback(self.host)

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] = os.environ, *, config: Path | None = None, **given: Any
    ) -> Settings:
        """The settings that environment and file name; what is given here comes first. See `found`."""
        return cls.of(cls.found(environment, config=config, **given))

    @classmethod
    def found(
        cls, environment: Mapping[str, str] = os.environ, *, config: Path | None = None, **given: Any
    ) -> dict[str, Found]:
        """Every setting and where it is from: what is given here, the environment, the file `config` (or the one that
        STILLHOUSE_CONFIG names, or `stillhouse.toml` in the home), the default.

        Without any, home is `.stillhouse` in the working directory and the database a SQLite file in it.

        Raises:
            SettingsError: a setting that nobody knows, or that is of another kind.
        """
        try:
            home = Path(given.get("home") or environment.get(HOME_VARIABLE) or ".stillhouse").absolute()
            file = settings_file(config, environment, home)
            if file is not None and file.implied and "home" in file.tables.get(TABLE, {}):
                raise SettingsFileError(f"{file.path}: this file was found by its home, and cannot name another one")
            defaults = {each.name: each.default for each in fields(cls) if each.default is not MISSING}
            found = gathered(
                TABLE, SETTINGS, given=given, environment=environment, file=file, defaults=defaults | {"home": home}
            )
        except SettingsFileError as error:
            raise SettingsError(str(error)) from error
        home = Path(found["home"].value).resolve()
        found["home"] = Found(value=home, source=found["home"].source)
        if found["database_url"].value is None:
            found["database_url"] = Found(value=sqlite_url(home), source="default")
        return found

    @classmethod
    def of(cls, found: Mapping[str, Found]) -> Settings:
        return cls(**{name: each.value for name, each in found.items()})

    def answers_to(self, host: str) -> bool:
        """Whether a request that names this host is meant for the service."""
        return host in self.hosts or _is_loopback(host)


def sqlite_url(home: Path) -> str:
    """The address of the SQLite database in this home."""
    return f"sqlite:///{home / 'stillhouse.db'}"


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        return host == "localhost" or bool(ip_address(host))
    except ValueError:
        return False


def _check_network(text: str) -> None:
    try:
        ip_network(text)
    except ValueError as error:
        raise SettingsError(f"proxies: {text!r} is neither an address nor a network: {error}") from error


def _scheme(url: str) -> str:
    """What may be shown of an address: never the password in it."""
    return url.split("//")[0][:40]
