# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What a node tells of its control plane: manifests, etcd, encryption at rest. Plain data, without a secret in it."""

from __future__ import annotations

import hashlib
import os
import typing as t

from ansible_collections.kubestatic.node.plugins.module_utils import _kubelet_settings, _manifest_dir, _yaml
from ansible_collections.kubestatic.node.plugins.module_utils._control_plane_files import (
    COMPONENTS,
    ENCRYPTION_KEY,
    NAMESPACE,
    node_path,
)
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._manifest import Pod, mapping, mappings
from ansible_collections.kubestatic.node.plugins.module_utils._node_files import Tree, require_no_dangling_link

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.plugins.module_utils._etcd import Etcd
    from ansible_collections.kubestatic.node.plugins.module_utils._manifest_dir import Entry
    from ansible_collections.kubestatic.node.plugins.module_utils._store import Store

Facts = t.Dict[str, t.Any]

_LOOPBACK = ("https://127.", "https://[::1]")
_ETCD_SECONDS = 3.0
# What a resource list of an EncryptionConfiguration may say for Secrets (apiserver/pkg/server/options/encryptionconfig).
_SECRETS = frozenset(["secrets", "secrets.", "*.", "*.*"])
# What is encrypted begins so, whatever encrypts it (apiserver/pkg/server/options/encryptionconfig/config.go).
_ENCRYPTED = b"k8s:enc:"


def pods(directory: str) -> dict[str, Facts]:
    """Component -> ``file``, ``image``, ``flags`` and ``problem`` of its manifest, for those that have one.

    What a killed run has left counts as it will be once that is repaired.
    """
    try:
        entries = _manifest_dir.read(directory, recovered=True)
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise KubestaticError(f"{directory}: cannot be read: {exc.strerror}") from None
    found = {component: _pod(component, entries) for component in COMPONENTS}
    return {component: facts for component, facts in found.items() if facts}


def placed(directory: str, store: Store) -> list[str]:
    """The components whose manifests this collection has put there."""
    pods_there = store.placed(directory).values()
    return [component for component in COMPONENTS if f"{NAMESPACE}/{component}" in pods_there]


def etcd(pod: Facts, *, data_dir: str, store: Store) -> Facts:
    """What this node knows of etcd. `pod` are the facts of its manifest, empty where there is none."""
    members, trouble = _members(pod.get("flags", {}))
    has_log, has_database = _data(data_dir)
    return {
        "data": has_log,
        "remains": has_database and not has_log,
        # The pod's readiness probe includes a linearizable read, so there was a quorum.
        "proven": store.was_proven((NAMESPACE, "etcd")),
        "members": members,
        "trouble": trouble,
    }


def _data(data_dir: str) -> tuple[bool, bool]:
    """Whether a member of etcd has a write-ahead log there, and a database. Raises KubestaticError where that cannot be told.

    With a log etcd goes on, without one it begins anew (haveWAL in server/etcdserver/bootstrap.go).
    """
    require_no_dangling_link(data_dir)
    member = os.path.join(data_dir, "member")
    try:
        has_log = any(name.endswith(".wal") for name in _names(os.path.join(member, "wal")))
        return has_log, "db" in _names(os.path.join(member, "snap"))
    except OSError as exc:
        raise KubestaticError(
            f"{data_dir}: whether etcd has data there cannot be told: {exc.strerror}; mend the disk"
        ) from None


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


def encryption(api_server: Facts, etcd_pod: Facts) -> Facts:
    """``state`` of encryption at rest, and digests of keys. Both are the facts of a manifest, empty where there is none.

    ``state``: ``none``, ``readable`` (a key after identity), ``written`` (a key first), empty where it cannot be told.
    ``keys_in_use``: those (for a plugin, what it is called), ``key``: the one of this collection, empty for none.
    ``stored``, ``example``, ``trouble``: see `_stored`.
    """
    facts = _configured(api_server)
    if facts["state"] != "readable":
        return {**facts, "stored": None, "example": "", "trouble": ""}
    return {**facts, **_stored(api_server["flags"], etcd_pod.get("flags", {}))}


def _stored(flags: Facts, etcd_flags: Facts) -> Facts:
    """How many Secrets etcd holds encrypted, and one of them as namespace/name; None and the ``trouble`` if not told."""
    given = flags.get("etcd-prefix", "/registry")
    # Of a flag that is given several times the last one counts.
    prefix = given[-1] if isinstance(given, list) else given
    directory = "/".join(["", *filter(None, prefix.split("/")), "secrets"])
    try:
        found = list(_client(etcd_flags).keys(directory, value_starts=_ENCRYPTED))
    except KubestaticError as error:
        return {"stored": None, "example": "", "trouble": str(error)}
    return {"stored": len(found), "example": found[0] if found else "", "trouble": ""}


def _configured(api_server: Facts) -> Facts:
    own = Tree().text(node_path(ENCRYPTION_KEY))
    facts: Facts = {"state": "none", "keys_in_use": [], "key": _digest(own.strip()) if own else ""}
    path = api_server.get("flags", {}).get("encryption-provider-config")
    if not path:
        return {**facts, "state": "" if api_server.get("problem") else "none"}
    try:
        data = mapping(_yaml.load(Tree().text(str(path)) or "").data)
    except KubestaticError:
        data = {}
    if not data:
        return {**facts, "state": ""}
    for block in mappings(data.get("resources")):
        resources = block.get("resources")
        if _SECRETS & {one for one in (resources if isinstance(resources, list) else ()) if isinstance(one, str)}:
            return {**facts, **_in_force(mappings(block.get("providers")))}
    return facts


def _in_force(providers: list[dict[str, t.Any]]) -> Facts:
    plain = ["identity" in provider for provider in providers]
    keys = [
        _digest(str(key.get("secret")))
        for provider in providers
        for body in provider.values()
        for key in mappings(mapping(body).get("keys"))
    ]
    plugins = ["kms" for provider in providers if "kms" in provider]
    state = "none" if all(plain) else "readable" if plain[0] else "written"
    return {"state": state, "keys_in_use": [*keys, *plugins]}


def _digest(secret: str) -> str:
    """Keys are random, so a digest gives nothing away."""
    return hashlib.sha256(secret.encode()).hexdigest()[:16]


def _pod(component: str, entries: list[Entry]) -> Facts:
    found = _manifest_dir.duplicates(entries, (NAMESPACE, component))
    if len(found) > 1:
        names = " and ".join(entry.filename for entry in found)
        return {**_manifest_facts(found[-1], component), "problem": f"{names} hold the same pod; remove all but one"}
    if found:
        return _manifest_facts(found[0], component)
    # Without a pod only the name tells what the file was meant to be.
    broken = [entry for entry in entries if not entry.pod and os.path.splitext(entry.filename)[0] == component]
    return _manifest_facts(broken[0], component) if broken else {}


def _manifest_facts(entry: Entry, component: str) -> Facts:
    main = _main_container(entry.pod, component) if entry.pod else {}
    words = [str(word) for part in ("command", "args") for word in main.get(part) or []]
    flags: Facts = {}
    for flag in _kubelet_settings.flag_words(words):
        before = flags.get(flag.name)
        more = [*(before if isinstance(before, list) else [before]), flag.value]
        flags[flag.name] = flag.value if before is None else more
    problem = "" if entry.pod else entry.refused or entry.ignored
    return {"file": entry.path, "image": str(main.get("image") or ""), "flags": flags, "problem": problem}


def _main_container(pod: Pod, component: str) -> dict[str, t.Any]:
    containers = pod.containers or [{}]
    return next((one for one in containers if one.get("name") == component), containers[0])


def _members(flags: Facts) -> tuple[list[Facts] | None, str]:
    """(members, trouble) as the etcd of this node tells it, also without quorum: None and why where it does not."""
    try:
        return [one._asdict() for one in _client(flags).members(linearizable=False)], ""
    except KubestaticError as error:
        return None, str(error)


def _client(flags: Facts) -> Etcd:
    """For the etcd of this node, which has these flags. Raises KubestaticError."""
    from ansible_collections.kubestatic.node.plugins.module_utils import _etcd

    given = str(flags.get("listen-client-urls") or "").split(",")
    endpoints = [url for url in given if url.startswith(_LOOPBACK)] or [_etcd.LOCAL]
    return _etcd.Etcd(endpoints, context=_etcd.KUBEADM.context(), timeout=_ETCD_SECONDS)
