# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that API servers read, and the flags that name them: the role's variables and templates in real runs."""

from __future__ import annotations

import base64
import json
import re
import typing as t

import yaml
from ansible_collections.kubestatic.node.tests.unit.plugins.action.conftest import COLLECTION, HOSTS

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.tests.unit.plugins.action.conftest import Project

Variables = dict[str, t.Any]

DIRECTORY = "/etc/kubernetes/kube-apiserver"
KEYS = "encryption-provider-config"
# Flag -> kind of what is in its file, and how the name of the file begins.
FILES = {
    "authentication-config": ("AuthenticationConfiguration", "authentication"),
    "audit-policy-file": ("Policy", "audit-policy"),
    KEYS: ("EncryptionConfiguration", "encryption"),
}
TASKS = """
- kubestatic.node.node_files:
    files: "{{ control_plane_files }}"
- kubestatic.node.static_pods:
    manifest_dir: "{{ node_dir }}"
    pods: [{template: kube-apiserver.yaml.j2}]
- kubestatic.node.api_objects:
    template: objects.yaml.j2
"""
PLAY = """
- hosts: masters
  gather_facts: false
  environment:
    NODE_DIR: "{{ node_dir }}"
  roles: [rendered]
"""


class Rendered(t.NamedTuple):
    """What one master gets. ``files``: path -> content, ``named``: flag -> path, ``upgraded``: the same of kubeadm upgrade."""

    files: dict[str, t.Any]
    named: dict[str, str]
    upgraded: dict[str, str]

    def content(self, flag: str) -> t.Any:
        return self.files[self.named[flag]]


def rendered(project: Project, *given: Variables) -> list[Rendered]:
    """What masters get that have these variables in the inventory, the first three of the project."""
    for kind in ("defaults", "vars", "templates"):
        (project.path / "roles/rendered").mkdir(parents=True, exist_ok=True)
        (project.path / "roles/rendered" / kind).symlink_to(COLLECTION / "roles/control_plane" / kind)
    project.write("roles/rendered/tasks/main.yml", TASKS)
    hosts = HOSTS[: len(given)]
    for number, (host, variables) in enumerate(zip(hosts, given, strict=True), start=1):
        sources = [
            {"path": f"/etc/kubernetes/pki/{name}", "src": str(project.write(f"{host}/{name}", text))}
            for name, text in (("ca.crt", "CERTIFICATE\n"), ("encryption.key", variables.get("key", "key")))
        ]
        known = {
            "ansible_host": f"192.0.2.1{number}",
            "control_plane_info": {"facts": {"ca_directories": []}},
            "control_plane_plan": {"phase": {}, "cluster_dns": "10.96.0.10"},
            "control_plane_certificates": {"files": {host: sources}},
        }
        project.write(f"host_vars/{host}.yml", json.dumps({**known, **variables}))
    run = project.play(PLAY, f"--limit={','.join(hosts)}")
    assert run.rc == 0, run.text
    return [_rendered(project.calls(host)) for host in hosts]


def _rendered(calls: list[dict[str, t.Any]]) -> Rendered:
    files, pods, objects = calls
    container = yaml.safe_load(pods["pods"][0]["content"])["spec"]["containers"][0]
    words = [word[2:].partition("=") for word in container["command"]]
    [config] = [one["data"] for one in objects["objects"] if one["metadata"]["name"] == "kubeadm-config"]
    arguments = yaml.safe_load(config["ClusterConfiguration"])["apiServer"]["extraArgs"]
    return Rendered(
        files={file["path"]: yaml.safe_load(base64.b64decode(file["content"])) for file in files["files"]},
        named={name: value for name, _equals, value in words if name in FILES},
        upgraded={one["name"]: one["value"] for one in arguments if one["name"] in FILES},
    )


def test_flags_name_the_files_which_are_the_same_on_all_masters(project: Project) -> None:
    found, *others = rendered(project, {}, {}, {})
    assert others == [found, found]
    assert set(found.named) == set(FILES) and found.upgraded == found.named
    assert set(found.files) == {"/var/lib/kubelet/instance-config.yaml", *found.named.values()}
    for flag, (kind, name) in FILES.items():
        assert re.fullmatch(f"{DIRECTORY}/{name}-[0-9a-f]{{12}}[.]yaml", found.named[flag])
        assert found.content(flag)["kind"] == kind


def test_what_changes_has_another_name_and_the_rest_its_own(project: Project) -> None:
    rules, jwt = [{"level": "Metadata"}], [{"issuer": {"url": "https://login.example.org", "audiences": ["a"]}}]
    given = {"control_plane_audit_rules": rules, "control_plane_jwt_authenticators": jwt}
    before, *after = rendered(project, {"key": "old"}, {"key": "old", **given}, {"key": "new"})
    for found, changed in zip(after, (["audit-policy-file", "authentication-config"], [KEYS]), strict=True):
        assert sorted(flag for flag in FILES if found.named[flag] != before.named[flag]) == changed
        assert not any(found.content(flag) == before.content(flag) for flag in changed)
    assert after[0].content("audit-policy-file")["rules"] == rules
    assert after[0].content("authentication-config")["jwt"] == jwt


def test_steps_of_encryption_are_different_files(project: Project) -> None:
    steps = [{"control_plane_encryption": step} for step in ("readable", "written")]
    bare, *found = rendered(project, {"control_plane_encryption": "none", "control_plane_audit": False}, *steps)
    assert list(bare.named) == list(bare.upgraded) == ["authentication-config"] and len(bare.files) == 2
    assert len({one.named[KEYS] for one in found}) == 2
    first = [one.content(KEYS)["resources"][0]["providers"][0] for one in found]
    assert [list(provider) for provider in first] == [["identity"], ["secretbox"]]
