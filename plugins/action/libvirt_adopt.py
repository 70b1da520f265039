# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Action plugin of the module libvirt_adopt."""

from __future__ import annotations

from ansible_collections.virtnet.linux.plugins.plugin_utils.engine_action import EngineAction


class ActionModule(EngineAction):
    """The module libvirt_adopt, by the host's engine where it has the same."""
