# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shortest list of networks on hosts as distributions and other programs leave them; ``make hosts``.

- ``catalogue.toml``: the hosts
- ``catalogue``: reads it
- ``setup/``: scripts that make a host of an image of the lab; it boots again after them
- ``trial``: what is tried on a host, and what came of it
- ``__main__``: tries hosts, and prints the table
- ``playbook``: runs a program of Ansible on a host
- ``faults``: what is not as it has to be, and waiting for it
- ``imports``, ``owners/``: networks that other programs run, which import.yml reads; ``make imports``
- ``ways``: the ways in which Ansible reaches a host; ``make ways``
"""
