# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role control_plane up to where masters are judged, in real ansible-playbook runs, and what its variables make of the rest."""

from __future__ import annotations

import json
import os
import pathlib
import time
import typing as t

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.kubestatic.node.plugins.plugin_utils import _action, _render
from ansible_collections.kubestatic.node.plugins.plugin_utils._sources import Sources
from ansible_collections.kubestatic.node.tests.unit.plugins.plugin_utils.preflight_world import (
    Facts,
    bare,
    master,
    pod,
)

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.tests.unit.plugins.action.conftest import Project, Run

ROLE = pathlib.Path(_action.__file__).parents[2] / "roles/control_plane"
ISSUER = "https://kubernetes.default.svc.cluster.local"
PLAY = """
- hosts: masters
  gather_facts: false
  environment:
    NODE_DIR: "{{ node_dir }}"
  roles:
    - kubestatic.node.control_plane
"""


def played(
    project: Project,
    told: t.Callable[[int], Facts],
    *args: str,
    play: str = PLAY,
    texts: dict[str, str] | None = None,
    **variables: t.Any,
) -> Run:
    """A run over masters that tell this, and hold these files."""
    for number in (1, 2, 3):
        facts = {**told(number), "time": time.time()}
        answer = {"changed": False, "held_files": [], "texts": texts or {}, "facts": facts}
        (project.node(f"master{number}") / "answer").write_text(json.dumps(answer))
        project.write(f"host_vars/master{number}.yml", f"control_plane_address: 192.0.2.1{number}\n")
    return project.play(play, "-e", json.dumps(variables), *args)


def judged(
    project: Project, told: t.Callable[[int], Facts], *args: str, play: str = PLAY, **variables: t.Any
) -> dict[str, t.Any]:
    """What preflight says of masters that tell this."""
    # What comes behind it, ends here.
    run = played(project, told, *args, play=play, control_plane_validity=0, **variables)
    found = [result for results in run.results.values() for result in results if "initial_cluster" in result]
    assert len(found) == 1, run.text
    return found[0]


def running(number: int) -> Facts:
    flags = {
        "secure_port": "6443",
        "service_account_issuer": ISSUER,
        "service_cluster_ip_range": "10.96.0.0/12",
    }
    manager = pod("kube-controller-manager", cluster_cidr="10.244.0.0/16")
    return master(number, pods__kube_apiserver=pod("kube-apiserver", **flags), pods__kube_controller_manager=manager)


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"control_plane_service_subnet": "10.96.0.0/12,2001:db8:1::/108"}, []),
        (
            {
                "control_plane_api_server_port": 7443,
                "control_plane_dns_domain": "example.org",
                "control_plane_pod_subnet": "",
                "control_plane_kube_apiserver_flags": {"service-cluster-ip-range": None},
            },
            ["7443", "10.0.0.0/24", "https://kubernetes.default.svc.example.org", "none"],
        ),
        (
            {
                "control_plane_dns_domain": "example.org",
                "control_plane_kube_apiserver_flags": {"service-account-issuer": [ISSUER]},
                "control_plane_kube_controller_manager_flags": {"cluster-cidr": "10.9.0.0/16"},
            },
            ["10.9.0.0/16"],
        ),
    ],
)
def test_a_running_cluster_keeps_what_it_cannot_change(
    project: Project, variables: dict[str, t.Any], wanted: list[str]
) -> None:
    result = judged(project, running, **{"control_plane_pod_subnet": "10.244.0.0/16", **variables})
    found = result.get("msg", "").splitlines()[1:]
    assert len(found) == 3 * len(wanted), result
    assert all(f"and {one} is wanted" in line for one, line in zip(wanted * 3, found, strict=True)), found
    assert result["cluster_dns"] == ("" if wanted else "10.96.0.10")


def test_a_cluster_does_not_begin_beside_another_one_with_its_ca(project: Project) -> None:
    """A wiped master alone says that there is none."""
    for name in ("master1", "master2", "master3"):
        project.write(f"certificates/masters/{name}/kubelet.conf", "")
    project.write("certificates/masters/notes", "")
    project.write("more.yml", "narrow: {hosts: {master3: {}}}")
    given = {"control_plane_certificates_directory": "certificates"}
    inventories = ("-i", "inventory.yml", "-i", "more.yml")
    assert "msg" not in judged(project, bare, **given)
    play = PLAY.replace("hosts: masters", "hosts: narrow")
    message = judged(project, bare, *inventories, play=play, kubestatic_hosts="narrow", **given)["msg"]
    assert f"on master3, and {project.path}/certificates has certificates of master1 and master2, too" in message
    assert "msg" not in judged(project, bare, *inventories, play=play, kubestatic_hosts="narrow")


@pytest.mark.parametrize("arguments", [[], ["--check"]])
def test_a_cluster_whose_masters_lost_their_keys_gets_no_other_ones(project: Project, arguments: list[str]) -> None:
    given: dict[str, t.Any] = {
        "control_plane_certificates_directory": "certificates",
        "control_plane_pod_subnet": "10.244.0.0/16",
    }
    run = played(project, running, *arguments, **given)
    message = run.results["master1"][2]["msg"]
    assert f"{project.path}/certificates/: pki/ca.crt, pki/etcd/ca.crt" in message and "cluster that exists" in message
    assert not list(project.path.glob("certificates/pki/*"))


@pytest.mark.parametrize("arguments", [[], ["--check"]])
def test_a_cluster_does_not_begin_with_keys_of_another_one(project: Project, arguments: list[str]) -> None:
    texts = {"pki/ca.crt": "", "pki/ca.key": ""}
    run = played(project, bare, *arguments, texts=texts, control_plane_certificates_directory="certificates")
    message = run.results["master1"][2]["msg"]
    assert message.startswith("master1:/etc/kubernetes/pki/ca.key, master1:/etc/kubernetes/pki/ca.crt, master2:")
    assert not list(project.path.glob("certificates/pki/*"))


def test_certificates_are_beside_the_inventory_and_not_beside_the_playbook(project: Project) -> None:
    """That may be one of the installed collection."""
    (project.path / "inventory").mkdir()
    (project.path / "inventory.yml").rename(project.path / "inventory/hosts.yml")
    arguments = ("-i", "inventory/hosts.yml", "--check")
    run = played(project, bare, *arguments)
    [source, *_others] = run.results["master1"][2]["files"]["master1"]
    assert f"{project.path}/inventory/.certificates/pki/" in source["src"]
    project.write("inventory/certs/masters/master9/kubelet.conf", "")
    message = judged(project, bare, *arguments, control_plane_certificates_directory="certs")["msg"]
    assert f"{project.path}/inventory/certs has certificates of master9, too" in message


@pytest.mark.parametrize(
    ("given", "inventory", "wanted"),
    [
        (".certificates", "/inventory", "/inventory/.certificates"),
        ("../certs", "/inventory", "/inventory/../certs"),
        ("/certs", "/inventory", "/certs"),
        ("~/certs", "/inventory", "/home/me/certs"),
        ("$HOME/certs", "/inventory", "/home/me/certs"),
        ("certs", "None", "/current/certs"),
        ("certs", None, "/current/certs"),
    ],
)
def test_a_directory_of_certificates_is_absolute(
    monkeypatch: pytest.MonkeyPatch, given: str, inventory: str | None, wanted: str
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setattr(os, "getcwd", lambda: "/current")
    options = {"control_plane_certificates_directory": given, "inventory_dir": inventory}
    assert value("control_plane_certificates_path", **options) == wanted


def test_what_other_masters_have_to_know_is_in_the_inventory(project: Project) -> None:
    given = {"control_plane_node_name": "{{ inventory_hostname }}.example.org", "control_plane_sans": ["192.0.2.99"]}
    play = PLAY.replace("  roles:", f"  vars: {json.dumps(given)}\n  roles:")
    assert judged(project, bare, play=play)["msg"].splitlines()[1:] == [
        (
            f"{number}. master1: {variable} is {own} in its own tasks and {theirs} for the other masters; set it in the inventory"
            " (host_vars, group_vars), as they do not see variables of a play or role"
        )
        for number, variable, own, theirs in (
            (1, "control_plane_node_name", "master1.example.org", "master1"),
            (2, "control_plane_sans", "['192.0.2.99']", "[]"),
        )
    ]
    play = PLAY.replace("  roles:", "  vars: {control_plane_address: 192.0.2.1}\n  roles:")
    assert "master1: control_plane_address is 192.0.2.1 in" in judged(project, bare, play=play)["msg"]
    project.write("group_vars/masters.yml", json.dumps(given))
    assert "msg" not in judged(project, bare)


def test_an_image_of_another_minor_is_refused(project: Project) -> None:
    given: dict[str, t.Any] = {"control_plane_images": {"kube-scheduler": "registry.k8s.io/kube-scheduler:v0.0.0"}}
    assert "msg" not in judged(project, bare, **given)
    given["control_plane_images"]["kube-apiserver"] = "example.org/kube-apiserver:v1.36.4"
    assert "the image of kube-apiserver is example.org/kube-apiserver:v1.36.4," in judged(project, bare, **given)["msg"]


def test_a_provider_of_tokens_is_no_flag(project: Project) -> None:
    given = {"oidc-issuer-url": "https://login.example.org", "oidc-client-id": "kubernetes"}
    message = judged(project, bare, control_plane_kube_apiserver_flags=given)["msg"]
    assert "nothing was touched" in message and "control_plane_jwt_authenticators" in message
    assert "msg" not in judged(
        project, bare, control_plane_kube_apiserver_flags={**given, "authentication-config": None}
    )


# ---- variables and templates


def trusted(value: t.Any) -> t.Any:
    """Templates in these texts are rendered."""
    if isinstance(value, dict):
        return {name: trusted(one) for name, one in value.items()}
    if isinstance(value, list):
        return [trusted(one) for one in value]
    trust = getattr(_render, "trust_as_template", None)
    return trust(value) if trust and isinstance(value, str) else value


def variables(**more: t.Any) -> dict[str, t.Any]:
    """Those of the role, on a master of a run."""
    known = {"inventory_hostname": "master1", "inventory_dir": "/nowhere", "ansible_check_mode": False}
    files = [trusted(yaml.safe_load((ROLE / place / "main.yml").read_text())) for place in ("defaults", "vars")]
    facts = {
        "control_plane_info": {"facts": running(1) | {"ca_directories": []}},
        "control_plane_address": "192.0.2.11",
        # Lookups need more than a templar; test_control_plane_files.py has them.
        "control_plane_kube_apiserver_files": {},
    }
    return {**files[0], **files[1], **known, **facts, **more}


def value(name: str, **more: t.Any) -> t.Any:
    known = variables(**more)
    return Templar(loader=DataLoader(), variables=known).template(known[name])


def flags(component: str, **more: t.Any) -> dict[str, str]:
    """Those in the manifest of a component."""
    known = variables(**more)
    loader = DataLoader()
    sources = Sources(
        loader=loader, templar=Templar(loader=loader, variables=known), search_path=[], variables=known, host="master1"
    )
    manifest = yaml.safe_load(sources.rendered(str(ROLE / f"templates/{component}.yaml.j2")))
    command = manifest["spec"]["containers"][0]["command"]
    return {name: value for name, _equals, value in (word[2:].partition("=") for word in command[1:])}


def test_a_ca_without_its_key_signs_nothing_in_the_cluster() -> None:
    """As with kubeadm: the controller manager ends where a pair that it is told of is not there."""
    for name in ("cert", "key"):
        flag = f"cluster-signing-{name}-file"
        assert flags("kube-controller-manager", control_plane_sources={})[flag] == ""
        there = flags("kube-controller-manager", control_plane_sources={"/etc/kubernetes/pki/ca.key": "/c/pki/ca.key"})
        assert there[flag] == f"/etc/kubernetes/pki/ca.{name.replace('cert', 'crt')}"


def test_flags_that_last_are_in_the_manifest_below_those_of_users() -> None:
    found = flags("kube-apiserver", control_plane_api_server_port=7443, control_plane_service_subnet="10.32.0.0/12")
    assert (found["secure-port"], found["service-cluster-ip-range"]) == ("7443", "10.32.0.0/12")
    assert found["service-account-issuer"] == ISSUER
    found = flags("kube-apiserver", control_plane_kube_apiserver_flags={"secure-port": None, "profiling": True})
    assert "secure-port" not in found and found["profiling"] == "true"


@pytest.mark.parametrize(("given", "address"), [({}, "10.32.0.10"), ({"control_plane_cluster_dns": "::1"}, "::1")])
def test_kubelets_are_told_of_the_dns_of_the_service_subnet(given: dict[str, t.Any], address: str) -> None:
    plan = {"control_plane_plan": {"cluster_dns": "10.32.0.10"}}
    for name in ("control_plane_all_kubelet_settings", "control_plane_all_worker_settings"):
        assert value(name, **plan, **given)["clusterDNS"] == [address]


def test_a_master_is_rebuilt_only_where_the_others_have_a_quorum() -> None:
    """It is asked for before the first step, which takes pods away."""
    [joining] = yaml.safe_load((ROLE / "tasks/join.yml").read_text())
    first = joining["block"][0]["kubestatic.node.static_pods"]
    assert [pod["state"] for pod in first["pods"]] == ["absent", "absent"]
    addresses = [f"192.0.2.1{number}" for number in (1, 2, 3)]
    masters = [{"address": address} for address in addresses]
    assert first["gate"] == "{{ control_plane_gate }}"
    assert value("control_plane_gate", control_plane_masters=masters) == {
        "etcd_endpoints": [f"https://{address}:2379" for address in addresses],
        "api_servers": [f"https://{address}:6443" for address in addresses[1:]],
        "own_api_server": "https://192.0.2.11:6443",
        "timeout": 120,
    }


def test_masters_of_a_running_cluster_change_one_at_a_time() -> None:
    """Two gates at the same time would both see a quorum, and both masters take a member away."""
    tasks = yaml.safe_load((ROLE / "tasks/main.yml").read_text())
    for module in ("kubestatic.node.kubelet_config", "kubestatic.node.static_pods"):
        asking, changing = (one for one in tasks if "disturb" in one.get(module, {}))
        assert (asking["vars"]["control_plane_disturb"], changing["vars"]["control_plane_disturb"]) == (False, True)
        assert "throttle" not in asking, "masters with nothing to do do not wait for each other"
        for first_run, throttle in ((True, 0), (False, 1)):
            plan = {"control_plane_plan": {"first_run": first_run}}
            assert int(value("x", x=trusted(changing["throttle"]), **plan)) == throttle


def test_an_api_server_is_told_of_its_files() -> None:
    found = {"audit-policy-file": {"path": "/etc/a-1.yaml", "content": "a"}}
    known = {"control_plane_kube_apiserver_files": found}
    assert flags("kube-apiserver", **known)["audit-policy-file"] == "/etc/a-1.yaml"
    assert "authentication-config" not in flags("kube-apiserver", **known)
