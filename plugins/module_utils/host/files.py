# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The text of every file that is installed on a host: the engine, its launcher, the services."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pkgutil import walk_packages

from ..core.errors import VirtnetError
from .requirements import is_this_python

SERVICE = "virtnet.service"
RESOLVER = "virtnet-resolver.service"
RULES = "virtnet-rules.service"

_SYSTEM_PYTHON = "/usr/bin/python3"

_PACKAGE = '''# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine of virtnet.linux. Written by its module host; changes are lost."""
'''

_LAUNCHER = '''#!{interpreter} -I
# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual networks of this host. Written by virtnet.linux; changes are lost."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from engine.cli.main import main

sys.exit(main())
'''

# Links, rules, sysctls and files under /etc and /run are their work; the rest they do not need, nor does what they
# start: nft, ip, dnsmasq's test, resolvconf, firewall-cmd, ufw. Not ProtectKernelModules=, since the iptables of old
# loads its modules itself; not ProtectProc=, since who listens on a port is asked of all processes.
_HARDENING = """\
NoNewPrivileges=yes
ProtectSystem=yes
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
CapabilityBoundingSet=~CAP_AUDIT_CONTROL CAP_AUDIT_READ CAP_AUDIT_WRITE CAP_BLOCK_SUSPEND CAP_IPC_LOCK CAP_LEASE
CapabilityBoundingSet=~CAP_LINUX_IMMUTABLE CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_MKNOD CAP_SYS_BOOT CAP_SYS_CHROOT
CapabilityBoundingSet=~CAP_SYS_PACCT CAP_SYS_RAWIO CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_SYSLOG CAP_WAKE_ALARM
SystemCallArchitectures=native
SystemCallFilter=~@clock @cpu-emulation @debug @mount @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM
"""

_SERVICE = """\
# Written by virtnet.linux; changes are lost. Put yours into virtnet.service.d/*.conf.
[Unit]
Description=Virtual networks of this host
# After what loads rules and sysctls, so that ours come on top and are not flushed.
After=local-fs.target systemd-sysctl.service network-pre.target
After=nftables.service firewalld.service ufw.service
# Open vSwitch brings its bridges back by itself, with their ports; what the host has on them is ours to restore.
After=ovsdb-server.service ovs-vswitchd.service
# Before what serves networks or uses them. Not before network.target: the host's own links do not wait for guests'.
Before=dnsmasq.service libvirtd.service virtnetworkd.service network-online.target
# Guests that start by themselves find their bridges.
Before=virtqemud.service virtlxcd.service lxc.service incus.service lxd.service
StartLimitIntervalSec=0

[Service]
{kind}
TimeoutStartSec=5min
RuntimeDirectory=virtnet
# Transient networks and the lock live there; a restart of the service is no reboot.
RuntimeDirectoryPreserve=yes
{hardening}
[Install]
WantedBy=multi-user.target
"""

_BOOT_ONLY = """\
Type=oneshot
RemainAfterExit=yes
ExecStart={engine}/virtnet restore --stage networks"""

# Ready when the networks are restored; what comes after it at boot finds them.
_GUARD = """\
Type=notify
ExecStart={engine}/virtnet guard
Restart=on-failure
RestartSec=1s
# A repair that is under way is finished.
KillMode=mixed
TimeoutStopSec=30s"""

_RESOLVER = """\
# Written by virtnet.linux; changes are lost. Put yours into virtnet-resolver.service.d/*.conf.
[Unit]
Description=Virtual networks in the resolver of this host
# dnsmasq.service itself tells the resolver that it answers on a loopback address; entries are for hosts without that.
# Not before network-online.target: Debian 13 starts dnsmasq.service only after that.
After=virtnet.service dnsmasq.service resolvconf.service systemd-resolved.service NetworkManager.service
Before=nss-lookup.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={engine}/virtnet restore --stage resolver
TimeoutStartSec=5min
{hardening}
[Install]
WantedBy=multi-user.target
"""

# Started by the firewalls themselves, whose units want it: no PartOf=, since some of them conflict with others.
_RULES = """\
# Written by virtnet.linux; changes are lost. Put yours into virtnet-rules.service.d/*.conf.
[Unit]
Description=Rules of virtual networks, again after another firewall has loaded its own
After=virtnet.service nftables.service firewalld.service ufw.service docker.service
# However often they start.
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart={engine}/virtnet restore --stage networks
TimeoutStartSec=5min
{hardening}"""

FIREWALLS = ("docker.service", "firewalld.service", "nftables.service", "ufw.service")


def engine_files() -> dict[str, str]:
    """The files of the engine by name, from where this module was loaded (a folder, or Ansible's zip file).

    Raises VirtnetError if the text of a file is missing.
    """
    engine = __name__.rsplit(".", 2)[0]
    files = {"__init__.py": _PACKAGE}
    for module in walk_packages(import_module(engine).__path__, f"{engine}."):
        spec = find_spec(module.name)
        get_source = getattr(spec.loader, "get_source", None) if spec is not None else None
        if get_source is None:
            raise VirtnetError(f"the collection is incomplete: the text of {module.name} is not there")
        name = module.name[len(engine) + 1 :].replace(".", "/")
        files[f"{name}/__init__.py" if module.ispkg else f"{name}.py"] = get_source(module.name)
    return files


def launcher(interpreter: str) -> str:
    """The program ``virtnet``."""
    return _LAUNCHER.format(interpreter=interpreter)


def units(engine: str, *, guard: bool = True) -> dict[str, str]:
    """The services by name; ``engine`` is the folder of the launcher. Without ``guard`` they work only at boot."""
    kind = (_GUARD if guard else _BOOT_ONLY).format(engine=engine)
    return {
        SERVICE: _SERVICE.format(kind=kind, hardening=_HARDENING),
        RESOLVER: _RESOLVER.format(engine=engine, hardening=_HARDENING),
    }


def rules_unit(engine: str) -> str:
    """The service that is started after each start of a firewall."""
    return _RULES.format(engine=engine, hardening=_HARDENING)


def boot_interpreter() -> str:
    """The Python for the boot service: that of the system, unless Ansible is configured to use another one.

    That of the system has a name that survives an upgrade: interpreter discovery finds python3.11 or so, which the
    next release of the distribution does not have.
    """
    return _SYSTEM_PYTHON if is_this_python(_SYSTEM_PYTHON) else sys.executable
