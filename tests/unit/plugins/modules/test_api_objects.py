# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module api_objects against what a real API server has answered."""

from __future__ import annotations

import base64
import json
import pathlib
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils import _api, _api_objects
from ansible_collections.kubestatic.node.plugins.modules import api_objects
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.api_server import (
    ApiServer,
    Exchange,
    kubeconfig,
    recorded,
)
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import call

Object = t.Dict[str, t.Any]
SECRET = ("YWFh", "YmJi", "Y2Nj", "dG9wc2VjcmV0")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_api, "_PAUSE_SECONDS", 0.001)


class Played(t.NamedTuple):
    result: dict[str, t.Any]
    server: ApiServer

    @property
    def applied(self) -> list[t.Any]:
        return [one.body for one in self.server.requests if one.method == "PATCH"]


def play(tmp_path: pathlib.Path, exchanges: t.Sequence[Exchange], *objects: Object, **options: t.Any) -> Played:
    """Run the module as its action plugin calls it. All that was to be asked must have been."""
    given = base64.b64encode(json.dumps(objects).encode()).decode()
    path = tmp_path / "admin.conf"
    with ApiServer(exchanges).running() as server:
        path.write_text(kubeconfig(server.url))
        result = call(None, api_objects.main, **{"definitions": given, "kubeconfig": str(path), **options})
    assert server.left == [], result
    return Played(result, server)


def thing(name: str, namespace: str = "", *, kind: str = "ConfigMap", **fields: t.Any) -> Object:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **fields}


def info(text: str) -> Object:
    return thing("cluster-info", "kube-public", data={"kubeconfig": text})


def node(**fields: t.Any) -> Object:
    metadata = {"name": "master1", "labels": {"node-role.kubernetes.io/control-plane": ""}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, **fields}


def test_an_object_is_made_once_the_api_server_is_ready(tmp_path: pathlib.Path) -> None:
    played = play(tmp_path, recorded("made"), info("one"))
    assert played.result["changed"] and played.result["actions"] == ["made ConfigMap kube-public/cluster-info"]
    [listed] = played.result["objects"]
    assert listed == {"kind": "ConfigMap", "namespace": "kube-public", "name": "cluster-info", "changed": True}
    assert played.applied == [info("one")]
    assert played.server.requests[-1].headers["Content-Type"] == "application/apply-patch+yaml"
    assert played.server.connections == 1


def test_a_second_run_changes_nothing(tmp_path: pathlib.Path) -> None:
    played = play(tmp_path, recorded("unchanged"), info("one"), diff=True)
    assert (played.result["changed"], played.result["actions"], played.result["diff"]) == (False, [], [])
    assert played.result["objects"][0]["changed"] is False


def test_what_others_own_stays(tmp_path: pathlib.Path) -> None:
    played = play(tmp_path, recorded("changed"), info("two"), diff=True)
    assert played.result["actions"] == ["changed ConfigMap kube-public/cluster-info"]
    [diff] = played.result["diff"]
    assert diff["before_header"] == diff["after_header"] == "ConfigMap kube-public/cluster-info"
    assert diff["before"].replace("kubeconfig: one", "kubeconfig: two") == diff["after"]
    assert "  jws-kubeconfig-abcdef: x\n" in diff["after"]
    assert not any(word in diff["after"] for word in ("managedFields", "resourceVersion", "creationTimestamp", "uid"))


@pytest.mark.parametrize(
    ("name", "wanted", "action"),
    [
        ("check", info("three"), "would change ConfigMap kube-public/cluster-info"),
        ("check_new", thing("new", "default", data={"a": "b"}), "would make ConfigMap default/new"),
        (
            "taken_over_check",
            thing("others", "default", data={"a": "b"}),
            "would take ConfigMap default/others over as it is, for kubestatic",
        ),
    ],
)
def test_check_mode_lets_the_api_server_try(tmp_path: pathlib.Path, name: str, wanted: Object, action: str) -> None:
    assert all("dryRun=All" in path for method, path, _status, _text in recorded(name) if method == "PATCH")
    played = play(tmp_path, recorded(name), wanted, check=True)
    assert played.result["changed"] and played.result["actions"] == [action]


def test_fields_of_others_that_are_the_same_are_taken_over(tmp_path: pathlib.Path) -> None:
    played = play(tmp_path, recorded("taken_over"), thing("others", "default", data={"a": "b"}))
    assert played.result["changed"]
    assert played.result["actions"] == ["took ConfigMap default/others over as it is, for kubestatic"]


def test_a_change_by_others_meanwhile_is_none_of_ours(tmp_path: pathlib.Path) -> None:
    """A kubelet reports the status of its Node at any time."""
    *before, (method, path, status, text) = recorded("unchanged")
    now = json.loads(text)
    now["metadata"]["resourceVersion"] = "999"
    now["status"] = {"reported": "meanwhile"}
    exchanges: list[Exchange] = [*before, (method, path, status, json.dumps(now))]
    assert not play(tmp_path, exchanges, info("one")).result["changed"]


def test_without_a_namespace_it_is_the_default_one(tmp_path: pathlib.Path) -> None:
    played = play(tmp_path, recorded("taken_over"), thing("others", data={"a": "b"}))
    assert played.result["objects"][0]["namespace"] == "default"


def test_of_secrets_only_names_are_shown(tmp_path: pathlib.Path) -> None:
    made = play(
        tmp_path, recorded("secret_made"), thing("token", kind="Secret", data={"a": "YWFh", "b": "YmJi"}), diff=True
    )
    assert "data:\n  a: (not shown)\n  b: (not shown)\n" in made.result["diff"][0]["after"]
    wanted = thing("token", kind="Secret", data={"a": "YWFh", "b": "Y2Nj"})
    changed = play(tmp_path, recorded("secret_changed"), wanted, diff=True)
    [diff] = changed.result["diff"]
    assert "data:\n  a: (not shown)\n  b: (not shown)\n" in diff["before"]
    assert "data:\n  a: (not shown)\n  b: (not shown, differs)\n" in diff["after"]
    bad = play(tmp_path, recorded("secret_bad"), thing("token", kind="Secret", data={"a": ["dG9wc2VjcmV0"]}))
    assert bad.result["msg"] == (
        "Secret default/token: the API server refuses it with 500: (not shown, as it may hold some of the Secret); mend its"
        " definition"
    )
    shown = json.dumps([made.result, changed.result, bad.result])
    assert not any(secret in shown for secret in SECRET)


def test_the_copy_of_a_secret_that_kubectl_leaves_is_not_shown(tmp_path: pathlib.Path) -> None:
    exchanges = recorded("secret_changed")
    for number in (-2, -1):
        method, path, status, text = exchanges[number]
        data = json.loads(text)
        copy = json.dumps({"data": {"a": "YWFh"}})
        data["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": copy, "kept": "x"}
        exchanges[number] = (method, path, status, json.dumps(data))
    wanted = thing("token", kind="Secret", data={"a": "YWFh", "b": "Y2Nj"})
    [diff] = play(tmp_path, exchanges, wanted, diff=True).result["diff"]
    assert "YWFh" not in str(diff) and "kept: x" in diff["before"] and "kept: x" in diff["after"]


def test_the_trouble_with_a_secret_is_not_shown_either(tmp_path: pathlib.Path) -> None:
    *before, (method, path, _status, _text) = recorded("secret_changed")
    exchanges: list[Exchange] = [*before, (method, path, 500, '{"message": "webhook got dG9wc2VjcmV0"}')]
    result = play(tmp_path, exchanges, thing("token", kind="Secret", data={"a": "b"}), wait_timeout=0).result
    assert "answers 500: (not shown" in result["msg"] and "dG9wc2VjcmV0" not in str(result)


def test_a_node_is_waited_for(tmp_path: pathlib.Path) -> None:
    statuses = [status for method, path, status, _text in recorded("node") if path == "/api/v1/nodes/master1"]
    assert statuses == [404, 200]
    played = play(tmp_path, recorded("node"), node())
    assert played.result["actions"] == ["changed Node master1"]
    # With the uid of the one that is there, none is made where that has gone meanwhile.
    [applied] = played.applied
    uid = applied["metadata"].pop("uid")
    assert applied == node() and uid and any(f'"uid":"{uid}"' in exchange[-1] for exchange in recorded("node"))


def test_a_node_that_does_not_come_is_told(tmp_path: pathlib.Path) -> None:
    result = play(tmp_path, recorded("node")[:3], node(), wait_timeout=0).result
    assert result["msg"] == (
        "Node master1: no kubelet has registered it, and that for 0 seconds; look at the kubelet of that node, or raise"
        " wait_timeout"
    )


def test_a_node_that_is_to_come_is_not_waited_for_in_check_mode(tmp_path: pathlib.Path) -> None:
    played = play(tmp_path, recorded("node_check"), node(), check=True, diff=True)
    assert played.result["actions"] == ["would change Node master1, once its kubelet has registered it"]
    assert played.result["diff"][0]["before"] == "" and played.applied == []


def test_a_namespace_of_the_same_call_is_there_for_check_mode(tmp_path: pathlib.Path) -> None:
    ready, kinds = recorded("made")[2:4]
    missing = '{"message": "not found"}'
    exchanges: list[Exchange] = [ready, kinds, ("GET", "/api/v1/namespaces/new", 404, missing)]
    query = recorded("check")[-1][1].partition("?")[2]
    exchanges.append(("PATCH", f"/api/v1/namespaces/new?{query}", 201, json.dumps(thing("new", kind="Namespace"))))
    exchanges.append(("GET", "/api/v1/namespaces/new/configmaps/a", 404, missing))
    played = play(tmp_path, exchanges, thing("new", kind="Namespace"), thing("a", "new"), check=True)
    assert played.result["actions"] == ["would make Namespace new", "would make ConfigMap new/a"]


def test_the_namespaces_of_the_api_server_itself_are_waited_for(tmp_path: pathlib.Path) -> None:
    *before, last = recorded("made")
    missing: Exchange = ("PATCH", last[1], 404, recorded("no_namespace")[-1][3])
    assert play(tmp_path, [*before, missing, last], info("one")).result["changed"]


@pytest.mark.parametrize(
    ("name", "wanted", "message"),
    [
        (
            "unknown_field",
            thing("a", "default", dat=1),
            (
                "ConfigMap default/a: the API server refuses it with 500: failed to create typed patch object (default/a; /v1,"
                " Kind=ConfigMap): .dat: field not declared in schema; mend its definition"
            ),
        ),
        (
            "no_namespace",
            thing("a", "nowhere"),
            'ConfigMap nowhere/a: the API server refuses it with 404: namespaces "nowhere" not found; have that first',
        ),
        (
            "no_kind",
            thing("a", kind="Nope"),
            (
                "Nope a: the API server knows no kind Nope in v1; mend apiVersion or kind, or put the CustomResourceDefinition"
                " in before it"
            ),
        ),
        (
            "no_group",
            {**thing("a", kind="Nope"), "apiVersion": "example.org/v1"},
            "Nope a: the API server knows no kind Nope in example.org/v1; mend apiVersion or kind",
        ),
        (
            "invalid",
            {**thing("kubeadm:get-nodes", kind="ClusterRole"), "apiVersion": "rbac.authorization.k8s.io/v1"},
            (
                "ClusterRole kubeadm:get-nodes: the API server refuses it with 422:"
                ' ClusterRole.rbac.authorization.k8s.io "kubeadm:get-nodes" is invalid: rules[0].verbs: Required value; mend'
            ),
        ),
        (
            "uid",
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "zz", "uid": "1234"}},
            (
                "ConfigMap default/zz: the API server refuses it with 409: Operation cannot be fulfilled on configmaps"
                ' "zz": uid mismatch: the provided object specified uid 1234, and no existing object was found; mend'
            ),
        ),
        (
            "forbidden",
            info("x"),
            (
                "ConfigMap kube-public/cluster-info: the user kubernetes-super-admin of ROOT/admin.conf may not do this: configmaps"
                ' "cluster-info" is forbidden: User "system:node:master1" cannot get resource "configmaps"'
            ),
        ),
    ],
)
def test_what_is_refused_is_told_at_once(tmp_path: pathlib.Path, name: str, wanted: Object, message: str) -> None:
    result = play(tmp_path, recorded(name), wanted).result
    assert result["msg"].startswith(message.replace("ROOT", str(tmp_path)))
    assert (result["failed"], result.get("changed", False), result["objects"]) == (True, False, [])


@pytest.mark.parametrize("check", [False, True])
def test_a_failure_tells_what_was_done_before_it(tmp_path: pathlib.Path, check: bool) -> None:
    exchanges = [*recorded("check" if check else "changed"), recorded("no_namespace")[2]]
    exchanges.append((*recorded("check_new")[-1][:1], *recorded("no_namespace")[-1][1:]))
    if check:
        method, path, status, text = exchanges[-1]
        exchanges[-1] = (method, f"{path}&dryRun=All", status, text)
    result = play(tmp_path, exchanges, info("two"), thing("a", "nowhere"), check=check).result
    assert result["failed"] and 'namespaces "nowhere" not found' in result["msg"]
    assert bool(result.get("changed")) is not check
    assert result["actions"] == ([] if check else ["changed ConfigMap kube-public/cluster-info"])


def test_an_object_of_the_cluster_lies_in_no_namespace(tmp_path: pathlib.Path) -> None:
    result = play(tmp_path, recorded("no_kind"), thing("a", "b", kind="Namespace")).result
    assert result["msg"] == "Namespace b/a: a Namespace lies in no namespace; remove metadata.namespace"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("text", "definitions[1]: is no object with metadata; give a manifest with apiVersion, kind and metadata.name"),
        ({"apiVersion": "v1", "kind": "X"}, "definitions[1]: is no object with metadata"),
        (thing(""), "definitions[1]: metadata.name must be text; got ''"),
        ({**thing("a"), "apiVersion": 1}, "definitions[1]: apiVersion must be text; got 1"),
        ({"apiVersion": "v1", "metadata": {"name": "a"}}, "definitions[1]: kind must be text; got None"),
        (
            {**thing("a"), "metadata": {"name": "a", "namespace": 1}},
            "definitions[1]: metadata.namespace must be text; got 1",
        ),
        (
            info("two"),
            "definitions[1]: ConfigMap kube-public/cluster-info is given twice; make one definition of the two",
        ),
        (
            node(spec={"taints": []}),
            (
                "definitions[1]: Node master1 has spec.taints, and applying these would take away all taints of others; let its"
                " kubelet register it with them (registerWithTaints), or use kubectl taint"
            ),
        ),
    ],
)
def test_bad_definitions_are_refused_before_anything_is_asked(
    tmp_path: pathlib.Path, wanted: t.Any, message: str
) -> None:
    played = play(tmp_path, [], info("one"), wanted)
    assert played.result["msg"].startswith(message) and played.server.requests == []
    named = play(tmp_path, [], info("one"), wanted, template="objects.yaml.j2").result["msg"]
    assert named == played.result["msg"].replace("definitions", "objects.yaml.j2")


def test_the_strongest_kubeconfig_is_the_default(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = tuple(str(tmp_path / name) for name in ("super-admin.conf", "default.conf"))
    monkeypatch.setattr(_api_objects, "_KUBECONFIGS", paths)
    assert play(tmp_path, [], kubeconfig=None).result["msg"].startswith(f"{paths[1]} cannot be read")
    for path in reversed(paths):
        pathlib.Path(path).write_text("{}")
        assert play(tmp_path, [], kubeconfig=None).result["msg"].startswith(f"{path}: is no kubeconfig")


def test_another_manager_and_server_are_used(tmp_path: pathlib.Path) -> None:
    *before, (method, path, status, text) = recorded("unchanged")
    other = path.replace("kubestatic", "somebody+else")
    with ApiServer([*before, (method, other, status, text.replace("kubestatic", "somebody else"))]).running() as server:
        (tmp_path / "admin.conf").write_text(kubeconfig("https://192.0.2.1"))
        options: dict[str, t.Any] = {"server": server.url, "field_manager": "somebody else"}
        given = base64.b64encode(json.dumps([info("one")]).encode()).decode()
        result = call(None, api_objects.main, definitions=given, kubeconfig=str(tmp_path / "admin.conf"), **options)
    assert result["actions"] == ["took ConfigMap kube-public/cluster-info over as it is, for somebody else"]
