# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests in, the files of the node that their pods read out; and what becomes of a change where these differ."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import typing as t

import pytest
import yaml
from ansible_collections.kubestatic.node.plugins.module_utils import _manifest, _plan, _pod_options, _reads
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.module_utils._plan import Change

PKI = "/etc/kubernetes/pki"
Mount = t.Tuple[str, str, bool]


def container(*mounts: Mount, command: t.Sequence[str] = (), **more: t.Any) -> dict[str, t.Any]:
    """A container with mounts of (volume, path, read only)."""
    listed = [{"name": name, "mountPath": path, "readOnly": read_only} for name, path, read_only in mounts]
    return {"name": "main", "image": "a", "command": list(command), "volumeMounts": listed, **more}


def pod(volumes: dict[str, t.Any], *containers: dict[str, t.Any], init: t.Sequence[t.Any] = ()) -> _manifest.Pod:
    """A pod with volumes of hostPath; a volume that is no text is taken as it is."""
    listed = [
        {"name": name, **({"hostPath": {"path": source}} if isinstance(source, str) else source)}
        for name, source in volumes.items()
    ]
    spec = {"volumes": listed, "containers": list(containers), "initContainers": list(init)}
    return _manifest.parse(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec}))


# ---- the components of a control plane, as kubeadm writes them


def test_an_api_server() -> None:
    command = [
        "kube-apiserver",
        "--advertise-address=10.0.0.1",
        "--audit-log-path=/var/lib/audit/audit.log",
        "--audit-log-maxage=30",
        "--audit-policy-file=/etc/kubernetes/audit/policy.yaml",
        f"--client-ca-file={PKI}/ca.crt",
        f"--etcd-cafile={PKI}/etcd/ca.crt",
        "--etcd-servers=https://127.0.0.1:2379",
        f"--service-account-key-file={PKI}/sa.pub",
        f"--service-account-key-file={PKI}/sa-old.pub",
        f"--tls-sni-cert-key={PKI}/front.crt,{PKI}/front.key:*.example.org,example.org",
        "--service-cluster-ip-range=10.96.0.0/12",
        "--runtime-config=/",
    ]
    one = pod(
        {"certs": PKI, "ca": "/etc/ssl/certs", "policy": "/etc/kubernetes/audit", "audit": "/var/lib/audit"},
        container(
            ("certs", PKI, True),
            ("ca", "/etc/ssl/certs", True),
            ("policy", "/etc/kubernetes/audit", True),
            ("audit", "/var/lib/audit", False),
            command=command,
        ),
    )
    files = {f"{PKI}/{name}" for name in ("ca.crt", "etcd/ca.crt", "sa.pub", "sa-old.pub", "front.crt", "front.key")}
    # The mounts themselves may be files, too; these are directories and have no digest.
    mounts = {PKI, "/etc/ssl/certs", "/etc/kubernetes/audit"}
    assert _reads.named(one) == {*files, *mounts, "/etc/kubernetes/audit/policy.yaml"}


def test_etcd_with_certificates_in_a_mount_that_is_not_read_only() -> None:
    command = [
        "etcd",
        "--data-dir=/var/lib/etcd",
        "--log-outputs=/var/lib/etcd/etcd.log",
        f"--cert-file={PKI}/etcd/server.crt",
        "--trusted-ca-file",
        f"{PKI}/etcd/ca.crt",
        "--listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379",
    ]
    mounts = [("data", "/var/lib/etcd", False), ("certs", f"{PKI}/etcd", False)]
    one = pod({"data": "/var/lib/etcd", "certs": f"{PKI}/etcd"}, container(*mounts, command=command))
    assert _reads.named(one) == {f"{PKI}/etcd/server.crt", f"{PKI}/etcd/ca.crt"}


def test_a_controller_manager_reads_what_its_kubeconfig_names(tmp_path: pathlib.Path) -> None:
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "a", "cluster": {"server": "https://a", "certificate-authority": f"{PKI}/ca.crt"}}],
        "users": [
            {"name": "a", "user": {"client-certificate": "../pki/cm.crt", "client-key": "cm.key", "tokenFile": "/t/o"}},
            {"name": "b", "user": {"client-certificate-data": "aGVsbG8="}},
        ],
    }
    (tmp_path / "cm.conf").write_text(yaml.safe_dump(kubeconfig))
    one = pod(
        {"certs": "/srv/pki", "conf": str(tmp_path), "token": {"emptyDir": {}}},
        container(
            ("certs", PKI, True),
            ("conf", "/etc/kubernetes/conf", True),
            ("token", "/t", True),
            command=["kube-controller-manager", "--kubeconfig=/etc/kubernetes/conf/cm.conf"],
        ),
    )
    found = _reads.named(one) - {"/srv/pki", str(tmp_path)}
    assert found == {f"{tmp_path}/cm.conf", "/srv/pki/ca.crt", "/srv/pki/cm.crt", f"{tmp_path}/cm.key"}


def test_a_proxy_reads_its_mounted_file() -> None:
    mount = ("cfg", "/usr/local/etc/haproxy/haproxy.cfg", True)
    one = pod({"cfg": {"hostPath": {"path": "/etc/haproxy/haproxy.cfg", "type": "File"}}}, container(mount))
    assert _reads.named(one) == {"/etc/haproxy/haproxy.cfg"}


# ---- single decisions: one container, `conf` is /srv on the node and /conf in the container

CASES: list[tuple[str, dict[str, t.Any], set[str]]] = [
    ("--config=/conf/a", {}, {"/srv/a"}),
    ("--config /conf/a", {}, {"/srv/a"}),
    ("-config=/conf/a", {}, {"/srv/a"}),
    ("--config=/conf/../conf/./a", {}, {"/srv/a"}),
    ("--config=/conf/../etc/a", {}, set()),
    ("--config=/configuration/a", {}, set()),
    ("--config=conf/a", {}, set()),
    ("--config=$(CONFIG)", {}, set()),
    ("--config", {}, set()),
    ("run /conf/a", {}, set()),
    ("--log-file=/conf/a", {}, set()),
    ("--audit-log-path=/conf/a", {}, set()),
    ("--write-config-to=/conf/a", {}, set()),
    ("--log-outputs=stderr,/conf/a", {}, set()),
    ("-logFile=/conf/a", {}, set()),
    ("--pidfile /conf/a", {}, set()),
    ("--logging-config=/conf/a", {}, {"/srv/a"}),
    ("--tracing-config-file=/conf/a", {}, {"/srv/a"}),
    # A file that is written somewhere is written everywhere.
    ("--config=/conf/a --log-file=/conf/a", {}, set()),
    # One letter says nothing.
    ("-f /conf/a", {}, set()),
    ("-f /conf/a", {"readOnly": True}, {"/srv", "/srv/a"}),
    ("--config=/conf/a", {"subPath": "deep/er"}, {"/srv/deep/er/a"}),
    ("--config=/conf/a", {"subPathExpr": "$(A)"}, set()),
    ("--config=/conf/a", {"mountPath": "/"}, {"/srv/conf/a"}),
    ("--config=/conf/a", {"mountPath": "/conf/a"}, {"/srv"}),
    ("--config=/conf/a", {"mountPath": 7}, set()),
    ("", {"readOnly": True}, {"/srv"}),
    ("", {"readOnly": True, "subPath": "a"}, {"/srv/a"}),
    ("", {"readOnly": "true"}, set()),
]


@pytest.mark.parametrize(("line", "mount", "expected"), CASES)
@pytest.mark.parametrize("init", [False, True], ids=["main", "init"])
@pytest.mark.parametrize("place", ["command", "args"])
def test_cases(line: str, mount: dict[str, t.Any], expected: set[str], init: bool, place: str) -> None:
    one = {
        "name": "a",
        "image": "a",
        place: line.split(),
        "volumeMounts": [{"name": "c", "mountPath": "/conf", **mount}],
    }
    found = pod({"c": "/srv"}, *([] if init else [one]), init=[one] if init else [])
    assert _reads.named(found) == expected


def test_a_deeper_mount_hides_a_file() -> None:
    mounts = [("c", "/conf", False), ("e", "/conf/sub", False), ("f", "/conf/sub/host", False)]
    command = ["--one=/conf/sub/x", "--two=/conf/y", "--three=/conf/sub/host/z"]
    one = pod({"c": "/srv", "e": {"emptyDir": {}}, "f": "/host"}, container(*mounts, command=command))
    assert _reads.named(one) == {"/srv/y", "/host/z"}


@pytest.mark.parametrize("path", ["/var/log/app.log", "/proc/meminfo", "/sys/class/net/eth0/address"])
def test_what_changes_by_itself_is_left_out(path: str) -> None:
    one = pod({"c": path}, container(("c", "/conf", True), command=["--config=/conf"]))
    assert _reads.named(one) == set()


@pytest.mark.parametrize("init", [False, True], ids=["sidecar", "init"])
def test_what_another_container_may_write_is_left_out(init: bool) -> None:
    reader = container(("c", "/conf", True), ("f", "/file", True), command=["--config=/conf/a"])
    other = container(("c", "/out", False), ("f", "/out.txt", False))
    volumes = {"c": "/srv", "f": "/etc/file"}
    one = pod(volumes, reader, *([] if init else [other]), init=[other] if init else [])
    assert _reads.named(one) == set()
    assert _reads.named(pod(volumes, reader)) == {"/srv", "/srv/a", "/etc/file"}


@pytest.mark.parametrize(
    "spec",
    [
        {"volumes": "x"},
        {"volumes": [{"hostPath": "x"}], "containers": [{"volumeMounts": [{}]}]},
        {"containers": [{"command": "--a=/b", "args": [1, None, "-"], "volumeMounts": 1}]},
    ],
)
def test_manifests_of_any_quality(spec: dict[str, t.Any]) -> None:
    data = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec}
    assert _reads.named(_manifest.parse(json.dumps(data))) == set()


@pytest.mark.parametrize(
    "text", [b"clusters: [", b"clusters: 1", b"clusters: [1, {cluster: 2}]", b"\xffclusters", b"- 1"]
)
def test_what_is_no_kubeconfig(tmp_path: pathlib.Path, text: bytes) -> None:
    (tmp_path / "a").write_bytes(text)
    one = pod({"c": str(tmp_path)}, container(("c", "/conf", False), command=["--config=/conf/a"]))
    assert _reads.named(one) == {f"{tmp_path}/a"}


# ---- digests


def test_digests(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("secret")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    names = [str(tmp_path / name) for name in ("a", "link", "loop", "directory", "fifo", "none")]
    content = hashlib.sha256(b"secret").hexdigest()
    assert _reads.digests(names) == {names[0]: content, names[1]: content}

    monkeypatch.setattr(_reads, "_WHOLE_BYTES", 5)
    first = _reads.digests(names[:1])
    os.utime(names[0], (1, 1))
    assert first[names[0]] != content and _reads.digests(names[:1]) != first


# ---- what becomes of a change


@pytest.fixture(name="files")
def _files(tmp_path: pathlib.Path) -> pathlib.Path:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    return tmp_path


def change(action: str, files: pathlib.Path, *, restart_on: t.Any = "auto", rewritten: bool = False) -> Change:
    one = pod({"c": str(files)}, container(("c", "/conf", True), command=["--one=/conf/a", "--two=/conf/b"]))
    defaults = {**_pod_options.POD_OPTIONS, **_pod_options.SHARED_OPTIONS}
    options = {name: option.get("default") for name, option in defaults.items()}
    wanted = _pod_options.wanted_pod({**options, "content": one.text, "restart_on": restart_on})
    old = None if action == _plan.PLACE else one._replace(text=one.text + "\n") if rewritten else one
    return Change(wanted, action, "a.yaml", old=old, new=one, old_text=old.text if old else "")


@pytest.mark.parametrize("restart_on", ["auto", "list"])
@pytest.mark.parametrize("action", [_plan.KEEP, _plan.REWRITE, _plan.PLACE, _plan.CHANGE, _plan.RESTART])
def test_a_file_that_differs(files: pathlib.Path, action: str, restart_on: str) -> None:
    asked = [f"{files}/a", f"{files}/b"] if restart_on == "list" else restart_on
    given = change(action, files, restart_on=asked, rewritten=action == _plan.REWRITE)
    now = _reads.digests([f"{files}/a", f"{files}/b"])
    first, warning = _reads.judged(given, known={})
    assert (first, warning) == (given._replace(baseline=now), ""), "the first sight restarts nothing"
    assert _reads.judged(given, known=now)[0] == first
    judged, warning = _reads.judged(given, known={**now, f"{files}/b": "old", "/not/read/any/more": "x"})
    assert (judged.baseline, warning) == (now, "")
    if action in (_plan.KEEP, _plan.REWRITE):
        assert (judged.action, judged.changed_files) == (_plan.RESTART, (f"{files}/b",))
        assert judged.writes is (action == _plan.REWRITE)
        assert judged.cause == f": {files}/b has changed" + ("; the text is replaced, too" if judged.writes else "")
    else:
        assert (judged.action, judged.changed_files, judged.cause) == (action, (), "")


def test_a_file_that_is_gone_is_warned_of_and_restarts_nothing(files: pathlib.Path) -> None:
    known = {f"{files}/a": "old", f"{files}/b": "old"}
    os.unlink(files / "b")
    judged, warning = _reads.judged(change(_plan.KEEP, files), known=known)
    assert (judged.action, judged.changed_files) == (_plan.KEEP, ())
    assert warning == (
        f"the pod reads {files}/b and no such file is there any more; it is not restarted, although {files}/a has changed, as it"
        " may not start again: put the file back, or take it out of the manifest"
    )
    judged, warning = _reads.judged(change(_plan.CHANGE, files), known=known)
    assert (set(judged.baseline), warning) == ({f"{files}/a"}, ""), "the proof of the change tells whether it starts"


@pytest.mark.parametrize(
    ("name", "what"), [("none", "is no file on this node; mend the path"), ("", "is a directory; name the files in it")]
)
@pytest.mark.parametrize("action", [_plan.KEEP, _plan.PLACE, _plan.RESTART])
def test_a_list_must_be_files(files: pathlib.Path, action: str, name: str, what: str) -> None:
    path = os.path.normpath(files / name)
    with pytest.raises(KubestaticError) as failure:
        _reads.judged(change(action, files, restart_on=[f"{files}/a", path]), known={})
    assert str(failure.value) == f"pod default/a: restart_on names {path}, which {what}"


def test_without_the_option_a_start_renews_what_is_known(files: pathlib.Path) -> None:
    known = {f"{files}/a": "old", "/gone": "old"}
    kept = change(_plan.KEEP, files, restart_on=[])
    assert _reads.judged(kept, known=known) == (kept, "")
    judged, warning = _reads.judged(change(_plan.RESTART, files, restart_on=[]), known=known)
    assert (judged.baseline, judged.changed_files, warning) == (_reads.digests([f"{files}/a"]), (), "")
