# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three bare nodes become a control plane: refused where they should not, made, used, and kept. In this order."""

from __future__ import annotations

import contextlib
import datetime
import functools
import itertools
import json
import operator
import os
import shutil
import signal
import subprocess
import typing as t

import pytest
import yaml
from ansible_collections.kubestatic.node.plugins.plugin_utils import _pki
from cluster import COMPONENTS, MANIFESTS, NODES, Cluster, is_ready, make_bare, nodes
from conftest import INVENTORY, Node, _nodes, wait_for

if t.TYPE_CHECKING:
    from pathlib import Path

# Without their API server the others end themselves once they are leader no more, and are started again.
STEADY = ("etcd", "kube-apiserver")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Cluster]:
    """The masters before anything is configured."""
    make_bare()
    found = Cluster(_nodes(), tmp_path_factory.mktemp("certificates"))
    yield found
    for node in found.masters:
        node.disconnect()


@pytest.fixture(scope="module")
def cluster(bare: Cluster) -> Cluster:
    """The control plane that runs."""
    bare.good()
    bare.require_well()
    return bare


@contextlib.contextmanager
def undone(node: Node, *, by: str) -> t.Iterator[None]:
    try:
        yield
    finally:
        node.sh(by)


# ---- before the first run


def test_a_master_that_is_not_reached_keeps_all_others_untouched(bare: Cluster, tmp_path: Path) -> None:
    # A connection that is kept would reach it through any port.
    unreachable = {"ansible_port": 1, "ansible_ssh_args": "-o ControlPath=none"}
    other = tmp_path / "inventory.yml"
    other.write_text(yaml.safe_dump({"masters": {"hosts": {"node3": unreachable}}}))
    assert "UNREACHABLE" in bare.refused(f"--inventory={other}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--limit=node1,node2"], "node3"),
        (["--forks=2"], "forks"),
        (["--extra-vars=control_plane_kubernetes_version=1.33.0"], "1.33.0"),
        (['--extra-vars={"control_plane_kubelet_settings": {"failSwapOn": true}}'], None),
        (["--extra-vars=control_plane_address=10.213.47.11"], "node1 and node2 have the address 10.213.47.11"),
    ],
    ids=["limit", "forks", "version", "swap", "addresses"],
)
def test_a_first_run_that_cannot_work_touches_nothing(bare: Cluster, arguments: list[str], message: str | None) -> None:
    swap = "Filename Type Size Used Priority\\n/dev/sda2 partition 1048572 0 -2\\n"
    if message is None:
        node = bare.masters[1]
        node.sh(f"printf '{swap}' > /run/swaps && mount --bind /run/swaps /proc/swaps")
        with undone(node, by="umount /proc/swaps"):
            told = bare.refused(*arguments)
        assert "node2" in told and "/dev/sda2" in told
        return
    assert message in bare.refused(*arguments)


def test_a_port_that_is_taken_is_named_with_its_holder(bare: Cluster) -> None:
    node = bare.masters[1]
    node.sh("systemd-run --unit=squatter python3 -m http.server 6443")
    with undone(node, by="systemctl stop squatter"):
        wait_for(lambda: node.sh("curl -s -o /dev/null http://127.0.0.1:6443/", check=False) == "", "it listens")
        told = bare.refused()
    assert "6443" in told and "python3" in told and "node2" in told


def test_leftovers_of_another_cluster_are_refused(bare: Cluster) -> None:
    node = bare.masters[2]
    node.sh("mkdir -p /var/lib/etcd/member/wal /var/lib/etcd/member/snap && touch /var/lib/etcd/member/wal/0.wal")
    node.sh("head -c 20480 /dev/zero > /var/lib/etcd/member/snap/db")
    with undone(node, by="rm -rf /var/lib/etcd"):
        told = bare.refused()
    assert "node3" in told and "/var/lib/etcd" in told


def test_a_ca_that_has_expired_is_refused(bare: Cluster, tmp_path: Path) -> None:
    with_authority(tmp_path, days_old=31)
    told = bare.refused(control_plane_certificates_directory=str(tmp_path))
    assert f"{tmp_path}/pki/ca.crt: expired on" in told


def with_authority(directory: Path, *, days_old: int) -> None:
    """Put a CA of the user's own where the controller keeps certificates. It is valid for 30 days."""
    key = _pki.new_key(_pki.ECDSA_P256)
    period = _pki.Period(datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days_old), days=30)
    certificate = _pki.new_authority("kubernetes", key, period)
    (directory / "pki").mkdir(mode=0o700)
    (directory / "pki" / "ca.key").touch(mode=0o600)
    (directory / "pki" / "ca.key").write_text(_pki.key_text(key))
    (directory / "pki" / "ca.crt").write_text(_pki.certificate_text([certificate]))


def test_an_image_that_is_not_there_is_named_before_any_pod_starts(bare: Cluster) -> None:
    """The run that follows finishes what this one has begun."""
    played = bare.play(control_plane_images={"kube-scheduler": "registry.k8s.io/kube-scheduler:v0.0.0"})
    assert played.code != 0
    assert "registry.k8s.io/kube-scheduler:v0.0.0 cannot be pulled" in played.text
    assert not any(bare.containers().values())


# ---- the control plane


def test_the_first_run_makes_a_control_plane_and_the_second_changes_nothing(cluster: Cluster) -> None:
    before = cluster.containers()
    assert all(len(found) == len(COMPONENTS) for found in before.values())
    played = cluster.good()
    assert not played.changed, played.output
    assert cluster.containers() == before
    assert not cluster.good("--check", "--diff").changed


def test_nodes_and_pods_are_seen_through_the_api(cluster: Cluster) -> None:
    names = [node.name for node in cluster.masters]
    found = cluster.get("nodes")["items"]
    assert [one["metadata"]["name"] for one in found] == names
    for one in found:
        assert "node-role.kubernetes.io/control-plane" in one["metadata"]["labels"]
        assert {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"} in one["spec"]["taints"]
    mirrors = {one["metadata"]["name"] for one in cluster.get("pods --namespace=kube-system")["items"]}
    assert mirrors >= {f"{component}-{name}" for component in COMPONENTS for name in names}


def test_files_are_for_root_alone(cluster: Cluster) -> None:
    for node in cluster.masters:
        places = "/etc/kubernetes /var/lib/etcd /var/log/kubernetes"
        open_ones = node.sh(
            f"find {places} \\( -perm /077 -o ! -user root \\) ! -name '*.crt' ! -name '*.pub' -printf '%m %p\\n'"
        )
        assert open_ones == ""


def test_manifests_are_those_of_kubeadm_and_what_the_role_adds(cluster: Cluster) -> None:
    node = cluster.masters[0]
    version = node.sh("kubeadm version --output=short").strip()
    config = [
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": node.address},
            "nodeRegistration": {"name": node.name},
        },
        {"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration", "kubernetesVersion": version},
    ]
    node.sh("rm -rf /run/dry && mkdir /run/dry && cat > /run/dry.yaml", stdin=yaml.safe_dump_all(config))
    for phase in ("control-plane all", "etcd local"):
        node.sh(f"KUBEADM_INIT_DRYRUN_DIR=/run/dry kubeadm init phase {phase} --config=/run/dry.yaml --dry-run")
    added = {
        "etcd": {"initial-cluster", "initial-cluster-state", "tls-min-version"},
        "kube-scheduler": {"profiling", "tls-min-version"},
        "kube-controller-manager": {"profiling", "tls-min-version"},
        "kube-apiserver": {
            *("audit-log-maxage", "audit-log-maxbackup", "audit-log-maxsize", "audit-log-path", "audit-policy-file"),
            *("authentication-config", "encryption-provider-config", "profiling", "shutdown-send-retry-after"),
            *("shutdown-watch-termination-grace-period", "tls-min-version"),
        },
    }
    for component in COMPONENTS:
        theirs, ours = (yaml.safe_load(node.sh(f"cat {where}/{component}.yaml")) for where in ("/run/dry", MANIFESTS))
        flags = [_flags(pod) for pod in (theirs, ours)]
        assert {name for name in flags[0] | flags[1] if flags[0].get(name) != flags[1].get(name)} == added[component]
        assert _plain(ours) == _plain(theirs), component


def _flags(pod: dict[str, t.Any]) -> dict[str, str]:
    command = pod["spec"]["containers"][0]["command"]
    return {word[2:].partition("=")[0]: word.partition("=")[2] for word in command[1:]}


def _plain(pod: dict[str, t.Any]) -> dict[str, t.Any]:
    """A manifest without its flags, what only one of the two has mounted, and what is a default."""
    container = pod["spec"]["containers"][0]
    container["command"] = container["command"][:1]
    if "readinessProbe" in container:
        container["readinessProbe"].setdefault("initialDelaySeconds", 0)
    # The third one is of kubeadm before 1.36, see the role's README.
    own = ("audit", "kube-apiserver", "flexvolume-dir")
    mounts = [{**one, "readOnly": one["name"] != "etcd-data"} for one in container["volumeMounts"]]
    container["volumeMounts"] = sorted(
        (one for one in mounts if one["name"] not in own), key=operator.itemgetter("name")
    )
    pod["spec"]["volumes"] = [one for one in pod["spec"]["volumes"] if one["name"] not in own]
    pod.pop("status", None)
    return pod


def test_secrets_are_encrypted_and_requests_without_credentials_refused(cluster: Cluster) -> None:
    cluster.kubectl("create secret generic quiet --from-literal=word=abracadabra")
    stored = cluster.etcdctl("get /registry/secrets/default/quiet --print-value-only", on=1)
    assert "k8s:enc:secretbox:v1:key1:" in stored and "abracadabra" not in stored
    node = cluster.masters[1]
    for path, code in (
        ("/readyz", "200"),
        ("/api/v1/namespaces/kube-public/configmaps/cluster-info", "200"),
        ("/version", "401"),
        ("/api/v1/nodes", "401"),
    ):
        assert node.sh(f"curl -sk -o /dev/null -w '%{{http_code}}' https://{node.address}:6443{path}") == code, path
    assert node.sh(f"curl -sk -o /dev/null -w '%{{http_code}}' https://{node.address}:10250/pods") == "401"
    log = node.sh("cat /var/log/kubernetes/audit/audit.log")
    assert '"resource":"secrets"' in log + cluster.masters[0].sh("cat /var/log/kubernetes/audit/audit.log")
    assert "abracadabra" not in log


def test_kubeadm_works_on_it(cluster: Cluster) -> None:
    """It tells when certificates expire, adds proxy and DNS, and has a worker join."""
    told = cluster.masters[0].sh("kubeadm certs check-expiration")
    assert "MISSING" not in told and "apiserver-kubelet-client" in told
    node = cluster.masters[0]
    configuration = cluster.get("configmap kubeadm-config --namespace=kube-system")["data"]["ClusterConfiguration"]
    node.sh("cat > /run/cluster.yaml", stdin=configuration)
    node.sh("KUBECONFIG=/etc/kubernetes/admin.conf kubeadm init phase addon all --config=/run/cluster.yaml")
    assert cluster.get("daemonset kube-proxy --namespace=kube-system")["metadata"]["name"] == "kube-proxy"
    nodes("up", "--control-plane", "--bare", "node4")
    worker = Node("node4", yaml.safe_load(INVENTORY.read_text())["workers"]["hosts"]["node4"]["ansible_host"])
    try:
        join = node.sh("kubeadm token create --print-join-command").strip().splitlines()[-1]
        worker.sh(f"{join} --ignore-preflight-errors=all")
        get = "get node node4 --ignore-not-found --output=name"
        wait_for(lambda: cluster.kubectl(get).strip() == "node/node4", "the worker is there")
    finally:
        worker.disconnect()
        nodes("down", "node4")
        cluster.kubectl("delete node node4", check=False)


# ---- what static pods are known for


@pytest.fixture(scope="module")
def mirrored(cluster: Cluster) -> list[str]:
    """The scheduler's container on the first master, whose mirror pod is deleted; that takes a while to come back."""
    [node, *_others] = cluster.masters
    found = node.running("kube-scheduler")
    cluster.kubectl(f"delete pod kube-scheduler-{node.name} --namespace=kube-system --force --grace-period=0")
    return found


def test_deleting_a_mirror_pod_does_not_stop_the_pod(cluster: Cluster, mirrored: list[str]) -> None:
    # The kubelet looks at the pod within a minute and a half (syncFrequency and its jitter), and makes its mirror again: see below.
    assert cluster.masters[0].running("kube-scheduler") == mirrored


def test_absent_stops_it_and_the_next_run_has_it_again(cluster: Cluster) -> None:
    node = cluster.masters[2]
    gone = node.module("static_pod", name="kube-scheduler", namespace="kube-system", state="absent")
    assert gone["changed"] and not node.running("kube-scheduler")
    assert cluster.good().changed == [node.name]
    cluster.require_well()
    assert len(node.running("kube-scheduler")) == 1


def test_a_container_that_dies_comes_back(cluster: Cluster) -> None:
    node = cluster.masters[1]
    (old,) = node.running("kube-controller-manager")
    node.sh(f"kill -KILL $(crictl inspect --output go-template --template '{{{{.info.pid}}}}' {old})")
    wait_for(lambda: node.running("kube-controller-manager") not in ([], [old]), "the container is back")


def test_a_mirror_pod_that_was_deleted_comes_back(cluster: Cluster, mirrored: list[str]) -> None:
    node = cluster.masters[0]
    get = f"get pod kube-scheduler-{node.name} --namespace=kube-system --ignore-not-found"
    wait_for(lambda: cluster.kubectl(get), "the kubelet has made the mirror pod again", seconds=120)
    assert node.running("kube-scheduler") == mirrored


def test_pods_run_on_and_modules_work_with_every_api_server_down(cluster: Cluster) -> None:
    # Scheduler and controller manager end by themselves when they cannot renew their lease.
    before = cluster.containers("etcd")
    for node in cluster.masters:
        gone = node.module("static_pod", name="kube-apiserver", namespace="kube-system", state="absent")
        assert gone["changed"], gone
    placed = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "main", "image": "nginx", "imagePullPolicy": "IfNotPresent"}]},
    }
    node = cluster.masters[0]
    assert node.module("static_pod", definition=placed)["changed"]
    assert cluster.containers("etcd") == before
    assert node.module("static_pod", name="web", state="absent")["changed"]
    cluster.good()
    cluster.require_well()


# ---- changes and faults


def test_a_changed_flag_reaches_one_master_after_the_other(cluster: Cluster) -> None:
    with writing(cluster) as tries:
        played = cluster.good(control_plane_kube_apiserver_flags={"v": 1})
    assert sorted(played.changed) == [node.name for node in cluster.masters]
    cluster.require_well()
    acknowledged = [one for one in tries() if one["ok"]]
    stored = set(cluster.get("configmap written")["data"])
    assert len(acknowledged) > 100
    assert {one["key"] for one in acknowledged} <= stored
    # A single API server takes longer to be ready again, so there was another one all the time.
    assert max(later["ended"] - one["ended"] for one, later in itertools.pairwise(acknowledged)) < 4


@contextlib.contextmanager
def writing(cluster: Cluster) -> t.Iterator[t.Callable[[], list[dict[str, t.Any]]]]:
    """A client that writes all the time, through whichever API server acknowledges it; what it noted."""
    node = cluster.masters[0]
    node.sh("cat > /run/api_client.py", stdin=(NODES / "api_client.py").read_text())
    addresses = " ".join(one.address for one in cluster.masters)
    node.sh(f"systemd-run --unit=writer python3 /run/api_client.py write /run/written {addresses}")
    try:
        yield lambda: [json.loads(line) for line in node.sh("cat /run/written").splitlines()]
    finally:
        node.sh("systemctl stop writer")


def test_a_kubeconfig_that_is_made_again_restarts_its_pod_alone(cluster: Cluster) -> None:
    before = {name: cluster.containers(name)["node2"] for name in COMPONENTS}
    (cluster.certificates / "masters/node2/scheduler.conf").unlink()
    cluster.masters[1].sh("rm /etc/kubernetes/scheduler.conf")
    played = cluster.good(control_plane_kube_apiserver_flags={"v": 1})
    # What changes on the controller is said for the first master.
    assert played.changed == ["node1", "node2"]
    after = {name: cluster.containers(name)["node2"] for name in COMPONENTS}
    assert after["kube-scheduler"] and after["kube-scheduler"] != before["kube-scheduler"]
    assert [after[name] for name in STEADY] == [before[name] for name in STEADY]


def test_encryption_goes_off_and_on_again_step_by_step(cluster: Cluster) -> None:
    """With API servers that check the certificates of kubelets meanwhile."""
    steady: dict[str, t.Any] = {"control_plane_kube_apiserver_flags": {"v": 1}, "control_plane_verify_kubelets": True}
    for name in ("stepwise", "untouched"):
        cluster.kubectl(f"create secret generic {name} --from-literal=word=abracadabra")

    def step(state: str, *, stored: str) -> None:
        cluster.good(**steady, control_plane_encryption=state)
        cluster.require_well()
        cluster.kubectl("get --raw /api/v1/nodes/node3/proxy/healthz")
        cluster.kubectl(f"label secret stepwise --overwrite step={state}")
        assert stored in cluster.etcdctl("get /registry/secrets/default/stepwise --print-value-only")

    step("readable", stored="abracadabra")
    assert "etcd holds" in cluster.refused(**steady, control_plane_encryption="none")
    secrets = cluster.kubectl("get secrets --all-namespaces --output=json")
    cluster.kubectl("replace --filename=-", stdin=secrets)
    step("none", stored="abracadabra")
    assert "readable" in cluster.refused(**steady, control_plane_encryption="written")
    step("readable", stored="abracadabra")
    cluster.good(control_plane_kube_apiserver_flags={"v": 1})
    cluster.kubectl("replace --filename=-", stdin=secrets, check=False)
    cluster.kubectl("annotate secret stepwise written=yes")
    assert "k8s:enc:secretbox:v1:key1:" in cluster.etcdctl("get /registry/secrets/default/stepwise --print-value-only")


def test_a_bad_flag_reaches_one_master_alone_which_goes_back(cluster: Cluster) -> None:
    before, traces = cluster.containers(*STEADY), cluster.traces()
    played = cluster.play(control_plane_kube_apiserver_flags={"v": 1, "no-such-flag": "x"})
    assert played.code != 0
    assert "no-such-flag" in played.text and "is in force again and its pod runs" in played.text
    cluster.require_well()
    after = cluster.containers(*STEADY)
    assert [name for name in before if before[name] != after[name]] == ["node1"]
    assert cluster.traces()[1:] == traces[1:]
    cluster.good(control_plane_kube_apiserver_flags={"v": 1})


def test_a_bad_audit_policy_reaches_one_master_alone_which_goes_back(cluster: Cluster) -> None:
    """Its file is on all masters, and no API server reads it, whenever it is started again."""
    before, traces = cluster.containers(*STEADY), cluster.traces()
    bad = [{"level": "NoSuchLevel"}]
    played = cluster.play(control_plane_kube_apiserver_flags={"v": 1}, control_plane_audit_rules=bad)
    assert played.code != 0
    assert "NoSuchLevel" in played.text and "is in force again and its pod runs" in played.text
    cluster.require_well()
    after = cluster.containers(*STEADY)
    assert [name for name in before if before[name] != after[name]] == ["node1"]
    for node, old, new in zip(cluster.masters, traces, cluster.traces(), strict=True):
        # Manifests and the files that they name are as they were.
        [line] = set(old.splitlines()) ^ set(new.splitlines())
        path = line.split()[-1]
        assert path.startswith("/etc/kubernetes/kube-apiserver/audit-policy-")
        policy = _flags(yaml.safe_load(node.sh(f"cat {MANIFESTS}/kube-apiserver.yaml")))["audit-policy-file"]
        [container] = node.running("kube-apiserver")
        pid = node.crictl(f"inspect {container}")["info"]["pid"]
        assert policy != path and f"--audit-policy-file={policy}" in node.sh(f"cat /proc/{pid}/cmdline").split("\0")
        # A master that is made anew does not get it again.
        node.sh(f"rm {path}")
    assert not cluster.good(control_plane_kube_apiserver_flags={"v": 1}).changed


def test_a_master_that_was_off_is_as_it_was(cluster: Cluster) -> None:
    cluster.masters[1].lose_power()
    cluster.require_well()
    assert not cluster.good(control_plane_kube_apiserver_flags={"v": 1}).changed


def test_certificates_come_from_the_masters_where_the_controller_has_none(cluster: Cluster) -> None:
    before = cluster.traces()
    shutil.rmtree(cluster.certificates)
    # The directory on the controller changes, which is said for the first master.
    assert cluster.good(control_plane_kube_apiserver_flags={"v": 1}).changed == ["node1"]
    assert cluster.traces() == before


def test_another_ca_than_that_of_the_cluster_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    with_authority(tmp_path, days_old=0)
    told = cluster.refused(control_plane_certificates_directory=str(tmp_path))
    assert f"{tmp_path}/pki/ca.crt" in told and "two different" in told, told


def test_a_master_that_lost_its_configuration_gets_it_again(cluster: Cluster) -> None:
    node = cluster.masters[1]
    before = cluster.traces()[1]
    node.sh("rm -rf /etc/kubernetes")
    cluster.good(control_plane_kube_apiserver_flags={"v": 1})
    cluster.require_well()
    assert _digests(cluster.traces()[1]) == _digests(before)


def _digests(traces: str) -> list[str]:
    """Those of /etc/kubernetes, but for etcd's manifest: its member is one of a cluster that exists by now.

    Nor do files of encryption count that no API server reads any more.
    """
    files = [line for line in traces.splitlines() if "/etc/kubernetes/" in line and "etcd.yaml" not in line]
    return [line for line in files if "/kube-apiserver/encryption-" not in line]


def test_a_member_that_lost_its_data_is_rebuilt(cluster: Cluster) -> None:
    node = cluster.masters[2]
    cluster.kubectl("create configmap kept --from-literal=word=kept")
    old = cluster.members()[node.name]["ID"]
    node.sh("systemctl stop kubelet && crictl stop --timeout=1 $(crictl ps --quiet --name etcd) >/dev/null")
    node.sh("rm -rf /var/lib/etcd/member && systemctl start kubelet")
    cluster.good(control_plane_kube_apiserver_flags={"v": 1})
    cluster.require_well()
    assert cluster.members()[node.name]["ID"] != old
    assert cluster.get("configmap kept", on=2)["data"] == {"word": "kept"}
    assert not cluster.good(control_plane_kube_apiserver_flags={"v": 1}).changed


def test_another_minor_is_refused(cluster: Cluster) -> None:
    assert "another minor is an upgrade" in cluster.refused(control_plane_kubernetes_version="1.36.4")


def test_two_masters_down_have_the_gate_refuse(cluster: Cluster) -> None:
    """The last one on this cluster, which takes minutes to recover from that. Without --limit the run would mend it."""
    for node in cluster.masters[1:]:
        node.sh(f"mv {MANIFESTS}/etcd.yaml /etc/kubernetes/etcd.yaml")
        wait_for(functools.partial(_has_no_etcd, node), f"etcd has ended on {node.name}")
    told = cluster.refused("--limit=node1", control_plane_gate_timeout=3, control_plane_kube_apiserver_flags={"v": 2})
    assert "3 voting members, quorum 2; healthy without node1: 0" in told


def _has_no_etcd(node: Node) -> bool:
    return not node.running("etcd")


def test_one_master_becomes_three_although_that_run_is_killed(bare: Cluster, tmp_path: Path) -> None:
    """Each of the others joins as a learner, and gets its vote once it has all data; the second run goes on where that was."""
    make_bare()
    other = tmp_path / "inventory.yml"
    other.write_text(yaml.safe_dump({"first": {"hosts": {"node1": {}}}}))
    # The certificates of the others are those of a cluster for all that it knows.
    assert "certificates of node2 and node3, too" in bare.refused(f"--inventory={other}", kubestatic_hosts="first")
    shutil.rmtree(bare.certificates)
    bare.good(f"--inventory={other}", kubestatic_hosts="first")
    assert list(bare.members()) == ["node1"]
    bare.kubectl("create configmap kept --from-literal=word=kept")
    assert bare.good("--check").changed
    keys = "cat /etc/kubernetes/pki/*.key /etc/kubernetes/pki/*.crt | sha256sum"
    before = bare.masters[0].sh(keys)
    process = subprocess.Popen(
        bare.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    wait_for(lambda: len(bare.members()) > 1, "a learner is added", seconds=120)
    for node in bare.masters:
        node.sh(f"kill -KILL {node.lock_holder(MANIFESTS)}", check=False)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    bare.good()
    bare.require_well()
    assert bare.masters[0].sh(keys) == before
    assert bare.get("configmap kept", on=2)["data"] == {"word": "kept"}
    assert not bare.good().changed


def test_a_bad_flag_of_the_first_run_is_mended_by_the_next(bare: Cluster) -> None:
    """All API servers crash then, and none of them can wait for another one that is ready."""
    make_bare()
    shutil.rmtree(bare.certificates)
    played = bare.play(control_plane_kube_apiserver_flags={"no-such-flag": "x"}, control_plane_wait_timeout=40)
    assert played.code != 0 and "no-such-flag" in played.text, played.output
    # The others go the same way, a minute each: their kubelets, which have never reached an API server, delete nothing.
    bare.good("--limit=node1")
    wait_for(functools.partial(is_ready, bare.masters[0]), "the API server is ready")


def test_a_run_that_is_killed_at_each_task_in_turn_is_made_up_for(bare: Cluster) -> None:
    """Whatever the masters have by then: each run goes on with the same keys, and there is one cluster in the end."""
    make_bare()
    shutil.rmtree(bare.certificates)
    struck: list[str] = []
    keys: list[list[tuple[str, bytes]]] = []
    while task := killed_in_task(bare, len(struck)):
        struck.append(task)
        keys.append(sorted((str(path), path.read_bytes()) for path in bare.certificates.rglob("*.key")))
    assert any("Have the control plane run" in task for task in struck), struck
    bare.require_well()
    made = [one for one in keys if one]
    assert len(made) > 1 and all(one == made[0] for one in made), struck
    told = [sorted(member["ID"] for member in bare.members(on=index).values()) for index in range(3)]
    assert told[0] == told[1] == told[2]
    assert not bare.good().changed


def killed_in_task(cluster: Cluster, number: int) -> str:
    """SIGKILL a run as soon as one master has done this task, from 0 on, and others may be in its middle.

    Returns the task's name, empty where the run has come to its end. What a master skips is no task.
    """
    process = subprocess.Popen(
        cluster.command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert process.stdout
    task, output, done = "", "", set[str]()
    for line in process.stdout:
        output += line
        if line.startswith("TASK ["):
            task = line.strip()
        elif line.startswith(("ok: ", "changed: ")):
            done.add(task)
            if len(done) > number:
                break
    else:
        assert process.wait(timeout=60) == 0, output
        return ""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    for node in cluster.masters:
        node.sh(f"kill -KILL {node.lock_holder(MANIFESTS)}", check=False)
    return task
