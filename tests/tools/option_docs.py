# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of the options inside of options, from the tables of the specs.

Type, default, choices and whether an option is required are those of the table; docs/docsite/options.yml has the
descriptions. ``python -m tools.option_docs`` writes a documentation fragment for each module that has such options, and
the options of the role's networks.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.spec import BridgeSpec
from ansible_collections.virtnet.linux.plugins.module_utils.core.fields import Documented, Option, table
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import REQUIRED
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.records import Names
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.spec import FragmentSpec
from ansible_collections.virtnet.linux.plugins.module_utils.ipam.allocator import FleetOptions
from ansible_collections.virtnet.linux.plugins.module_utils.ipam.subnets import PoolOptions
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt.definition import RegistrationSpec
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import Dns, Network
from ansible_collections.virtnet.linux.plugins.module_utils.nft.elements import Rules
from ansible_collections.virtnet.linux.plugins.module_utils.nft.spec import RulesSpec

from tools.examples import ROOT

TEXTS = ROOT / "docs/docsite/options.yml"
ROLE = ROOT / "roles/virtnet/meta/argument_specs.yml"
_BEGIN = "        # Written by python -m tools.option_docs, to the end mark.\n"
_END = "        # End mark.\n"

# The tables of each module that has options inside of options.
TABLES: Mapping[str, tuple[Any, ...]] = {
    "bridge": (BridgeSpec,),
    "dnsmasq_fragment": (FragmentSpec,),
    "libvirt_network": (RegistrationSpec,),
    "nft_nat": (Rules, RulesSpec),
    "virt_network": (Network,),
}
# Options of virt_network that are not those of a network.
OTHERS: Mapping[str, Any] = {"pools": PoolOptions, "fleet": FleetOptions}
# Options that stand in a group of another table.
_MORE: Mapping[Any, Any] = {Dns: Names}

_FRAGMENT = '''# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options inside of those of the module {module}. Written by python -m tools.option_docs."""

from __future__ import annotations


class ModuleDocFragment:
    """Options inside of options."""

    DOCUMENTATION = r"""
{text}"""
'''


# References to options of the module are long words, and the options of the role stand further in.
_ROLE_WIDTH = 48


class _Dumper(yaml.SafeDumper):
    """Items of lists are further in than their key; nothing is written as an alias."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def as_yaml(data: Any, width: int = 92) -> str:
    """``width``: where a line ends after the word that reaches it."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=width, allow_unicode=True)


def documentation(module: str) -> dict[str, Any]:
    """The options of a module, as they stand in its file."""
    for node in ast.parse((ROOT / f"plugins/modules/{module}.py").read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DOCUMENTATION":
            options: dict[str, Any] = yaml.safe_load(ast.literal_eval(node.value))["options"]
            return options
    raise AssertionError(f"{module} has no documentation")


def entries(*classes: Any) -> Iterator[tuple[Any, Option]]:
    """The documented options of tables, each with the class that has its text."""
    for cls in classes:
        for entry in table(cls):
            if entry.documented is not Documented.NOWHERE:
                yield next(one for one in cls.__mro__ if entry.field in getattr(one, "__annotations__", {})), entry
        if cls in _MORE:
            yield from entries(_MORE[cls])


def attributes(entry: Option) -> dict[str, Any]:
    """What documentation says of an option but its text."""
    kind = entry.kind
    found: dict[str, Any] = {"type": kind.type}
    if kind.elements:
        found["elements"] = kind.elements
    if kind.choices:
        found["choices"] = list(kind.choices)
    if entry.default is REQUIRED:
        found["required"] = True
    default = _default(entry)
    if default is not None:
        found["default"] = default
    return found


def _default(entry: Option) -> Any:
    if entry.documented is not Documented.AS_READ:
        return None if entry.documented is Documented.BY_OTHERS else entry.documented
    if entry.default in (REQUIRED, None, "", (), {}):
        return None
    # Of a group, its options have defaults.
    is_group = entry.kind.table and (entry.kind.type == "dict" or not isinstance(entry.default, tuple))
    return None if is_group else entry.kind.write(entry.default)


@dataclass
class Writer:
    """Composes documentation; ``inner``: the key of options inside of an option; ``refers``: O() has paths."""

    texts: Mapping[str, Any]
    inner: str
    refers: bool
    used: set[tuple[str, str]]

    def options(self, classes: tuple[Any, ...], path: str, texts: Mapping[str, Any]) -> dict[str, Any]:
        """The options of tables; ``texts``: those of this place, before those of the classes."""
        found: dict[str, Any] = {}
        for cls, entry in entries(*classes):
            group, within, key = found, texts, f"{cls.__name__}"
            *parents, name = entry.name.split(".")
            place = path
            for parent in parents:
                place += f"{parent}."
                if parent not in group:
                    group[parent] = {**self._text(key, parent, within, path), "type": "dict", self.inner: {}}
                group = group[parent][self.inner]
                within = _inner_texts(within, parent)
            group[name] = self._option(key, entry, name, place, within)
        return found

    def _option(self, key: str, entry: Option, name: str, path: str, within: Mapping[str, Any]) -> dict[str, Any]:
        text, described = self._text(key, entry.name, within, path, name), attributes(entry)
        description = text.pop("description")
        if "default" in described:
            description = without_default(description)
        found = {"description": description, **described, **text}
        if entry.kind.table:
            inside = f"{path}{name}[]." if entry.kind.type == "list" else f"{path}{name}."
            own = {**_inner_texts(self.texts.get(key, {}), entry.name), **_inner_texts(within, name)}
            found[self.inner] = self.options((entry.kind.table,), inside, own)
        return found

    def _text(self, key: str, option: str, within: Mapping[str, Any], path: str, name: str = "") -> dict[str, Any]:
        given = within.get(name or option)
        if not _has_description(given):
            self.used.add((key, option))
            inside = {"inside": given["inside"]} if given else {}
            given = {**_as_mapping(self.texts[key][option]), **inside}
        found = {name: value for name, value in _as_mapping(given).items() if name != "inside"}
        return {**found, "description": self.referring(found["description"], path)}

    def referring(self, text: Any, path: str) -> Any:
        """A description, in which O(.name) stands for a neighbour, O(name) for an option of the module virt_network."""
        if isinstance(text, list):
            return [self.referring(item, path) for item in text]
        if self.refers:
            return text.replace("O(.", f"O({path}")
        return _without_references(text.replace("O(.", "C("), set(), "virt_network")


def without_default(text: Any) -> Any:
    """A description without the sentence on the default, which stands beside it."""
    if isinstance(text, list):
        return [without_default(item) for item in text]
    return re.sub(r" V\([^)]*\) if not given\.", "", text)


def _as_mapping(text: Any) -> Mapping[str, Any]:
    return text if isinstance(text, Mapping) else {"description": text}


def _has_description(text: Any) -> bool:
    return text is not None and "description" in _as_mapping(text)


def _inner_texts(texts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = texts.get(name)
    return found.get("inside", {}) if isinstance(found, Mapping) else {}


def read_texts() -> dict[str, Any]:
    """The descriptions, with those that are in the documentation of the modules bridge and virt_network."""
    texts: dict[str, Any] = yaml.safe_load(TEXTS.read_text())
    return {**_of_module("bridge", BridgeSpec, "bridge."), **texts}


def _of_module(module: str, cls: Any, place: str) -> dict[str, Any]:
    """Texts of the options of a module, for the same options of another group."""
    documented = documentation(module)
    found: dict[str, Any] = {}
    for owner, entry in entries(cls):
        if "." not in entry.name:
            kept = ("description", "version_added")
            option = {key: value for key, value in documented[entry.name].items() if key in kept}
            found.setdefault(owner.__name__, {})[entry.name] = option
    return {owner: _without_references(options, set(found[owner]), module) for owner, options in found.items()}


def _without_references(texts: Any, neighbours: set[str], module: str) -> Any:
    """Texts in which O() names a neighbour, or an option of the module that has them."""
    if isinstance(texts, Mapping):
        return {key: _without_references(value, neighbours, module) for key, value in texts.items()}
    if isinstance(texts, list):
        return [_without_references(item, neighbours, module) for item in texts]

    def referring(match: re.Match[str]) -> str:
        name = match[1]
        near = re.split(r"[.=\[]", name)[0] in neighbours
        return f"O(.{name})" if near else f"O(virtnet.linux.{module}#module:{name})"

    return re.sub(r"O\(([a-z][a-z0-9_.\[\]=]*)\)", referring, texts)


def fragment(module: str, texts: Mapping[str, Any], used: set[tuple[str, str]]) -> dict[str, Any]:
    """The options inside of those of a module, by the latter's names."""
    writer = Writer(texts, "suboptions", True, used)
    of_module = texts["modules"].get(module, {})
    found: dict[str, Any] = {}
    for _cls, entry in entries(*TABLES[module]):
        name = entry.name.partition(".")[0]
        if (entry.kind.table or "." in entry.name) and name not in found:
            found[name] = {}
    top = {name: {"description": "", **option} for name, option in documentation(module).items()}
    composed = writer.options(TABLES[module], "", _merged(top, of_module))
    result = {name: {"suboptions": composed[name]["suboptions"]} for name in found}
    for name, cls in OTHERS.items() if module == "virt_network" else ():
        inside = f"{name}[]." if name == "pools" else f"{name}."
        result[name] = {"suboptions": writer.options((cls,), inside, {})}
    return result


def _merged(top: Mapping[str, Any], of_module: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {**option, "inside": of_module.get(name, {})} for name, option in top.items()}


def role(texts: Mapping[str, Any], used: set[tuple[str, str]]) -> dict[str, Any]:
    """The options of an item of ``virtnet_networks``."""
    documented = documentation("virt_network")
    top = {
        name: {
            "description": _without_references(option["description"], set(), "virt_network"),
            **{key: value for key, value in option.items() if key == "version_added"},
        }
        for name, option in documented.items()
    }
    writer = Writer(texts, "options", False, used)
    return writer.options((Network,), "", _merged(top, texts["modules"]["virt_network"]))


def files() -> dict[Path, str]:
    """Every file that is written, with its text; raises AssertionError for a text without an option."""
    texts, used = read_texts(), set[tuple[str, str]]()
    found: dict[Path, str] = {}
    for module in TABLES:
        text = as_yaml({"options": fragment(module, texts, used)})
        found[ROOT / f"plugins/doc_fragments/{module}.py"] = _FRAGMENT.format(module=module, text=text)
    before, _begin, rest = ROLE.read_text().partition(_BEGIN)
    _written, _mark, after = rest.partition(_END)
    assert _begin and _mark, f"{ROLE} has no marks"
    networks = as_yaml({"options": role(texts, used)}, _ROLE_WIDTH)
    found[ROLE] = before + _BEGIN + "".join(f"        {line}\n" for line in networks.splitlines()) + _END + after
    unused = {
        (key, option) for key, options in yaml.safe_load(TEXTS.read_text()).items() if key != "modules"
        for option in options
    } - used  # fmt: skip
    assert not unused, f"no table has the options {sorted(unused)}"
    return found


def main() -> None:
    for file, text in files().items():
        file.write_text(text)


if __name__ == "__main__":
    main()
