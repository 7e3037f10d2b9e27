# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of a control plane, as the role's template gives them."""

from __future__ import annotations

import base64
import pathlib
import typing as t

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.kubestatic.node.plugins.action import api_objects
from ansible_collections.kubestatic.node.plugins.plugin_utils import _action
from ansible_collections.kubestatic.node.plugins.plugin_utils._sources import Sources

TEMPLATE = pathlib.Path(_action.__file__).parents[2] / "roles/control_plane/templates/objects.yaml.j2"
MASTERS = [{"name": "master1", "address": "192.0.2.11"}, {"name": "master2", "address": "192.0.2.12"}]
VARIABLES: dict[str, t.Any] = {
    "control_plane_masters": MASTERS,
    "control_plane_kubernetes_version": "1.37.2",
    "control_plane_endpoint": "",
    "control_plane_api_server_port": 6443,
    "control_plane_service_subnet": "10.96.0.0/12",
    "control_plane_pod_subnet": "",
    "control_plane_dns_domain": "cluster.local",
    "control_plane_cluster_name": "kubernetes",
    "control_plane_image_repository": "registry.k8s.io",
    "control_plane_etcd_data_dir": "/var/lib/etcd",
    "control_plane_all_worker_settings": {},
    "control_plane_plan": {"phase": {"master1": "keep", "master2": "keep"}},
    # As the lookup 'file' gives it.
    "control_plane_ca_certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
    "control_plane_kube_apiserver_flags": {},
    "control_plane_kube_controller_manager_flags": {},
    "control_plane_kube_scheduler_flags": {},
    "control_plane_etcd_flags": {},
    "control_plane_etcd_own_flags": {},
    "control_plane_validity": 365,
    "control_plane_ca_validity": 3650,
    "control_plane_key_algorithm": "RSA-2048",
    "control_plane_kube_apiserver_own_flags": {},
    "control_plane_kube_controller_manager_own_flags": {},
    "control_plane_kube_scheduler_own_flags": {},
    "control_plane_kube_apiserver_extra_mounts": [],
    "control_plane_kube_controller_manager_extra_mounts": [],
    "control_plane_kube_scheduler_extra_mounts": [],
    "control_plane_etcd_env": [],
    "control_plane_kube_apiserver_env": [],
    "control_plane_kube_controller_manager_env": [],
    "control_plane_kube_scheduler_env": [],
    "control_plane_api_server_sans": [],
}


def objects(**variables: t.Any) -> dict[str, dict[str, t.Any]]:
    """The objects of a control plane as the role renders them: kind and name -> object, in their order."""
    known = {**VARIABLES, **variables}
    loader = DataLoader()
    templar = Templar(loader=loader, variables=known)
    sources = Sources(loader=loader, templar=templar, search_path=[], variables=known, host="master1")
    listed = api_objects._listed(sources.rendered(str(TEMPLATE)))
    found = {f"{one['kind']} {one['metadata']['name']}": one for one in listed}
    assert len(found) == len(listed)
    return found


def configuration(**variables: t.Any) -> dict[str, t.Any]:
    data = objects(**variables)["ConfigMap kubeadm-config"]["data"]
    assert set(data) == {"ClusterConfiguration"}
    return t.cast("dict[str, t.Any]", yaml.safe_load(data["ClusterConfiguration"]))


def cluster_info(**variables: t.Any) -> dict[str, t.Any]:
    data = objects(**variables)["ConfigMap cluster-info"]["data"]
    assert set(data) == {"kubeconfig"}
    return t.cast("dict[str, t.Any]", yaml.safe_load(data["kubeconfig"]))


# What kubeadm 1.34.4 and 1.37.2 made for the same cluster (init phase upload-config all, bootstrap-token).
KUBEADM = {
    "apiServer": {},
    "apiVersion": "kubeadm.k8s.io/v1beta4",
    "caCertificateValidityPeriod": "87600h0m0s",
    "certificateValidityPeriod": "8760h0m0s",
    "certificatesDir": "/etc/kubernetes/pki",
    "clusterName": "kubernetes",
    "controllerManager": {},
    "dns": {},
    "encryptionAlgorithm": "RSA-2048",
    "etcd": {"local": {"dataDir": "/var/lib/etcd"}},
    "imageRepository": "registry.k8s.io",
    "kind": "ClusterConfiguration",
    "kubernetesVersion": "v1.37.2",
    "networking": {"dnsDomain": "cluster.local", "serviceSubnet": "10.96.0.0/12"},
    "proxy": {},
    "scheduler": {},
}


def test_a_cluster_is_configured_as_kubeadm_says_it() -> None:
    assert configuration() == KUBEADM
    changed = configuration(
        control_plane_kubernetes_version="1.34.4",
        control_plane_endpoint="api.example.org",
        control_plane_pod_subnet="10.244.0.0/16",
        control_plane_api_server_sans=["a.example.org", "192.0.2.40"],
        control_plane_kube_apiserver_flags={
            "v": 4,
            "gone": None,
            "profiling": False,
            "twice": ["a", "1e3"],
            "none": [],
        },
        control_plane_kube_controller_manager_flags={"gone": None},
        control_plane_kube_scheduler_flags={"v": "2"},
        control_plane_etcd_flags={"quota-backend-bytes": 8589934592},
    )
    arguments = [("v", "4"), ("profiling", "false"), ("twice", "a"), ("twice", "1e3")]
    assert changed == {
        **KUBEADM,
        "kubernetesVersion": "v1.34.4",
        "controlPlaneEndpoint": "api.example.org:6443",
        "networking": {**t.cast("dict[str, str]", KUBEADM["networking"]), "podSubnet": "10.244.0.0/16"},
        "apiServer": {
            "certSANs": ["a.example.org", "192.0.2.40"],
            "extraArgs": [{"name": name, "value": value} for name, value in arguments],
        },
        "scheduler": {"extraArgs": [{"name": "v", "value": "2"}]},
        "etcd": {
            "local": {"dataDir": "/var/lib/etcd", "extraArgs": [{"name": "quota-backend-bytes", "value": "8589934592"}]}
        },
    }


@pytest.mark.parametrize(
    ("endpoint", "server"),
    [
        ("", "192.0.2.11:6443"),
        ("api.example.org", "api.example.org:6443"),
        ("api.example.org:443", "api.example.org:443"),
        ("192.0.2.1:443", "192.0.2.1:443"),
        ("2001:db8::1", "[2001:db8::1]:6443"),
        ("[2001:db8::1]", "[2001:db8::1]:6443"),
        ("[2001:db8::1]:443", "[2001:db8::1]:443"),
    ],
)
def test_new_nodes_are_told_where_the_cluster_is(endpoint: str, server: str) -> None:
    ca = base64.b64encode(f"{VARIABLES['control_plane_ca_certificate']}\n".encode()).decode()
    assert cluster_info(control_plane_endpoint=endpoint) == {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "", "cluster": {"certificate-authority-data": ca, "server": f"https://{server}"}}],
        "contexts": None,
        "current-context": "",
        "users": None,
    }


def test_workers_get_their_kubelet_configuration() -> None:
    kind = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}
    settings = {"maxPods": 7, "clusterDNS": ["10.96.0.10"], "evictionHard": {"memory.available": "5%"}, "a": "x " * 90}
    for given in ({}, settings):
        data = objects(control_plane_all_worker_settings=given)["ConfigMap kubelet-config"]["data"]
        assert yaml.safe_load(data["kubelet"]) == {**kind, **given}


@pytest.mark.parametrize(
    ("version", "is_there"), [("1.34.4", False), ("1.35.4", False), ("1.36.4", True), ("1.37.2", True)]
)
def test_rights_are_those_of_kubeadm(version: str, is_there: bool) -> None:
    found = objects(control_plane_kubernetes_version=version)
    assert list(found)[-2:] == ["Node master1", "Node master2"]
    assert all(
        one["metadata"]["labels"]
        == {"node-role.kubernetes.io/control-plane": "", "node.kubernetes.io/exclude-from-external-load-balancers": ""}
        for name, one in found.items()
        if name.startswith("Node ")
    )
    tokens, nodes = "system:bootstrappers:kubeadm:default-node-token", "system:nodes"
    signing = "system:certificates.k8s.io:certificatesigningrequests"
    bindings = {
        "kubeadm:cluster-admins": ("cluster-admin", ["kubeadm:cluster-admins"]),
        "kubeadm:get-nodes": ("kubeadm:get-nodes", [tokens]),
        "kubeadm:kubelet-bootstrap": ("system:node-bootstrapper", [tokens]),
        "kubeadm:node-autoapprove-bootstrap": (f"{signing}:nodeclient", [tokens]),
        "kubeadm:node-autoapprove-certificate-rotation": (f"{signing}:selfnodeclient", [nodes]),
        "kubeadm:bootstrap-signer-clusterinfo": ("kubeadm:bootstrap-signer-clusterinfo", ["system:anonymous"]),
        "kubeadm:nodes-kubeadm-config": ("kubeadm:nodes-kubeadm-config", [tokens, nodes]),
        "kubeadm:kubelet-config": ("kubeadm:kubelet-config", [nodes, tokens]),
    }
    if is_there:
        bindings["kubeadm:apiserver-kubelet-client"] = ("system:kubelet-api-admin", ["kube-apiserver-kubelet-client"])
    assert bindings == {
        one["metadata"]["name"]: (one["roleRef"]["name"], [subject["name"] for subject in one["subjects"]])
        for name, one in found.items()
        if "Binding" in name
    }
    reading = {
        "kubeadm:bootstrap-signer-clusterinfo": ("kube-public", "cluster-info"),
        "kubeadm:nodes-kubeadm-config": ("kube-system", "kubeadm-config"),
        "kubeadm:kubelet-config": ("kube-system", "kubelet-config"),
    }
    for name, (namespace, config_map) in reading.items():
        role, binding = found[f"Role {name}"], found[f"RoleBinding {name}"]
        assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == namespace
        [rule] = role["rules"]
        assert rule == {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [config_map], "verbs": ["get"]}


def test_what_the_role_adds_stays_with_kubeadm_upgrade() -> None:
    found = configuration(
        control_plane_kube_apiserver_own_flags={"profiling": False, "v": 1},
        control_plane_kube_apiserver_flags={"v": None},
        control_plane_kube_apiserver_own_mounts=[{"name": "own", "hostPath": "/own", "readOnly": False}],
        control_plane_kube_apiserver_extra_mounts=[
            {"name": "more", "hostPath": "/a", "mountPath": "/b", "pathType": "File"}
        ],
        control_plane_kube_apiserver_env=[{"name": "NO_PROXY", "value": "*"}],
        control_plane_etcd_env=[{"name": "GOMAXPROCS", "value": "2"}],
    )
    assert found["etcd"]["local"]["extraEnvs"] == [{"name": "GOMAXPROCS", "value": "2"}]
    assert found["apiServer"] == {
        "extraArgs": [{"name": "profiling", "value": "false"}],
        "extraEnvs": [{"name": "NO_PROXY", "value": "*"}],
        "extraVolumes": [
            {"name": "own", "hostPath": "/own", "mountPath": "/own", "readOnly": False, "pathType": ""},
            {"name": "more", "hostPath": "/a", "mountPath": "/b", "readOnly": True, "pathType": "File"},
        ],
    }
    assert found["scheduler"] == {}


def test_masters_that_no_run_has_made_yet_are_not_waited_for() -> None:
    found = objects(control_plane_plan={"phase": {"master1": "keep"}})
    assert [name for name in found if name.startswith("Node ")] == ["Node master1"]
