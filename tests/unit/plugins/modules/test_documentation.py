# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation of a module says is what its code takes and returns."""

from __future__ import annotations

import base64
import importlib
import itertools
import json
import os
import pathlib
import types
import typing as t
from unittest import mock

import pytest
import yaml
from ansible_collections.kubestatic.node.plugins.doc_fragments import _attributes, _static_pod
from ansible_collections.kubestatic.node.plugins.module_utils import _module, _store
from ansible_collections.kubestatic.node.plugins.modules import (
    api_objects,
    control_plane_certificates,
    control_plane_info,
    control_plane_preflight,
    etcd_member,
    kubelet_config,
    kubelet_info,
    node_files,
    static_pod,
    static_pod_info,
    static_pods,
)
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.api_server import (
    ApiServer,
    kubeconfig,
    recorded,
)
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.etcd_gateway import cluster
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.kubelet_node import CONFIG
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.kubelet_world import KubeletWorld
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import World, call, manifest

PREFIX = "kubestatic.node."
FRAGMENTS = {"_attributes": _attributes, "_static_pod": _static_pod}
POD_MODULES = [static_pod, static_pods, static_pod_info]
MODULES = [*POD_MODULES, kubelet_config, kubelet_info, node_files, etcd_member, api_objects]
# What these return comes from their action plugins, so the tests of those look at it.
DONE_BY_ACTIONS = [control_plane_certificates, control_plane_info, control_plane_preflight]
ME = {"owner": str(os.geteuid()), "group": str(os.getegid())}

NAMES = [module.__name__.rpartition(".")[2] for module in MODULES]

each_module = pytest.mark.parametrize("module", MODULES, ids=NAMES)
each_documented = pytest.mark.parametrize("module", [*MODULES, *DONE_BY_ACTIONS], ids=lambda module: module.__name__)


class Specified(Exception):
    """Raised in place of running a module, with its argument_spec."""


def documentation(module: types.ModuleType) -> dict[str, t.Any]:
    """DOCUMENTATION with its fragments, as ansible-doc puts them together: the module's own words win."""
    own: dict[str, t.Any] = yaml.safe_load(module.DOCUMENTATION)
    options: dict[str, t.Any] = {}
    for name in own.get("extends_documentation_fragment", []):
        room, _dot, part = name[len(PREFIX) :].partition(".")
        fragment = FRAGMENTS[room].ModuleDocFragment
        options.update((yaml.safe_load(getattr(fragment, part.upper() or "DOCUMENTATION")) or {}).get("options") or {})
    return {**own, "options": {**options, **own.get("options", {})}}


def argument_spec(module: types.ModuleType) -> dict[str, t.Any]:
    def ansible_module(*, argument_spec: dict[str, t.Any], **_options: t.Any) -> t.NoReturn:
        raise Specified(argument_spec)

    with mock.patch.object(module, "AnsibleModule", ansible_module), pytest.raises(Specified) as specified:
        module.main()
    return t.cast("dict[str, t.Any]", specified.value.args[0])


def require_same(documented: dict[str, t.Any], specified: dict[str, t.Any], *, path: str) -> None:
    assert set(documented) == set(specified), path
    for name, option in specified.items():
        words = documented[name]
        here = f"{path}{name}"
        for field in ("type", "default", "choices", "elements"):
            assert words.get(field) == option.get(field), f"{here}: {field}"
        assert bool(words.get("required")) is bool(option.get("required")), f"{here}: required"
        assert words.get("description"), f"{here}: description"
        require_same(words.get("suboptions") or {}, option.get("options") or {}, path=f"{here}.")


@each_module
def test_options_are_those_of_the_code(module: types.ModuleType) -> None:
    require_same(documentation(module)["options"], argument_spec(module), path="")


@each_documented
def test_the_name_is_that_of_the_file(module: types.ModuleType) -> None:
    assert documentation(module)["module"] == pathlib.Path(str(module.__file__)).stem
    assert documentation(module)["version_added"] == ("0.1.0" if module in POD_MODULES else "0.2.0")


@each_documented
def test_examples_use_options_that_there_are(module: types.ModuleType) -> None:
    name = module.__name__.rpartition(".")[2]
    options = documentation(module)["options"]
    tasks = [task for task in yaml.safe_load(module.EXAMPLES) if f"{PREFIX}{name}" in task]
    assert tasks
    for task in tasks:
        arguments = task[f"{PREFIX}{name}"] or {}
        assert set(arguments) <= set(options), task["name"]
        for pod in arguments.get("pods", []) if isinstance(arguments.get("pods"), list) else []:
            assert set(pod) <= set(options["pods"]["suboptions"]), task["name"]


class Seen(t.NamedTuple):
    """What a module returned on a node in memory. One result at least is a failure, but for static_pod_info."""

    documented: dict[str, t.Any]
    results: list[dict[str, t.Any]]

    @property
    def last_good(self) -> dict[str, t.Any]:
        """Of each return value the last one that is no failure's."""
        return {name: value for one in self.results if not one.get("failed") for name, value in one.items()}


@pytest.fixture(name="seen", params=MODULES, ids=NAMES)
def _seen(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> t.Iterator[Seen]:
    module = request.param
    documented = yaml.safe_load(module.RETURN)
    if module is node_files:
        yield Seen(documented, of_node_files(tmp_path, request.getfixturevalue("monkeypatch")))
        return
    if module is etcd_member:
        yield Seen(documented, of_etcd_member(tmp_path, request.getfixturevalue("monkeypatch")))
        return
    if module is api_objects:
        yield Seen(documented, of_api_objects(tmp_path))
        return
    if module in POD_MODULES:
        yield Seen(documented, of_pods(request.getfixturevalue("world"), module))
        return
    with KubeletWorld(tmp_path).installed() as node:
        yield Seen(documented, of_kubelet_info(node) if module is kubelet_info else of_kubelet_config(node))


def of_node_files(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, t.Any]]:
    """Results of files that would be put there, are put there, are there, and of one that is refused."""
    monkeypatch.setattr(_store, "DEFAULT_PATH", str(tmp_path / "store"))
    monkeypatch.setattr(_module, "require_root", lambda: None)
    file = {"path": f"{tmp_path}/file", "content": "some text", **ME}
    runs: list[dict[str, t.Any]] = [{"check": True, "diff": True}, {"diff": True}, {}]
    found = [call(None, node_files.main, files=[file], **options) for options in runs]
    assert [one["changed"] for one in found] == [True, True, False]
    refused = call(None, node_files.main, files=[{**file, "mode": 600}])
    assert refused["failed"]
    # The last good one is to have something to show.
    return [refused, *reversed(found)]


def of_etcd_member(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, t.Any]]:
    """Results of a member that would be replaced, is replaced, and is there, and of one that is refused."""
    monkeypatch.setattr(_module, "require_root", lambda: None)
    with cluster(tmp_path) as etcd:
        arguments = {"endpoints": etcd.urls("node2", "node3"), **etcd.tls._asdict()}
        member = {"name": "node1", "peer_url": "https://192.0.2.11:2380", "replace": True}
        runs: list[dict[str, t.Any]] = [{"name": "node1", "state": "voter", "peer_url": "https://192.0.2.12:2380"}]
        runs += [{**member, "check": True}, member, member]
        found = [call(None, etcd_member.main, **arguments, **one) for one in runs]
    assert [one.get("changed") for one in found] == [None, True, True, False]
    # The last good one is to have something to show.
    return [*found[:2], *reversed(found[2:])]


def of_api_objects(tmp_path: pathlib.Path) -> list[dict[str, t.Any]]:
    """Results of an object that is refused, would change, and is made."""
    data = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cluster-info", "namespace": "kube-public"}}
    given = base64.b64encode(json.dumps([data]).encode()).decode()
    path = tmp_path / "admin.conf"
    found = []
    for name, check in (("forbidden", False), ("check", True), ("made", False)):
        with ApiServer(recorded(name)).running() as server:
            path.write_text(kubeconfig(server.url))
            arguments: dict[str, t.Any] = {"definitions": given, "kubeconfig": str(path), "check": check, "diff": check}
            found.append(call(None, api_objects.main, **arguments))
    assert [bool(one.get("failed")) for one in found] == [True, False, False]
    return found


def of_kubelet_config(node: KubeletWorld) -> list[dict[str, t.Any]]:
    """Results of a change in check mode, the change, no change, a refused one, and one that is put back."""
    good: dict[str, t.Any] = {
        "settings": {"maxPods": 50, "authentication": {"webhook": {"enabled": True}}},
        "flags": {"node-labels": "a=b", "node-ip": None},
        "settle": 0,
    }
    node.refused["maxPods: 51"] = "E1125 12:00:00.000000       1 run.go:72] maxPods is too much"
    runs = [{**good, "check": True, "diff": True}, {**good, "diff": True}, good]
    runs += [{"settings": {"maxPod": 50}}, {"settings": {"maxPods": 51}, "settle": 0}]
    found = [node.call(**arguments) for arguments in runs]
    assert [bool(one.get("failed")) for one in found] == [False, False, False, True, True]
    assert found[-1]["journal"]
    return found


def of_kubelet_info(node: KubeletWorld) -> list[dict[str, t.Any]]:
    """Results where all is well, where files changed and flags are old, with the kubelet stopped, a file broken, no unit."""
    found = [node.info()]
    node.drop_in("50-ours.conf", "readOnlyPort: null\nmaxPod: 5\n")
    node.unit(
        f"/usr/bin/kubelet --config=ROOT/{CONFIG} --config-dir=ROOT/{os.path.dirname(CONFIG)}/config.conf.d"
        " --pod-infra-container-image=pause --kubeconfig=ROOT/etc/kubernetes/kubelet.conf"
        " --manifest-url=file://nowhere --no-such-flag"
    )
    found.append(node.info())
    assert found[-1]["stale"] and found[-1]["problems"]
    node.stop()
    found.append(node.info())
    assert found[-1]["trouble"]
    node.write(CONFIG, "{")
    found.append(node.info())
    with mock.patch.object(node, "_show", return_value="LoadState=not-found\nMainPID=0\n"):
        found.append(node.info())
    assert found[-1]["failed"]
    return found


def of_pods(world: World, module: types.ModuleType) -> list[dict[str, t.Any]]:
    """Results of runs that would place, place, would change, and do nothing, of one that fails and one that would."""
    if module is static_pod_info:
        return [call(world, static_pod_info.main)]
    good: dict[str, t.Any] = {"content": manifest()}
    other: dict[str, t.Any] = {"content": manifest(image="good:2")}
    bad: dict[str, t.Any] = {"content": manifest().replace("image", "imag")}
    if module is static_pods:
        good, other, bad = {"pods": [good]}, {"pods": [other]}, {"pods": [bad]}
    runs = [{**good, "check": True}, good, {**other, "check": True}, good, bad, {**bad, "check": True}]
    found = [call(world, module.main, settle=0, **ME, **arguments) for arguments in runs]
    assert ["plan" in one for one in found] == [True, False, True, False, False, False]
    return found


# What Ansible adds by itself. The secrets (from 2.22 on) are taken out of the answer before anybody sees it: the
# controller hides them in all that it shows from then on.
ADDED = {"changed", "failed", "msg", "diff", "invocation", "warnings", "deprecations", "_ansible_new_secrets"}
# What it adds about the file that the key path names.
FILE_FACTS = {"uid", "gid", "owner", "group", "mode", "state", "size", "secontext"}
# Of these, `contains` describes each entry; the entries have the names of settings and flags, or those of the sample.
ENTRIES = {"effective", "settings", "sources"}


def test_return_values_are_always_there_and_no_others(seen: Seen) -> None:
    always = {name for name, words in seen.documented.items() if words["returned"].startswith("always")}
    in_check_mode = {name for name, words in seen.documented.items() if words["returned"].startswith("in check mode")}
    assert always | in_check_mode == set(seen.documented)
    for result in seen.results:
        returned = set(result) - ADDED - FILE_FACTS
        assert returned in (always, always | in_check_mode)
        for name in returned:
            words = seen.documented[name]
            for value in entries(name, result[name]):
                require_type(value, words, path=name, known=not result.get("failed"))


def entries(name: str, value: t.Any) -> list[t.Any]:
    """What `contains` of this return value describes."""
    if name not in ENTRIES:
        return [value]
    assert isinstance(value, dict), name
    return list(value.values())


PYTHON_TYPES: dict[str, t.Any] = {
    "str": str,
    "list": list,
    "dict": dict,
    "bool": bool,
    "int": int,
    "float": (float, int),
    "raw": object,
}


def require_type(value: t.Any, words: dict[str, t.Any], *, path: str, known: bool) -> None:
    assert value is None or isinstance(value, PYTHON_TYPES[words["type"]]), path
    items = value if isinstance(value, list) else [value]
    for item in items:
        if isinstance(item, dict) and known and "contains" in words:
            assert set(item) == set(words["contains"]), path
            for name, inner in words["contains"].items():
                require_type(item[name], inner, path=f"{path}.{name}", known=known)


def sample(words: dict[str, t.Any]) -> t.Any:
    if "sample" in words:
        return words["sample"]
    return {name: sample(inner) for name, inner in words.get("contains", {}).items()}


def test_samples_have_the_shape_of_real_results(seen: Seen) -> None:
    for name, words in seen.documented.items():
        for example, real in itertools.product(entries(name, sample(words)), entries(name, seen.last_good[name])):
            require_shape(example, real, path=name)


def test_entries_have_the_names_that_the_documentation_says(seen: Seen) -> None:
    kinds = [str.isidentifier, lambda name: "." in name, lambda name: name.startswith("--")]
    if "effective" in seen.documented:
        for given in (seen.last_good["effective"], {**sample(seen.documented["effective"]), "maxPods": {}}):
            assert all(any(map(kind, given)) for kind in kinds), given
    if "sources" in seen.documented:
        assert set(seen.last_good["sources"]) == set(sample(seen.documented["sources"]))


def require_shape(example: t.Any, real: t.Any, *, path: str) -> None:
    if isinstance(example, dict) and isinstance(real, dict):
        assert set(example) == set(real), path
        for name in example:
            require_shape(example[name], real[name], path=f"{path}.{name}")
    if isinstance(example, list) and isinstance(real, list) and example and real:
        require_shape(example[0], real[0], path=f"{path}[]")


def test_every_module_is_tested_here() -> None:
    directory = pathlib.Path(str(static_pod.__file__)).parent
    names = {path.stem for path in directory.glob("*.py")}
    tested = [*MODULES, *DONE_BY_ACTIONS]
    assert names == {module.__name__.rpartition(".")[2] for module in tested}
    assert all(importlib.import_module(module.__name__) is module for module in tested)
