"""The command line of the labs."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from . import image, netns, snapshot
from .guest import Guest
from .lab import Lab, running
from .run import Failed


def main() -> int:
    options = _parser().parse_args()
    try:
        code: int = options.do(options)
    except (Failed, KeyError, ValueError) as error:
        print(f"lab: {error.args[0]}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="disposable hosts with an internet beside them")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, help_text: str, function: object, *words: str) -> argparse.ArgumentParser:
        command_parser = commands.add_parser(name, help=help_text, description=help_text)
        command_parser.set_defaults(do=function)
        for word in words:
            command_parser.add_argument(word)
        return command_parser

    command("build", "build images, or find them built", _build).add_argument("image", nargs="*", default=image.names())
    up = command("up", "start a lab, or what is missing of it", _up, "lab")
    up.add_argument("host", nargs="+", metavar="HOST=IMAGE")
    command("down", "remove labs, whatever state they are in", _down).add_argument("lab", nargs="*")
    command("clean", "remove all labs and all images", _clean)
    command("list", "labs, hosts and addresses", _list)
    command("reboot", "stop a host and boot it again", _reboot, "lab", "host")
    command("exec", "run a command on a host", _exec, "lab", "host").add_argument("command", nargs="...")
    plug = command("plug", "plug a guest into a bridge of a host", _plug, "lab", "host", "guest")
    plug.add_argument("--bridge", default="vn-lab")
    command("unplug", "pull a guest out", _unplug, "lab", "host", "guest")
    command("guest", "run a command in a guest", _guest, "lab", "host", "guest").add_argument("command", nargs="...")
    command("outside", "run a command in the internet", _outside, "lab").add_argument("command", nargs="...")
    command("snapshot", "write down the state of a host", _snapshot, "lab", "host", "file")
    command("diff", "compare two snapshots", _diff, "before", "after")
    return parser


def _build(options: argparse.Namespace) -> int:
    for name in options.image:
        print(image.ensure(name))
    return 0


def _up(options: argparse.Namespace) -> int:
    Lab(options.lab).up(dict(word.split("=", 1) for word in options.host))
    return 0


def _down(options: argparse.Namespace) -> int:
    for name in options.lab or running():
        Lab(name).down()
    return 0


def _clean(options: argparse.Namespace) -> int:
    options.lab = []
    _down(options)
    image.remove_all()
    return 0


def _list(_: argparse.Namespace) -> int:
    for name in running():
        for host in Lab(name).hosts():
            print(f"{name} {host.name} {host.address} {'up' if host.pid else 'down'}")
    return 0


def _reboot(options: argparse.Namespace) -> int:
    Lab(options.lab).host(options.host).reboot()
    return 0


def _exec(options: argparse.Namespace) -> int:
    return _interactive(Lab(options.lab).host(options.host).command(options.command))


def _plug(options: argparse.Namespace) -> int:
    guest = Guest(Lab(options.lab).host(options.host), options.guest)
    guest.plug(options.bridge)
    print(guest.lease())
    return 0


def _unplug(options: argparse.Namespace) -> int:
    Guest(Lab(options.lab).host(options.host), options.guest).unplug()
    return 0


def _guest(options: argparse.Namespace) -> int:
    inside = ["ip", "netns", "exec", options.guest, *options.command]
    return _interactive(Lab(options.lab).host(options.host).command(inside))


def _outside(options: argparse.Namespace) -> int:
    return _interactive(netns.inside(Lab(options.lab).internet.namespace, options.command))


def _snapshot(options: argparse.Namespace) -> int:
    snapshot.save(snapshot.take(Lab(options.lab).host(options.host)), Path(options.file))
    return 0


def _diff(options: argparse.Namespace) -> int:
    lines = snapshot.differences(snapshot.load(Path(options.before)), snapshot.load(Path(options.after)))
    print("\n".join(lines) if lines else "no difference")
    return 1 if lines else 0


def _interactive(command: list[str]) -> int:
    """Run an interactive command without a timeout."""
    return subprocess.run(command, check=False).returncode
