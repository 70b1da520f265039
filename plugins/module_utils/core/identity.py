# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values that are derived from the host and a name, so they never change.

Functions import hashlib and uuid: these load OpenSSL, and most modules use only the constant of this file.
"""

from __future__ import annotations

import os

from .files import read_text

# The alias of each bridge that we make ("alias" in ip link show), because a name alone proves nothing.
MARK = "virtnet.linux"

# A namespace of our own for uuid5 (RFC 9562 section 5.5).
_NAMESPACE = "7b0cbfb2-6a3e-5d4c-9d57-3c1f5c9a6e01"


def host_identity(root: str = "/") -> str:
    """The host's machine-id(5), or its name where it has none."""
    content = read_text(os.path.join(root, "etc/machine-id")) or ""
    return content.strip() or os.uname().nodename


def network_uuid(identity: str, name: str) -> str:
    """The default UUID of a network."""
    import uuid

    return str(uuid.uuid5(uuid.UUID(_NAMESPACE), f"{identity}/{name}"))


def bridge_mac(identity: str, name: str) -> str:
    """The default MAC address of a bridge: a locally administered unicast address (IEEE 802 section 8.4)."""
    import hashlib

    digest = hashlib.sha256(f"{identity}/{name}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x52, *digest[:5]))


def bridge_name(network: str) -> str:
    """The bridge of a network: ``vn-NAME``, or where that is too long the first 8 characters and 4 of a hash."""
    import hashlib

    plain = f"vn-{network}"
    if len(plain) <= 15:
        return plain
    return f"vn-{network[:8]}{hashlib.sha256(network.encode()).hexdigest()[:4]}"
