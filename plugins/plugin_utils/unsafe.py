# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values that come from hosts and guests, marked so that Ansible never evaluates them as templates."""

from __future__ import annotations

from typing import TypeVar

from ansible.utils.unsafe_proxy import wrap_var

T = TypeVar("T")


def untrusted(value: T) -> T:
    """The value, in which no text is a template.

    Up to ansible-core 2.18 every text is a template unless it is marked as unsafe. From 2.19 on only text of trusted
    sources is one: there the same function removes that trust. Lists and mappings are copied.
    """
    marked: T = wrap_var(value)
    return marked
