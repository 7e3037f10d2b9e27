# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""The options by which the modules static_pod and static_pods describe one pod, and what is asked for by them."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _manifest, _plan
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._plan import Wanted

# Options that make sense for one pod and, in static_pods, as the default of all.
SHARED_OPTIONS: dict[str, dict[str, t.Any]] = {
    "mode": {"type": "raw", "default": "0600"},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "strategy": {"type": "str", "choices": ["swap", "replace"], "default": "swap"},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 300},
    "settle": {"type": "int"},
    "validation": {"type": "str", "choices": ["strict", "kubelet", "none"], "default": "strict"},
    "rollback": {"type": "bool", "default": True},
    "keep_revisions": {"type": "int", "default": 5},
    "restart_on": {"type": "raw", "default": []},
}

# Options of one pod alone.
POD_OPTIONS: dict[str, dict[str, t.Any]] = {
    "name": {"type": "str"},
    "namespace": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent", "restarted"], "default": "present"},
    "content": {"type": "str"},
    "definition": {"type": "dict"},
    "src": {"type": "path"},
    "template": {"type": "path"},
    "filename": {"type": "str"},
}

SOURCES = ("content", "definition", "src", "template")


def wanted_pod(options: t.Mapping[str, t.Any], *, label: str = "") -> Wanted:
    """One pod as asked for by the options of a module; `label` names the list entry in messages.

    Raises KubestaticError where the options contradict each other or the manifest is none.
    """
    timeout, settle = options["wait_timeout"], options["settle"]
    if settle is not None and options["wait"] and settle > timeout:
        raise KubestaticError(
            f"{label or 'settle'}: {settle} s of undisturbed running cannot be proven within wait_timeout: {timeout};"
            " raise wait_timeout or lower settle"
        )
    if options["keep_revisions"] < 1:
        raise KubestaticError(
            f"{label or 'keep_revisions'}: at least one revision is kept, which is the one in force; got {options['keep_revisions']}"
        )
    label = ", ".join(part for part in (label, *(f"{file} {options[file]}" for file in _files(options))) if part)
    try:
        pod, key = _subject(options)
        restart_on = _restart_on(options["restart_on"])
    except KubestaticError as exc:
        raise KubestaticError(f"{label}: {exc}" if label else str(exc)) from None
    return Wanted(
        key=key,
        state=options["state"],
        pod=pod,
        filename=options.get("filename"),
        strategy=options["strategy"],
        wait=options["wait"],
        wait_timeout=timeout,
        settle=settle,
        validation=options["validation"],
        depends_on=tuple(_key_of(name, namespace=key[0]) for name in options.get("depends_on") or ()),
        label=label,
        file_arguments={name: options[name] for name in ("mode", "owner", "group")},
        from_mapping=options.get("definition") is not None,
        rollback=options["rollback"],
        keep_revisions=options["keep_revisions"],
        revision=options.get("revision") or "",
        restart_on=restart_on,
    )


def _subject(options: t.Mapping[str, t.Any]) -> tuple[_manifest.Pod | None, _manifest.Key]:
    files = _files(options)
    given = [source for source in ("content", "definition") if options.get(source) is not None] or files
    given += ["revision"] if options.get("revision") is not None else []
    which = options.get("revision")
    if which is not None and which != _plan.PREVIOUS and not which.isdigit():
        raise KubestaticError(f"revision: expected previous or a number, found {which!r}")
    if options["state"] != _plan.PRESENT:
        if given:
            raise KubestaticError(
                f"state: {options['state']} takes name and namespace, not {given[0]}; remove {given[0]}"
            )
        return None, _named(options, needed_for=f"state: {options['state']}")
    if len(given) != 1:
        found = " and ".join(given) or "none"
        possible = ", ".join([*SOURCES, *(["revision"] if "revision" in options else [])])
        raise KubestaticError(f"exactly one of {possible} is needed for state: present, found {found}")
    if given == ["revision"]:
        return None, _named(options, needed_for="revision")
    if given == files:
        raise KubestaticError(f"{given[0]} is read on the controller; call the module by its full name from a playbook")
    pod = _manifest.parse(_text(options))
    for field, value in (("name", pod.name), ("namespace", pod.namespace)):
        if options.get(field) not in (None, value):
            raise KubestaticError(
                f"{field}: the task says {options[field]!r} and metadata.{field} of the manifest {value!r}; make them equal"
            )
    return pod, pod.key


def _named(options: t.Mapping[str, t.Any], *, needed_for: str) -> _manifest.Key:
    if not options.get("name"):
        raise KubestaticError(f"name is needed for {needed_for}")
    return _manifest.identity(name=options["name"], namespace=options.get("namespace"))


def _restart_on(value: t.Any) -> tuple[str, ...] | str:
    if value == _plan.AUTO:
        return _plan.AUTO
    if not isinstance(value, list):
        raise KubestaticError(f"restart_on: expected auto or a list of files, found {_manifest.describe(value)}")
    for path in value:
        if not isinstance(path, str) or not path.startswith("/"):
            raise KubestaticError(
                f"restart_on: expected absolute paths of files on the node, found {_manifest.describe(path)} in the list"
            )
    return tuple(os.path.normpath(path) for path in value)


def _files(options: t.Mapping[str, t.Any]) -> list[str]:
    """The options that name a file on the controller. The action plugin adds its text as content or definition."""
    return [file for file in ("src", "template") if options.get(file) is not None]


def _text(options: t.Mapping[str, t.Any]) -> str:
    if options.get("content") is not None:
        return str(options["content"])
    from ansible_collections.kubestatic.node.plugins.module_utils import _yaml_dump

    return _yaml_dump.dump(options["definition"], as_json=str(options.get("filename") or "").endswith(".json"))


def _key_of(name: str, *, namespace: str) -> _manifest.Key:
    """`namespace/name`, or a name in the namespace of the pod that depends on it."""
    before, slash, after = name.partition("/")
    return (before, after) if slash else (namespace, name)
