#!/usr/bin/python
# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: documentation of the action plugin of this name, which does all of it on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: show
short_description: Text on the terminal, as it is
version_added: 1.0.0
author:
  - virtnet.linux contributors (@virtnet)
description:
  - Shows lines as lines, where M(ansible.builtin.debug) shows them as a value.
  - The playbook C(virtnet.linux.status) uses it. It runs on the controller.
extends_documentation_fragment:
  - virtnet.linux.attributes
  - virtnet.linux.attributes.info_module
options:
  text:
    description: What is shown.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: A greeting
  virtnet.linux.show:
    text: |
      Good morning.
      All is well.
"""

RETURN = r"""
text:
  description: What was shown.
  returned: success
  type: str
"""
