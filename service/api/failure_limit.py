"""How many wrong tokens an address may send."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network

AT_ONCE = 10
EVERY_S = 6.0
"""Ten wrong tokens at once, and then one every six seconds."""

MOST_ADDRESSES = 10_000


class FailureLimit:
    """Failed authentications by address, in the memory of this process. Of more addresses than `most`, those that
    failed longest ago are forgotten.

    Nobody guesses 256 random bits: the limit bounds what failures cost, a look into the store each. Therefore it holds
    for wrong tokens only, and one misconfigured worker does not lock out those behind the same address.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, most: int = MOST_ADDRESSES) -> None:
        self._clock, self._most = clock, most
        self._free_at: OrderedDict[str, float] = OrderedDict()
        """When the address has all its failures back."""

    def __len__(self) -> int:
        return len(self._free_at)

    def wait_s(self, address: str) -> float:
        """How long the address must wait before it may fail again; 0 if not at all."""
        return max(0.0, self._free_at.get(_network(address), 0.0) - self._clock() - (AT_ONCE - 1) * EVERY_S)

    def failed(self, address: str) -> None:
        network, now = _network(address), self._clock()
        self._free_at[network] = max(now, self._free_at.pop(network, 0.0)) + EVERY_S
        while len(self._free_at) > self._most:
            self._free_at.popitem(last=False)


def _network(address: str) -> str:
    """Who has one IPv6 address has all that share its first 64 bits."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((found, 64), strict=False)) if isinstance(found, IPv6Address) else address
