# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scenarios with damaged files of the engine: an error names each, and other networks still work."""

from __future__ import annotations

from torture.faults import check_message
from torture.plans import NAT, site
from torture.scenario import Outcome, Scenario, error_of

# Shell commands that damage the file {0}.
DAMAGE = {
    "empty": ": >{0}",
    "truncated": "head -c 40 {0} >/run/part; cat /run/part >{0}; rm /run/part",
    "binary": "head -c 300 /dev/zero >{0}",
    "not UTF-8": "printf '\\377\\376{{' >{0}",
    "another type": "echo '[1, 2]' >{0}",
    "a text": "echo '\"nat\"' >{0}",
    "of a newer version": "sed -i '1s/{{/{{\"of_a_newer_version\": 7,/' {0}",
    "of another network": 'sed -i \'s/"name": "nat"/"name": "other"/\' {0}',
    "too deep": "head -c 200000 /dev/zero | tr '\\0' '[' >{0}",
    "a folder": "rm {0}; mkdir {0}",
}
DEFINITION = "/etc/virtnet/networks/nat.json"


def definition_damaged(scenario: Scenario, damage: str) -> Outcome:
    """Networks exist; one definition is damaged. Starts and ends at the end of the first run."""
    outcome = Outcome("definition damaged", damage)
    host = scenario.host
    before = host.snapshot()
    host.sh(DAMAGE[damage].format(DEFINITION))
    others = [network for network in scenario.networks if network["name"] != NAT["name"]]
    result = host.run_tasks(site(others))
    check_message(outcome, error_of(result))
    if error_of(result):
        outcome.fail(f"the others cannot be run: {error_of(result)}")
    if DEFINITION not in str(result["answers"][0].get("warnings")):
        outcome.fail(f"it is not named: {result['answers'][0]}")
    host.sh("ip link delete vn-routed; ip link set vn-iso down")
    result_of_command = host.command("restore")
    check_message(outcome, result_of_command.stderr)
    if DEFINITION not in result_of_command.stderr or result_of_command.returncode != 1:
        outcome.fail(f"the boot does not name it: {result_of_command.stderr}")
    result_of_command = host.command("check")
    check_message(outcome, result_of_command.stderr)
    if DEFINITION not in result_of_command.stdout + result_of_command.stderr:
        outcome.fail(f"'virtnet check' does not name it: {result_of_command.stdout}{result_of_command.stderr}")
    removed = [line for line in before if line.startswith("link vn-") and line not in host.snapshot()]
    if removed:
        outcome.fail(f"what is not known to be gone was removed: {removed}")
    if damage == "a folder":
        host.sh(f"rmdir {DEFINITION}")
    host.sh("rm -f /run/virtnet/resolver-ready")
    scenario.verify(outcome, "first run")
    return outcome


RECORDS = (
    "/var/lib/virtnet/networks.json",
    "/var/lib/virtnet/forwarding.json",
    "/run/virtnet/rules.json",
    "/run/virtnet/runtime.json",
    "/run/virtnet/pending.json",
    "/run/virtnet/resolver-entries",
)


def record_damaged(scenario: Scenario, path: str, damage: str) -> Outcome:
    """Networks exist; a runtime record is damaged. Starts and ends at the end of the first run."""
    outcome = Outcome("record damaged", f"{path}, {damage}")
    host = scenario.host
    host.sh(f"[ -e {path} ] || echo '{{}}' >{path}; cp {path} /run/kept; {DAMAGE[damage].format(path)}")
    host.sh("ip link delete vn-routed")
    result = host.command("restore")
    check_message(outcome, result.stderr)
    if "link vn-routed" not in host.snapshot():
        outcome.fail(f"the boot fails of it: {result.stderr}")
    message = error_of(host.run_tasks(scenario.plans["first run"]))
    check_message(outcome, message)
    if message and path not in message:
        outcome.fail(f"the error does not name it: {message}")
    # As the message says.
    host.sh(f"rm -f /run/virtnet/resolver-ready; rm -rf {path}; case {path} in /var/*) mv /run/kept {path};; esac")
    host.sh("rm -f /run/kept")
    scenario.verify(outcome, "first run")
    return outcome
