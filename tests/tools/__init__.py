# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs and data that tests, gates and the documentation share. ``PYTHONPATH=tests`` finds them.

The documentation:

- ``docs_site``: builds the guides and the reference as HTML and follows their links (``make docs``)
- ``documented``: commands that the guides show, and the Molecule scenario that runs them
- ``drawings``: draws the figures of the guides from docs/docsite/drawings.yml
- ``examples``: finds every example in guides, READMEs and plugins
- ``libvirt_elements``: prints the table of libvirt's XML elements (``make libvirt-elements``)
- ``messages``: prints the table of error messages for errors.rst

Data for tests:

- ``fleet_answers``: what hosts of a fleet answer, valid or wrong
- ``hostile``: texts and options as an attacker would choose them
- ``option_samples``: two values for each option of the modules
- ``network_samples``: the same for each option of a network
- ``refusals``: what is said of a network whose options have no effect
- ``libvirt_schema``: libvirt's own schema for networks, from Debian's packages

Runners:

- ``molecule_log``: progress of a running Molecule scenario, and the reason why one failed
- ``retries``: tests and scenarios that are run again after a failure, each with the reason
- ``scenarios``: runs the Molecule scenarios, three at a time (``make molecule``)
- ``missing-packages``: prints the Debian packages of a list that are not installed
- ``unpack-packages``: unpacks Debian packages into a folder, without installing them
"""
