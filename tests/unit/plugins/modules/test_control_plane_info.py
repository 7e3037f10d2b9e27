# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a master tells of its control plane's files. What becomes of it is tested with the action plugin."""

from __future__ import annotations

import json
import os
import pathlib
import time
import typing as t

import pytest
import yaml
from ansible_collections.kubestatic.node.plugins.module_utils import (
    _control_plane_files,
    _etcd,
    _https,
    _kubelet_process,
    _machine,
    _module,
    _runtime,
    _store,
)
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._store import Revision, Store
from ansible_collections.kubestatic.node.plugins.modules import control_plane_info
from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils.world import call, manifest
from ansible_collections.kubestatic.node.tests.unit.plugins.modules.test_documentation import (
    argument_spec,
    documentation,
    require_same,
    require_shape,
    require_type,
    sample,
)

NO_STORED = {"stored": None, "example": "", "trouble": ""}
MANIFESTS, DATA, KUBERNETES = "etc/kubernetes/manifests", "var/lib/etcd", "etc/kubernetes"


@pytest.fixture(name="node")
def _node(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setattr(_module, "require_root", lambda: None)
    monkeypatch.setattr(_control_plane_files, "_DIRECTORY", f"{tmp_path}/{KUBERNETES}")
    monkeypatch.setattr(_control_plane_files, "_KUBELET", {"pki/kubelet.crt": f"{tmp_path}/var/kubelet.crt"})
    monkeypatch.setattr(_machine, "_MACHINE_ID", f"{tmp_path}/etc/machine-id")
    monkeypatch.setattr(_machine, "ca_directories", lambda: ["/usr/share/ca-certificates"])
    monkeypatch.setattr(_machine, "_PROC", f"{tmp_path}/proc")
    monkeypatch.setattr(_runtime, "CRICTL_PATHS", ())
    monkeypatch.setattr(control_plane_info, "_PROGRAMS", ())
    monkeypatch.setattr(_store, "Store", lambda **options: Store(f"{tmp_path}/store", **options))
    monkeypatch.setattr(_etcd, "KUBEADM", _https.Tls(f"{tmp_path}/no-ca.crt"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    (tmp_path / "proc").mkdir()
    return tmp_path


def facts(node: pathlib.Path, **options: t.Any) -> dict[str, t.Any]:
    places = {"manifest_dir": f"{node}/{MANIFESTS}", "etcd_data_dir": f"{node}/{DATA}"}
    result = call(None, control_plane_info.main, **{**places, **options})
    assert not result.get("failed"), result
    return t.cast("dict[str, t.Any]", result["facts"])


def program(node: pathlib.Path, name: str, text: str) -> None:
    write(node, f"bin/{name}", f"#!/bin/sh\n{text}\n")
    (node / "bin" / name).chmod(0o755)


def write(node: pathlib.Path, name: str, text: str) -> None:
    path = node / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("check", [True, False])
def test_all_that_is_there_is_told(node: pathlib.Path, check: bool) -> None:
    found = {
        "etc/kubernetes/pki/ca.key": "key of a CA",
        "etc/kubernetes/pki/etcd/ca.crt": "certificate",
        "etc/kubernetes/pki/encryption.key": "another",
        "var/kubelet.crt": "kubelet's",
        "etc/kubernetes/admin.conf": "kubeconfig",
    }
    for name, text in {**found, "etc/kubernetes/pki/ca.srl": "of no use"}.items():
        write(node, name, text)
    result = call(None, control_plane_info.main, check=check)
    assert not result["changed"]
    assert result["texts"] == {
        name.replace("etc/kubernetes/", "").replace("var/", "pki/"): text for name, text in found.items()
    }
    assert sorted(result["held_files"]) == sorted(f"{node}/{name}" for name in found)


def test_a_node_that_is_no_master_has_nothing(node: pathlib.Path) -> None:
    result = call(None, control_plane_info.main)
    assert (result["texts"], result["held_files"]) == ({}, [])


@pytest.mark.parametrize(
    "link", ["etc/kubernetes", "etc/kubernetes/pki", "etc/kubernetes/pki/ca.key", "var/kubelet.crt"]
)
def test_a_link_to_nothing_is_not_nothing(node: pathlib.Path, link: str) -> None:
    """As where the disk with the keys is not mounted."""
    (node / link).parent.mkdir(parents=True, exist_ok=True)
    (node / link).symlink_to("/mnt/keys")
    result = call(None, control_plane_info.main)
    assert result["failed"] and "texts" not in result
    assert result["msg"] == f"{node}/{link}: is a symbolic link to /mnt/keys, which is not there; mend the link"


def test_a_link_to_something_is_followed(node: pathlib.Path) -> None:
    write(node, "disk/ca.key", "key of a CA")
    (node / "etc/kubernetes").mkdir(parents=True)
    (node / "etc/kubernetes/pki").symlink_to(node / "disk")
    assert call(None, control_plane_info.main)["texts"] == {"pki/ca.key": "key of a CA"}


def test_what_cannot_be_read_is_named(node: pathlib.Path) -> None:
    (node / "etc/kubernetes/pki/ca.key").mkdir(parents=True)
    result = call(None, control_plane_info.main)
    assert result["failed"] and result["msg"] == f"{node}/etc/kubernetes/pki/ca.key: cannot be read: Is a directory"
    assert "texts" not in result


# ---- facts


def test_options_are_those_of_the_code() -> None:
    require_same(documentation(control_plane_info)["options"], argument_spec(control_plane_info), path="")


def test_a_bare_node(node: pathlib.Path) -> None:
    before = time.time()
    found = facts(node, ports=[])
    assert before <= found.pop("time") <= time.time()
    assert found == {
        "machine_id": "",
        "address_is_own": None,
        "swap": [],
        "ca_directories": ["/usr/share/ca-certificates"],
        "kubelet_version": "",
        "crictl": False,
        "listening": [],
        "placed": [],
        "pods": {},
        "etcd": {
            "data": False,
            "remains": False,
            "proven": False,
            "members": None,
            "trouble": f"cannot read {node}/no-ca.crt: No such file or directory",
        },
        "encryption": {**NO_STORED, "state": "none", "keys_in_use": [], "key": ""},
    }


@pytest.mark.parametrize(("address", "own"), [("127.0.0.1", True), ("192.0.2.77", False), ("2001:db8::77", False)])
def test_an_address(node: pathlib.Path, address: str, own: bool) -> None:
    assert facts(node, address=address)["address_is_own"] is own


def test_a_failure_has_no_facts(node: pathlib.Path) -> None:
    (node / "etc/kubernetes/pki/ca.key").mkdir(parents=True)
    assert call(None, control_plane_info.main)["facts"] == {}


class Cluster:
    """What etcd answers in place of the network, or the trouble with it."""

    trouble = ""
    asked: t.ClassVar[list[list[str]]] = []
    stored: t.ClassVar[dict[str, list[str]]] = {}

    def __init__(self, endpoints: list[str], *, context: None, timeout: float) -> None:
        assert (context, timeout) == (None, 3.0)
        self.asked.append(endpoints)

    def members(self, *, linearizable: bool) -> list[_etcd.Member]:
        assert not linearizable, "a member without quorum has to answer, too"
        if self.trouble:
            raise KubestaticError(self.trouble)
        return [_etcd.Member("8e9e", "master1", ("https://192.0.2.11:2380",), ("https://192.0.2.11:2379",), False)]

    def keys(self, directory: str, *, value_starts: bytes) -> t.Iterator[str]:
        assert value_starts == b"k8s:enc:"
        if self.trouble:
            raise KubestaticError(self.trouble)
        yield from self.stored[directory]


@pytest.fixture(name="cluster")
def _cluster(node: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> type[Cluster]:
    class Tls:
        @staticmethod
        def context() -> None:
            return None

    class Asked(Cluster):
        asked: t.ClassVar[list[list[str]]] = []

    monkeypatch.setattr(_etcd, "KUBEADM", Tls)
    monkeypatch.setattr(_etcd, "Etcd", Asked)
    return Asked


def component(name: str, *words: str, image: str = "r.example/x:v1") -> str:
    pod = yaml.safe_load(manifest(name, image, namespace="kube-system"))
    pod["spec"]["containers"][0].update(name=name, command=[name, *words])
    return json.dumps(pod)


def test_a_master(node: pathlib.Path, cluster: type[Cluster]) -> None:
    etcd = component("etcd", "--name=master1", "--listen-client-urls=https://127.0.0.1:2379,https://192.0.2.11:2379")
    write(node, f"{MANIFESTS}/etcd.yaml", etcd)
    write(node, f"{MANIFESTS}/other.yaml", component("kube-scheduler", "--bind-address", "127.0.0.1", "--x", "-v=2"))
    write(node, f"{DATA}/member/wal/0.wal", "")
    write(node, "etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    write(node, "proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n")
    store = Store(f"{node}/store")
    store.remember_placed(f"{node}/{MANIFESTS}", {"etcd.yaml": "kube-system/etcd", "a.yaml": "default/kube-scheduler"})
    store.remember_revisions(("kube-system", "etcd"), [Revision(1, 1.0, "placed", "", etcd, True)])
    program(node, "kubelet", "echo Kubernetes v1.37.2")
    program(node, "crictl", "")
    found = facts(node, address="127.0.0.1", manifest_dir=f"{node}/{MANIFESTS}/")
    require_type({**found, "clock_offset": 0.0}, documentation_of_facts(), path="facts", known=True)
    example = sample(documentation_of_facts())
    for name in ("pods", "clock_offset", "listening", "placed"):
        example.pop(name)
    require_shape(example, {name: found[name] for name in example}, path="facts")
    assert len(found["machine_id"]) == 32 and "0123456789abcdef" not in found["machine_id"]
    assert (found["address_is_own"], found["swap"]) == (True, ["/dev/sda2"])
    assert (found["kubelet_version"], found["crictl"]) == ("1.37.2", True)
    assert found["placed"] == ["etcd"]
    assert found["pods"] == {
        "etcd": {
            "file": f"{node}/{MANIFESTS}/etcd.yaml",
            "image": "r.example/x:v1",
            "flags": {
                "name": "master1",
                "listen-client-urls": "https://127.0.0.1:2379,https://192.0.2.11:2379",
            },
            "problem": "",
        },
        "kube-scheduler": {
            "file": f"{node}/{MANIFESTS}/other.yaml",
            "image": "r.example/x:v1",
            "flags": {"bind-address": "127.0.0.1", "x": "true", "v": "2"},
            "problem": "",
        },
    }
    assert found["etcd"] == {
        "data": True,
        "remains": False,
        "proven": True,
        "members": [
            {
                "id": "8e9e",
                "name": "master1",
                "peer_urls": ["https://192.0.2.11:2380"],
                "client_urls": ["https://192.0.2.11:2379"],
                "is_learner": False,
            }
        ],
        "trouble": "",
    }
    assert cluster.asked == [["https://127.0.0.1:2379"]]


def documentation_of_facts() -> dict[str, t.Any]:
    words: dict[str, t.Any] = yaml.safe_load(control_plane_info.RETURN)["facts"]
    return words


def test_etcd_that_does_not_answer(node: pathlib.Path, cluster: type[Cluster]) -> None:
    cluster.trouble = "https://127.0.0.1:2379 does not answer: Connection refused"
    etcd = facts(node)["etcd"]
    assert (etcd["members"], etcd["trouble"]) == (None, cluster.trouble)
    assert cluster.asked == [[_etcd.LOCAL]]


def test_a_member_without_quorum_tells_of_the_others(node: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.kubestatic.node.tests.unit.plugins.module_utils import etcd_gateway

    (node / "gateway").mkdir()
    with etcd_gateway.cluster(node / "gateway") as three:
        three.stop("node2", "node3")
        monkeypatch.setattr(_etcd, "KUBEADM", three.tls)
        flag = f"--listen-client-urls=https://192.0.2.11:2379,{three.urls('node1')[0]}"
        write(node, f"{MANIFESTS}/etcd.yaml", component("etcd", flag))
        etcd = facts(node)["etcd"]
    assert ([one["name"] for one in etcd["members"]], etcd["trouble"]) == (["node1", "node2", "node3"], "")


def test_a_quorum_is_remembered_also_where_the_pod_was_removed(node: pathlib.Path) -> None:
    """Its disk may come back."""
    store, etcd = Store(f"{node}/store"), ("kube-system", "etcd")
    revision = Revision(1, 1.0, "placed", "", "x", False)
    store.remember_revisions(etcd, [revision])
    assert facts(node)["etcd"]["proven"] is False
    store.remember_revisions(etcd, [revision._replace(good=True)])
    store.remember_revisions(etcd, [revision])
    assert facts(node)["etcd"]["proven"] is True


# Files of etcd, and whether they are data.
# files -> (data, remains)
STORES: list[tuple[dict[str, str], tuple[bool, bool]]] = [
    ({}, (False, False)),
    ({"lost+found/x": ""}, (False, False)),
    ({"member/snap/db": "pages"}, (False, True)),
    ({"member/wal/0.tmp": "x"}, (False, False)),
    ({"member/wal/0-0.wal": "x"}, (True, False)),
    ({"member/wal/0-0.wal": "x", "member/snap/db": "pages"}, (True, False)),
    ({"member": "a file"}, (False, False)),
    ({"member.20261126T000000.000000Z/snap/db": "pages"}, (False, False)),
]


@pytest.mark.parametrize(("files", "expected"), STORES)
def test_data_of_etcd(node: pathlib.Path, files: dict[str, str], expected: tuple[bool, bool]) -> None:
    for name, text in files.items():
        write(node, f"{DATA}/{name}", text)
    etcd = facts(node)["etcd"]
    assert (etcd["data"], etcd["remains"]) == expected


def test_a_disk_that_is_not_mounted_is_not_no_data(node: pathlib.Path) -> None:
    (node / "var/lib").mkdir(parents=True)
    (node / DATA).symlink_to("/mnt/etcd")
    result = call(None, control_plane_info.main, etcd_data_dir=f"{node}/{DATA}")
    assert result["msg"] == f"{node}/{DATA}: is a symbolic link to /mnt/etcd, which is not there; mend the link"


def test_a_disk_that_fails_is_not_no_data(node: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listdir = os.listdir

    def failing(path: str) -> list[str]:
        if path.endswith("/wal"):
            raise OSError(5, "Input/output error", path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", failing)
    result = call(None, control_plane_info.main, etcd_data_dir=f"{node}/{DATA}")
    assert result["msg"] == (
        f"{node}/{DATA}: whether etcd has data there cannot be told: Input/output error; mend the disk"
    )


@pytest.mark.parametrize(
    ("text", "problem"), [("", "the manifest is empty; it must hold one v1 Pod"), ("kind: List", "apiVersion missing;")]
)
def test_a_manifest_that_cannot_be_read(node: pathlib.Path, text: str, problem: str) -> None:
    write(node, f"{MANIFESTS}/etcd.yaml", text)
    write(node, f"{MANIFESTS}/other.yaml", text)
    [(name, pod)] = facts(node)["pods"].items()
    assert (name, pod["file"], pod["flags"]) == ("etcd", f"{node}/{MANIFESTS}/etcd.yaml", {})
    assert pod["problem"].startswith(problem)


def test_two_manifests_of_one_component(node: pathlib.Path) -> None:
    for name in ("a", "etcd"):
        write(node, f"{MANIFESTS}/{name}.yaml", component("etcd", f"--name={name}"))
    pod = facts(node)["pods"]["etcd"]
    assert pod["problem"] == "a.yaml and etcd.yaml hold the same pod; remove all but one"
    assert pod["flags"] == {"name": "etcd"}


def test_what_a_killed_run_has_left_counts_as_it_will_be(node: pathlib.Path) -> None:
    write(node, f"{MANIFESTS}/.kubestatic.etcd.yaml.old", component("etcd", "--name=old"))
    assert facts(node)["pods"]["etcd"]["flags"] == {"name": "old"}


def test_a_flag_that_is_given_several_times(node: pathlib.Path) -> None:
    write(node, f"{MANIFESTS}/x.yaml", component("kube-apiserver", "--a=1", "--a=2", "--a=3"))
    assert facts(node)["pods"]["kube-apiserver"]["flags"] == {"a": ["1", "2", "3"]}


def test_the_container_that_is_the_component(node: pathlib.Path) -> None:
    pod = json.loads(component("etcd", "--name=master1"))
    pod["spec"]["containers"].insert(0, {"name": "helper", "image": "x", "command": ["helper", "--name=helper"]})
    write(node, f"{MANIFESTS}/etcd.yaml", json.dumps(pod))
    assert facts(node)["pods"]["etcd"]["flags"] == {"name": "master1"}
    pod["spec"]["containers"][1]["name"] = "database"
    write(node, f"{MANIFESTS}/etcd.yaml", json.dumps(pod))
    assert facts(node)["pods"]["etcd"]["flags"] == {"name": "helper"}


# ---- the kubelet


def test_a_kubelet_that_is_known_is_not_started(node: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(node, "kubelet", "echo Kubernetes v1.37.2")
    identity = _kubelet_process.process_identity(os.getpid())
    Store(f"{node}/store").kubelet = {"pid": os.getpid(), "process": identity, "version": "1.36.4"}
    assert facts(node)["kubelet_version"] == "1.37.2", "another program has taken its place"
    monkeypatch.setattr(
        _kubelet_process, "is_same_program", lambda pid, path: (pid, path) == (os.getpid(), f"{node}/bin/kubelet")
    )
    assert facts(node)["kubelet_version"] == "1.36.4"


# ---- encryption at rest

IDENTITY: dict[str, t.Any] = {"identity": {}}
OURS, THEIRS = "b3Vycw==", "dGhlaXJz"


def aes(*secrets: str) -> dict[str, t.Any]:
    return {"aescbc": {"keys": [{"name": f"key{at}", "secret": one} for at, one in enumerate(secrets)]}}


# resources, providers, state, number of keys, whether all are ours
CONFIGURATIONS: list[tuple[t.Any, list[dict[str, t.Any]], str, int, bool]] = [
    (["secrets"], [aes(OURS), IDENTITY], "written", 1, True),
    (["configmaps", "secrets"], [IDENTITY, aes(OURS)], "readable", 1, True),
    (["*.*"], [aes(OURS, THEIRS), IDENTITY], "written", 2, False),
    (["*."], [IDENTITY], "none", 0, True),
    (["secrets"], [], "none", 0, True),
    (["configmaps"], [aes(THEIRS)], "none", 0, True),
    ([{}, "secrets"], [aes(OURS)], "written", 1, True),
    (None, [aes(OURS)], "none", 0, True),
    (["secrets"], [{"kms": {"name": "vault", "endpoint": "unix:///x"}}, IDENTITY], "written", 1, False),
]


@pytest.mark.parametrize(("resources", "providers", "state", "count", "ours"), CONFIGURATIONS)
def test_encryption(
    node: pathlib.Path, resources: t.Any, providers: list[dict[str, t.Any]], state: str, count: int, ours: bool
) -> None:
    write(node, f"{KUBERNETES}/pki/encryption.key", f"{OURS}\n")
    blocks = [{"resources": ["events"], "providers": [IDENTITY]}, {"resources": resources, "providers": providers}]
    write(node, f"{KUBERNETES}/x.yaml", yaml.safe_dump({"kind": "EncryptionConfiguration", "resources": blocks}))
    flag = f"--encryption-provider-config={node}/{KUBERNETES}/x.yaml"
    write(node, f"{MANIFESTS}/x.yaml", component("kube-apiserver", flag))
    result = call(None, control_plane_info.main, manifest_dir=f"{node}/{MANIFESTS}")
    found = result["facts"]["encryption"]
    assert (found["state"], len(found["keys_in_use"])) == (state, count)
    assert (set(found["keys_in_use"]) <= {found["key"]}) is ours
    assert bool(found["trouble"]) is (state == "readable"), "etcd is asked in between only"
    result.pop("texts")
    assert not any(one in json.dumps(result) for one in (OURS, THEIRS))


@pytest.mark.parametrize("text", [None, "", "{", "[]"])
def test_a_configuration_of_encryption_that_cannot_be_read(node: pathlib.Path, text: str | None) -> None:
    if text is not None:
        write(node, "x.yaml", text)
    write(node, f"{MANIFESTS}/x.yaml", component("kube-apiserver", f"--encryption-provider-config={node}/x.yaml"))
    assert facts(node)["encryption"] == {**NO_STORED, "state": "", "keys_in_use": [], "key": ""}


def test_an_api_server_whose_manifest_is_broken_may_encrypt(node: pathlib.Path) -> None:
    write(node, f"{MANIFESTS}/kube-apiserver.yaml", "{")
    assert facts(node)["encryption"]["state"] == ""


def readable(node: pathlib.Path, *flags: str) -> None:
    """An API server that reads what is encrypted."""
    blocks = [{"resources": ["secrets"], "providers": [IDENTITY, aes(OURS)]}]
    write(node, "x.yaml", yaml.safe_dump({"resources": blocks}))
    words = (f"--encryption-provider-config={node}/x.yaml", *flags)
    write(node, f"{MANIFESTS}/x.yaml", component("kube-apiserver", *words))


@pytest.mark.parametrize(
    ("flags", "directory"),
    [
        ((), "/registry/secrets"),
        (("--etcd-prefix=/a", "--etcd-prefix", "b/c/"), "/b/c/secrets"),
        (("--etcd-prefix=/",), "/secrets"),
    ],
)
def test_secrets_that_are_stored_encrypted(
    node: pathlib.Path, cluster: type[Cluster], flags: tuple[str, ...], directory: str
) -> None:
    readable(node, *flags)
    cluster.stored = {directory: ["default/a", "default/b"]}
    found = facts(node)["encryption"]
    assert (found["state"], found["stored"], found["example"], found["trouble"]) == ("readable", 2, "default/a", "")
    cluster.stored = {directory: []}
    found = facts(node)["encryption"]
    assert (found["stored"], found["example"], found["trouble"]) == (0, "", "")


def test_whether_secrets_are_stored_encrypted_cannot_be_told(node: pathlib.Path, cluster: type[Cluster]) -> None:
    readable(node)
    cluster.trouble = "https://127.0.0.1:2379 says: request timed out (503)"
    found = facts(node)["encryption"]
    assert (found["state"], found["stored"], found["trouble"]) == ("readable", None, cluster.trouble)
