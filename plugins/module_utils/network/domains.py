# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The domains that a network without ``dns.domain`` can get: names below ``internal``. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

# The top-level domain that is reserved for private use (ICANN 2024).
_TOP = "internal"
# Domains of others: of clouds, which serve their metadata there, and of container engines; and the default domain of
# private instances (dnsmasq/private_files.py), which dnsmasq needs and no network may have.
_RESERVED = frozenset(
    f"{label}.{_TOP}"
    for label in ("c", "compute", "containers", "docker", "ec2", "google", "lima", "metadata", "virtnet")
)
_NO_LABEL = re.compile(r"[^a-z0-9]+")
# How much of the hash follows the name where its plain domain is another's. With all of it, 63 characters at most.
_HASH_LENGTHS = (4, 12)


def domain_candidates(network: str) -> Sequence[str]:
    """The domains for a network of this name, the best one first: ``NAME.internal``, then with a part of a hash."""
    import hashlib

    label = _NO_LABEL.sub("-", network.lower()).strip("-")
    digest = hashlib.sha256(network.encode()).hexdigest()
    return [f"{label}.{_TOP}", *(f"{label}-{digest[:length]}.{_TOP}" for length in _HASH_LENGTHS)]


def is_exact(network: str) -> bool:
    """Whether the first candidate is the name itself, so that no other name has the same one."""
    return domain_candidates(network)[0] == f"{network}.{_TOP}"


def choose_domain(network: str, taken: Collection[str], searched: Collection[str]) -> str:
    """The first candidate that is nobody's; ``searched``: domains of others that this host searches.

    A name server of ours answers for all of a domain. So nothing that the host searches may be below it.
    """
    candidates = domain_candidates(network)

    def is_free(domain: str) -> bool:
        foreign = any(one == domain or one.endswith(f".{domain}") for one in searched)
        return domain not in taken and domain not in _RESERVED and not foreign

    return next((domain for domain in candidates if is_free(domain)), candidates[-1])
