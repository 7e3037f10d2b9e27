# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which keys and certificates are kept, taken over, made or refused."""

from __future__ import annotations

import base64
import datetime
import re
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils._control_plane_files import (
    AUTHORITIES,
    KUBECONFIGS,
    OF_ONE_MASTER,
    PAIRS,
    SHARED,
)
from ansible_collections.kubestatic.node.plugins.plugin_utils import _kubeconfig, _pki
from ansible_collections.kubestatic.node.plugins.plugin_utils._pki import Period, Subject
from ansible_collections.kubestatic.node.tests.unit.plugins.plugin_utils.certificate_world import (
    ADDRESSES,
    NOW,
    PARAMS,
    CertificateWorld,
    new_authority,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

APISERVER = "masters/master1/pki/apiserver"
ADMIN = "masters/master1/admin.conf"
SECRETS = ("pki/ca.key", "pki/etcd/ca.key", "pki/front-proxy-ca.key", "pki/sa.key", "pki/encryption.key")


@pytest.fixture
def empty() -> CertificateWorld:
    return CertificateWorld()


@pytest.fixture
def world(empty: CertificateWorld) -> CertificateWorld:
    """A cluster that runs: everything is in the directory, and on the masters."""
    empty.run()
    empty.hand_out()
    return empty


# ---- all that is needed, and nothing twice


def test_one_call_makes_everything(empty: CertificateWorld) -> None:
    told = empty.run()
    of_masters = [f"masters/{name}/{file}" for name in ADDRESSES for file in OF_ONE_MASTER]
    assert sorted(empty.own) == sorted([*SHARED, *of_masters])
    assert len(told) == 5 + 3 * len([*PAIRS, *KUBECONFIGS])
    assert told[0] == "made pki/ca.key and pki/ca.crt (there was none)"
    assert all(one.startswith("made ") and one.endswith(" (there was none)") for one in told)


def test_a_second_call_has_nothing_to_do(world: CertificateWorld) -> None:
    assert world.run() == []
    assert world.plan().warnings == []


def test_all_certificates_are_told(world: CertificateWorld) -> None:
    paths = set(world.plan().certificates)
    expected = [f"pki/{name}.crt" for name in AUTHORITIES]
    expected += [
        f"masters/{m}/{name}" for m in ADDRESSES for name in (*(f"{pair}.crt" for pair in PAIRS), *KUBECONFIGS)
    ]
    assert paths == {f"/dir/{path}" for path in expected}
    assert set(CertificateWorld().plan().certificates) == paths


def test_a_new_master_gets_its_own_and_no_other_changes(world: CertificateWorld) -> None:
    before = dict(world.own)
    world.held["master4"] = {}
    masters = [
        *PARAMS["masters"],
        {"name": "master4", "address": "192.0.2.14", "sans": [], "held": "/held", "new": False},
    ]
    told = world.run(masters=masters)
    assert len(told) == 13 and all("masters/master4/" in one for one in told)
    assert {path: text for path, text in world.own.items() if path in before} == before


@pytest.mark.parametrize("algorithm", [_pki.RSA_2048, _pki.ECDSA_P256])
def test_keys_are_of_the_kind_that_was_asked_for(empty: CertificateWorld, algorithm: str) -> None:
    empty.algorithm = algorithm
    empty.run(masters=PARAMS["masters"][:1])
    kind = {_pki.RSA_2048: "-----BEGIN RSA PRIVATE KEY-----", _pki.ECDSA_P256: "-----BEGIN EC PRIVATE KEY-----"}[
        algorithm
    ]
    keys = [text for path, text in empty.own.items() if path.endswith(".key") and "encryption" not in path]
    assert len(keys) == 12 and {text.splitlines()[0] for text in keys} == {kind}
    config = _kubeconfig.parse(empty.own[ADMIN], where=ADMIN)
    assert config.key.splitlines()[0] == kind
    empty.algorithm = _pki.ECDSA_P256
    assert empty.run(masters=PARAMS["masters"][:1]) == [], "keys that are there stay"


def test_the_longest_name_of_a_node_has_room_in_its_certificates(empty: CertificateWorld) -> None:
    name = "m" * 52
    empty.held[name] = {}
    empty.run(masters=[{"name": name, "address": "192.0.2.14", "sans": [], "held": "/held", "new": False}])
    assert f"CN=system:node:{name}" in str(empty.certificate(f"masters/{name}/pki/kubelet.crt").subject)


def test_lifetimes(world: CertificateWorld) -> None:
    day, hour = datetime.timedelta(days=1), datetime.timedelta(hours=1)
    for path, days in (("pki/ca.crt", 3650), (f"{APISERVER}.crt", 365)):
        found = world.certificate(path)
        assert (found.not_valid_before_utc, found.not_valid_after_utc) == (NOW - hour, NOW + days * day)


def test_the_encryption_key_is_32_random_bytes(world: CertificateWorld) -> None:
    other = CertificateWorld()
    other.run()
    keys = [base64.b64decode(one.own["pki/encryption.key"]) for one in (world, other)]
    assert [len(key) for key in keys] == [32, 32] and keys[0] != keys[1]


# ---- drift

CLIENT, SERVER = frozenset(["client"]), frozenset(["server"])
NAMES = frozenset(["master1", "192.0.2.11"])


def sign_with_other_ca(world: CertificateWorld) -> None:
    other = new_authority()
    pair = _pki.Pair(_pki.certificates(other["crt"], where=""), _pki.private_key(other["key"], where=""))
    world.sign(
        "pki/apiserver-kubelet-client", Subject("kube-apiserver-kubelet-client", usages=frozenset(["client"])), by=pair
    )


def sign(name: str, subject: Subject) -> t.Callable[[CertificateWorld], None]:
    return lambda world: world.sign(name, subject)


def sign_tomorrow(world: CertificateWorld) -> None:
    world.now += datetime.timedelta(days=1)
    world.sign("pki/kubelet", Subject("system:node:master1", frozenset(["system:nodes"]), SERVER, NAMES))
    world.now = NOW


def move(source: str, target: str) -> t.Callable[[CertificateWorld], None]:
    return lambda world: world.own.update({target: world.own[source]})


KUBELET = "masters/master1/pki/kubelet"
CLIENT_PAIR = "masters/master1/pki/apiserver-kubelet-client"

# what is done to a directory in which all is well -> the one pair that is made again, and why
DRIFT: list[tuple[str, t.Callable[[CertificateWorld], t.Any], str, str]] = [
    ("missing", lambda w: [w.own.pop(f"{APISERVER}.{kind}") for kind in ("key", "crt")], APISERVER, "there was none"),
    ("no key", lambda w: w.own.pop(f"{APISERVER}.key"), APISERVER, "the key was not there"),
    ("no certificate", lambda w: w.own.pop(f"{APISERVER}.crt"), APISERVER, "the certificate was not there"),
    ("other key", move("masters/master2/pki/apiserver.key", f"{APISERVER}.key"), APISERVER, "its key is another one's"),
    ("other CA", sign_with_other_ca, CLIENT_PAIR, "it is not signed by pki/ca.crt"),
    (
        "common name",
        sign("pki/apiserver-kubelet-client", Subject("kube-apiserver", usages=CLIENT)),
        CLIENT_PAIR,
        "it is for CN=kube-apiserver, not for CN=kube-apiserver-kubelet-client, O=kubeadm:cluster-admins",
    ),
    (
        "organization",
        sign("pki/kubelet", Subject("system:node:master1", frozenset(["system:masters"]), SERVER, NAMES)),
        KUBELET,
        "it is for CN=system:node:master1, O=system:masters, not for CN=system:node:master1, O=system:nodes",
    ),
    (
        "usage",
        sign("pki/kubelet", Subject("system:node:master1", frozenset(["system:nodes"]), CLIENT, NAMES)),
        KUBELET,
        "it is not for use by a server",
    ),
    (
        "lacks a name",
        sign(
            "pki/kubelet", Subject("system:node:master1", frozenset(["system:nodes"]), SERVER, frozenset(["master1"]))
        ),
        KUBELET,
        "it lacks 192.0.2.11",
    ),
    ("too early", sign_tomorrow, KUBELET, "it is not valid before 2026-11-27 11:00 UTC"),
    (
        "has another name",
        sign("pki/kubelet", Subject("system:node:master1", frozenset(["system:nodes"]), SERVER, NAMES | {"evil"})),
        KUBELET,
        "it is also for evil",
    ),
]


@pytest.mark.parametrize(("do", "pair", "why"), [row[1:] for row in DRIFT], ids=[row[0] for row in DRIFT])
def test_what_is_not_as_it_should_be_is_made_again(
    world: CertificateWorld, do: t.Callable[[CertificateWorld], t.Any], pair: str, why: str
) -> None:
    do(world)
    before = dict(world.own)
    world.held["master1"] = {}
    assert world.run() == [f"made {pair}.key and {pair}.crt ({why})"]
    changed = {path for path, text in world.own.items() if before.get(path) != text}
    assert changed == {f"{pair}.key", f"{pair}.crt"}
    assert world.run() == []


@pytest.mark.parametrize("groups", [[], ["kubeadm:cluster-admins"]])
def test_the_api_servers_client_certificate_is_good_as_any_kubeadm_makes_it(
    world: CertificateWorld, groups: list[str]
) -> None:
    """In 1.34 it has a group, in 1.37 a role of its own."""
    world.sign("pki/apiserver-kubelet-client", Subject("kube-apiserver-kubelet-client", frozenset(groups), CLIENT))
    assert world.run() == []


def test_the_api_servers_client_certificate_has_no_other_group(world: CertificateWorld) -> None:
    subject = Subject("kube-apiserver-kubelet-client", frozenset(["system:masters"]), CLIENT)
    world.sign("pki/apiserver-kubelet-client", subject)
    world.held["master1"] = {}
    assert "it is for CN=kube-apiserver-kubelet-client, O=system:masters, not for" in "".join(world.run())


def test_an_address_that_changes_changes_what_has_it(world: CertificateWorld) -> None:
    masters = [{**PARAMS["masters"][0], "address": "192.0.2.40"}, *PARAMS["masters"][1:]]
    told = world.run(masters=masters)
    made = [one for one in told if one.startswith("made")]
    assert [one.split()[1].rpartition("/pki/")[2] for one in made] == [
        "apiserver.key", "etcd/server.key", "etcd/peer.key", "kubelet.key",
    ]  # fmt: skip
    assert all("it lacks 192.0.2.40" in one for one in made)
    assert told[0] == (
        f"changed {ADMIN} (its server was https://192.0.2.11:6443, and is to be https://192.0.2.40:6443)"
    )
    assert len(told) == 9 and all("/master1/" in one for one in told)
    assert world.run(masters=masters) == []


def test_another_server_leaves_the_certificate_in_a_kubeconfig(world: CertificateWorld) -> None:
    before = _kubeconfig.parse(world.own[ADMIN], where="")
    world.run(control_plane_endpoint="api.example.org")
    assert _kubeconfig.parse(world.own[ADMIN], where="") == before._replace(server="https://api.example.org:6443")


def test_a_kubeconfig_of_kubeadm_is_kept_as_it_is(world: CertificateWorld) -> None:
    """Its keys are in another order, and it has some that we do not write."""
    text = world.own[ADMIN].replace("kind: Config\n", "") + "kind: Config\npreferences: {}\n"
    world.own[ADMIN] = text
    assert world.run() == []
    world.held["master1"]["admin.conf"] = text
    del world.own[ADMIN]
    assert world.run() == [f"took {ADMIN} (from master1:/etc/kubernetes/admin.conf)"]
    assert world.own[ADMIN] == text


def test_a_kubeconfig_that_names_files_gets_a_certificate(world: CertificateWorld) -> None:
    text, _user, _rest = world.own[ADMIN].partition("  user:\n    client-")
    world.own[ADMIN] = text + "  user: {client-certificate: /a, client-key: /b}\n"
    world.held["master1"] = {}
    [told] = world.run()
    assert told == f"made {ADMIN} (it had no certificate with a key in it)"


# ---- renewal


# days since all was made -> what is due of a call with renew_before 90
@pytest.mark.parametrize(("days", "due"), [(274, 0), (276, 39), (364, 39), (366, 39)])
def test_what_expires_is_made_again_in_time(world: CertificateWorld, days: int, due: int) -> None:
    world.now += datetime.timedelta(days=days)
    before = dict(world.own)
    told = world.run()
    assert len(told) == due
    word = "expires" if days < 365 else "expired"
    assert all(one.endswith(f"(it {word} on 2027-11-26)") for one in told)
    assert {path: world.own[path] for path in SHARED} == {path: before[path] for path in SHARED}
    assert world.run() == []


def test_a_certificate_ends_with_its_ca_and_is_not_renewed_for_that(empty: CertificateWorld) -> None:
    empty.own.update({f"pki/ca.{kind}": text for kind, text in new_authority(days=60).items()})
    plan = empty.plan()
    assert plan.warnings == [
        "/dir/pki/ca.crt expires on 2027-01-25; certificates end with it, and no CA is ever made anew: put another one there"
    ]
    empty.run()
    assert (
        empty.certificate(f"{APISERVER}.crt").not_valid_after_utc == empty.certificate("pki/ca.crt").not_valid_after_utc
    )
    assert empty.run() == []


def test_a_master_that_renewed_by_itself_is_believed(world: CertificateWorld) -> None:
    """As kubeadm certs renew does on the node."""
    other = CertificateWorld(own=dict(world.own), held={}, now=NOW + datetime.timedelta(days=300))
    other.run(masters=PARAMS["masters"][:1])
    other.held["master1"] = {}
    other.hand_out()
    world.held["master1"], world.now = other.held["master1"], other.now
    told = world.run(masters=PARAMS["masters"][:1])
    assert len(told) == 13 and all(one.startswith("took ") for one in told)
    assert told[0] == f"took {APISERVER}.key and {APISERVER}.crt (from master1:/etc/kubernetes/pki/apiserver.crt)"
    assert "from master1:/var/lib/kubelet/pki/kubelet.crt" in " ".join(told)


def test_of_two_that_are_good_the_one_that_lasts_longer_counts(world: CertificateWorld) -> None:
    """kubeadm certs renew makes new ones long before the controller's are due."""
    masters = PARAMS["masters"][:1]
    later = NOW + datetime.timedelta(days=200)
    shared = {path: text for path, text in world.own.items() if path.startswith("pki/")}
    other = CertificateWorld(own=shared, held={}, now=later)
    other.run(masters=masters)
    other.held["master1"] = {}
    other.hand_out()
    old, renewed = dict(world.own), other.held["master1"]
    world.held["master1"], world.now = renewed, later
    told = world.run(masters=masters)
    assert len(told) == 13 and all(one.startswith("took ") for one in told)
    world.held["master1"] = {path.removeprefix("masters/master1/"): text for path, text in old.items()}
    assert world.run(masters=masters) == [], "the controller's last longer now"


# ---- what masters hold


def test_an_empty_directory_gets_everything_from_the_masters(world: CertificateWorld) -> None:
    before, world.own = world.own, {}
    told = world.run()
    assert world.own == before
    assert all(one.startswith("took ") for one in told)
    assert "took pki/ca.key (from master1:/etc/kubernetes/pki/ca.key)" in told
    assert world.run() == []


@pytest.mark.parametrize("name", [*SECRETS, "pki/ca.crt"])
def test_what_one_master_alone_holds_is_taken(world: CertificateWorld, name: str) -> None:
    before = world.own.pop(name)
    for master in ("master1", "master3"):
        del world.held[master][name]
    assert world.run() == [f"took {name} (from master2:/etc/kubernetes/{name})"]
    assert world.own[name] == before


@pytest.mark.parametrize("name", ["pki/ca.crt", "pki/sa.key", "pki/encryption.key"])
def test_nothing_shared_is_made_while_a_master_was_not_asked(world: CertificateWorld, name: str) -> None:
    for path in [path for path in world.own if path.startswith(name.rpartition(".")[0])]:
        del world.own[path]
    world.held = {"master1": {}}
    assert world.refused().startswith(
        f"/dir/{name}: is not there, and whether master2 and master3 has it already is not known; run"
    )


# a file that is left -> the CA that it needs
TRACES = [
    ("admin.conf", "ca"),
    ("kubelet.conf", "ca"),
    ("pki/apiserver.crt", "ca"),
    ("pki/etcd/peer.crt", "etcd/ca"),
    ("pki/front-proxy-client.crt", "front-proxy-ca"),
]


@pytest.mark.parametrize(("name", "authority"), TRACES)
@pytest.mark.parametrize("own", [True, False])
def test_no_ca_is_made_where_there_must_be_one(world: CertificateWorld, name: str, authority: str, own: bool) -> None:
    text = world.own[f"masters/master2/{name}"]
    world.own = {f"masters/master2/{name}": text} if own else {}
    world.held = {master: {} for master in ADDRESSES}
    if not own:
        world.held["master2"] = {name: text}
    where = f"/dir/masters/master2/{name}" if own else f"master2:/etc/kubernetes/{name}"
    assert world.refused().startswith(
        f"/dir/pki/{authority}.crt: is not there, but {where} is of such a CA; put the CA's"
    )
    more = new_authority()
    world.own.update({f"pki/{authority}.{kind}": text for kind, text in more.items()})
    assert world.run(), "with that CA, whatever it signed, it goes on"


def test_what_a_kubelet_signed_for_itself_tells_of_no_ca(empty: CertificateWorld) -> None:
    theirs = new_authority(name="master1@1700000000")
    empty.held["master1"] = {f"pki/kubelet.{kind}": text for kind, text in theirs.items()}
    assert empty.run()[0] == "made pki/ca.key and pki/ca.crt (there was none)"


AUTHORITY_FILES = [f"pki/{name}.crt" for name in AUTHORITIES]


def test_an_existing_cluster_gets_no_other_keys(empty: CertificateWorld) -> None:
    """As where all masters have lost /etc/kubernetes, and etcd has its data."""
    empty.first_run = False
    assert empty.refused() == (
        "/dir/: pki/ca.crt, pki/etcd/ca.crt, pki/front-proxy-ca.crt, pki/sa.key and pki/encryption.key of the cluster that exists are"
        " neither there nor on a master, and made anew would cut off its nodes and service accounts, or leave its Secrets"
        " unreadable; give the directory that has all its keys, or put there what a backup of a master's /etc/kubernetes/pki has"
    )
    empty.held = {"master1": {}}
    assert "whether master2 and master3 has it already is not known" in empty.refused()


@pytest.mark.parametrize("name", [*AUTHORITY_FILES, "pki/sa.key"])
def test_each_key_of_an_existing_cluster_is_needed(world: CertificateWorld, name: str) -> None:
    world.first_run = False
    for texts in (world.own, *world.held.values()):
        for path in [path for path in texts if path.startswith(name.removesuffix("crt").removesuffix("key"))]:
            del texts[path]
    assert world.refused().startswith(f"/dir/: {name} of the cluster that exists is neither there nor on a master, and")


def test_an_existing_cluster_keeps_its_keys_wherever_they_are(world: CertificateWorld) -> None:
    world.first_run = False
    assert world.run() == []
    before, world.own = world.own, {}
    assert world.run() and world.own == before
    world.held = {name: {} for name in ADDRESSES}
    assert world.run() == []
    del world.own["pki/ca.key"]
    assert world.run() == [], "somebody else signs"


def test_an_encryption_key_is_made_for_a_cluster_of_kubeadm_alone(world: CertificateWorld) -> None:
    world.first_run = False
    for texts in (world.own, *world.held.values()):
        del texts["pki/encryption.key"]
    before = dict(world.own)
    assert world.run() == ["made pki/encryption.key (there was none)"]
    world.own = before
    world.held = {name: {} for name in ADDRESSES}
    assert world.refused().endswith(
        "; where it never encrypted Secrets, put a new key there (head -c 32 /dev/urandom | base64)"
    )


def test_a_cluster_does_not_begin_with_keys_of_another_one(world: CertificateWorld) -> None:
    """Whoever has a certificate of that one, could use it here."""
    world.first_run = True
    before, world.own = world.own, {}
    world.held = {"master1": {}, "master2": {"pki/ca.crt": before["pki/ca.crt"], "pki/sa.key": before["pki/sa.key"]}}
    world.held["master3"] = {"pki/ca.crt": before["pki/ca.crt"]}
    assert world.refused() == (
        "master2:/etc/kubernetes/pki/ca.crt, master2:/etc/kubernetes/pki/sa.key and master3:/etc/kubernetes/pki/ca.crt: are of"
        " another cluster or an earlier first run, not in /dir/, and in the cluster that begins all certificates of that one would"
        " be valid; move /etc/kubernetes/pki away there, or give the directory of that run, or put them into /dir/pki to use them"
        " on purpose"
    )
    world.own = {"pki/ca.crt": before["pki/ca.crt"], "pki/ca.key": before["pki/ca.key"]}
    assert world.refused().startswith("master2:/etc/kubernetes/pki/sa.key: is of another cluster")
    world.own["pki/sa.key"] = before["pki/sa.key"]
    assert "made pki/etcd/ca.key and pki/etcd/ca.crt (there was none)" in world.run(), "it is used on purpose"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_first_run_that_was_cut_off_is_finished_with_its_keys(empty: CertificateWorld, count: int) -> None:
    empty.first_run = True
    assert len(empty.run()) == 5 + 3 * len([*PAIRS, *KUBECONFIGS])
    empty.hand_out()
    empty.held.update({name: {} for name in list(ADDRESSES)[count:]})
    assert empty.run() == []


@pytest.mark.parametrize("name", [*SECRETS, "pki/ca.crt"])
@pytest.mark.parametrize("own", [True, False])
def test_two_different_ones_are_refused(world: CertificateWorld, name: str, own: bool) -> None:
    other = CertificateWorld()
    other.run()
    other.hand_out()
    kept = {"pki/ca.crt": ["pki/ca.key"], "pki/sa.key": ["pki/sa.pub"]}.get(name, [])
    for one in (name, *kept):
        world.held["master2"][one] = other.held["master2"][one]
        if not own:
            del world.own[one]
    message = world.refused()
    assert f"master2:/etc/kubernetes/{name}" in message
    assert ("are two different" in message) or "is not the key of" in message


def test_the_same_ca_renewed_with_its_key_is_no_other_one(world: CertificateWorld) -> None:
    key = world.authority().key
    assert key is not None
    world.own["pki/ca.crt"] = _pki.certificate_text([_pki.new_authority("kubernetes", key, Period(NOW, 7300))])
    told = world.run()
    assert told and all(".conf (its CA is another one)" in one for one in told)


def test_a_ca_is_exchanged_in_two_runs(world: CertificateWorld) -> None:
    new = new_authority()
    old = world.own["pki/ca.crt"]
    world.own["pki/ca.crt"] = old + new["crt"]
    told = world.run()
    assert told and all(".conf (its CA is another one)" in one for one in told)
    world.hand_out()
    world.own.update({"pki/ca.crt": new["crt"] + old, "pki/ca.key": new["key"]})
    told = world.run()
    assert len(told) == 3 * 8 and all("(it is not signed by pki/ca.crt)" in one for one in told)
    config = _kubeconfig.parse(world.own[ADMIN], where="")
    assert config.authority == new["crt"] + old
    assert world.run() == []


def test_a_ca_that_no_master_knows_signs_nothing(world: CertificateWorld) -> None:
    new = new_authority()
    world.hand_out()
    world.own.update({"pki/ca.crt": new["crt"] + world.own["pki/ca.crt"], "pki/ca.key": new["key"]})
    assert world.refused().startswith(
        "/dir/pki/ca.crt: its first CA is not in master1:/etc/kubernetes/pki/ca.crt yet, so nothing there would trust what it signs"
    )


def test_a_ca_that_is_exchanged_needs_the_new_key(world: CertificateWorld) -> None:
    world.own["pki/ca.crt"] += new_authority()["crt"]
    world.run()
    world.hand_out()
    certificates = re.findall(r"-----BEGIN.*?-----END CERTIFICATE-----\n", world.own["pki/ca.crt"], re.DOTALL)
    world.own["pki/ca.crt"] = "".join(reversed(certificates))
    assert world.refused().startswith("/dir/pki/ca.key: is not the key of pki/ca.crt")


def test_a_garbled_file_of_a_master_is_as_good_as_none(world: CertificateWorld) -> None:
    for kind in ("crt", "key"):
        del world.own[f"{APISERVER}.{kind}"]
    world.held["master1"]["pki/apiserver.crt"] = "garbled"
    [told] = world.run()
    assert told.startswith(
        f"made {APISERVER}.key and {APISERVER}.crt (master1:/etc/kubernetes/pki/apiserver.crt: is no cert"
    )


# ---- a CA of the user's own


def test_a_ca_of_ones_own_signs(empty: CertificateWorld) -> None:
    theirs = new_authority(name="Example Root")
    empty.own.update({f"pki/ca.{kind}": text for kind, text in theirs.items()})
    told = empty.run()
    assert not any("pki/ca." in one for one in told)
    assert empty.own["pki/ca.crt"] == theirs["crt"]
    assert _pki.is_signed_by(_pki.Pair((empty.certificate(f"{APISERVER}.crt"),), None), empty.certificate("pki/ca.crt"))


def test_without_its_key_what_is_missing_is_named(empty: CertificateWorld) -> None:
    empty.own["pki/front-proxy-ca.crt"] = new_authority()["crt"]
    files = "; ".join(f"/dir/masters/{name}/pki/front-proxy-client.crt (there was none)" for name in ADDRESSES)
    assert empty.refused() == (
        "pki/front-proxy-ca.key is not there, and without it nothing can be signed by pki/front-proxy-ca.crt; have these signed"
        f" by whoever has that key and put them there with their keys, or put the CA's key there: {files}"
    )


def test_without_its_key_what_is_there_is_kept(world: CertificateWorld) -> None:
    names = NAMES | {"more.example.org"}
    world.sign("pki/kubelet", Subject("system:node:master1", frozenset(["system:nodes"]), SERVER | CLIENT, names))
    del world.own["pki/ca.key"]
    for held in world.held.values():
        del held["pki/ca.key"]
    assert world.run() == [], "somebody else may have put more into it"
    assert "masters/master1/pki/apiserver.crt (it lacks api.example.org)" in world.refused(
        control_plane_endpoint="api.example.org"
    )


def test_a_chain_leads_to_the_ca(world: CertificateWorld) -> None:
    root = world.authority()
    assert root.key is not None
    key = _pki.new_key(_pki.ECDSA_P256)
    between = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "between")]))
        .issuer_name(root.certificate.subject)
        .public_key(key.public_key())
        .serial_number(5)
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(days=1000))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(root.key, hashes.SHA256())
    )
    subject = Subject("system:node:master1", frozenset(["system:nodes"]), SERVER, NAMES)
    world.sign("pki/kubelet", subject, by=_pki.Pair((between,), key))
    world.held["master1"] = {}
    assert world.plan().steps[0].why == "it is not signed by pki/ca.crt"
    world.own[f"{KUBELET}.crt"] += _pki.certificate_text([between])
    assert world.run() == []


# ---- refused before anything is touched


def put(path: str, text: str) -> t.Callable[[CertificateWorld], None]:
    return lambda world: world.own.update({path: text})


def old_ca(**options: t.Any) -> t.Callable[[CertificateWorld], None]:
    def do(world: CertificateWorld) -> None:
        key = world.authority().key
        assert key is not None
        world.own["pki/ca.crt"] = _pki.certificate_text([_pki.new_authority("kubernetes", key, Period(**options))])

    return do


OTHER = new_authority()
YEAR = datetime.timedelta(days=365)

REFUSED: list[tuple[t.Callable[[CertificateWorld], t.Any], str]] = [
    (
        put("pki/ca.crt", "garbled"),
        "/dir/pki/ca.crt: is no certificate in PEM form; put the right one there, or remove it",
    ),
    (
        put("pki/ca.key", "garbled"),
        "/dir/pki/ca.key: is no private key in PEM form; put the right one there, or remove it",
    ),
    (
        put("pki/ca.key", OTHER["key"]),
        "/dir/pki/ca.key: is not the key of pki/ca.crt; put the two that belong together there",
    ),
    (put("pki/ca.crt", OTHER["crt"]), "/dir/pki/ca.crt and master1:/etc/kubernetes/pki/ca.crt: are two different CAs"),
    (
        old_ca(now=NOW - 2 * YEAR, days=365),
        "/dir/pki/ca.crt: expired on 2025-11-26, so nothing that it signed is trusted",
    ),
    (
        old_ca(now=NOW + YEAR, days=365),
        "/dir/pki/ca.crt: is not valid before 2027-11-26 11:00 UTC; set the controller's clock",
    ),
    (
        move(f"{APISERVER}.crt", "pki/etcd/ca.crt"),
        "/dir/pki/etcd/ca.crt and master1:/etc/kubernetes/pki/etcd/ca.crt: are two",
    ),
    (put(f"{APISERVER}.crt", "garbled"), f"/dir/{APISERVER}.crt: is no certificate in PEM form"),
    (put(f"{APISERVER}.key", "garbled"), f"/dir/{APISERVER}.key: is no private key in PEM form"),
    (put(ADMIN, "[]"), f"/dir/{ADMIN}: is no kubeconfig with a current context; put the right one there, or remove it"),
    (put(ADMIN, "a: [\n"), f"/dir/{ADMIN}: is no kubeconfig with a current context"),
    (
        put("pki/sa.pub", _pki.public_text(_pki.new_key(_pki.ECDSA_P256))),
        "/dir/pki/sa.pub: is not for the key /dir/pki/sa.key",
    ),
    (put("pki/sa.pub", "garbled"), "/dir/pki/sa.pub: is no public key in PEM form; remove it to have it made again"),
    (
        put("pki/encryption.key", "c2hvcnQ="),
        "/dir/pki/encryption.key: is no key of 32 bytes in base64; put the right one",
    ),
    (put("pki/encryption.key", "!"), "/dir/pki/encryption.key: is no key of 32 bytes in base64"),
]


@pytest.mark.parametrize(("do", "message"), REFUSED, ids=[row[1][:48] for row in REFUSED])
def test_what_would_be_a_fault_is_refused(
    world: CertificateWorld, do: t.Callable[[CertificateWorld], t.Any], message: str
) -> None:
    do(world)
    assert world.refused().startswith(message)


def test_a_certificate_that_signs_nothing_is_no_ca(world: CertificateWorld) -> None:
    world.own["pki/ca.crt"] = world.own[f"{APISERVER}.crt"]
    world.held = {name: {} for name in ADDRESSES}
    assert world.refused() == "/dir/pki/ca.crt: is no CA's certificate; put the one there that signs the others"


def test_a_public_key_alone_is_refused(world: CertificateWorld) -> None:
    del world.own["pki/sa.key"]
    world.held = {name: {} for name in ADDRESSES}
    assert world.refused().startswith("/dir/pki/sa.pub: is there without pki/sa.key anywhere; put that key there")


def test_a_public_key_is_made_for_its_key(world: CertificateWorld) -> None:
    before = world.own.pop("pki/sa.pub")
    for held in world.held.values():
        del held["pki/sa.pub"]
    assert world.run() == ["made pki/sa.pub (there was none for /dir/pki/sa.key)"]
    assert world.own["pki/sa.pub"] == before


# ---- a run that was killed


def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(empty: CertificateWorld) -> None:
    files = [file for step in empty.plan().steps for file in step.files.items()]
    for count in range(len(files)):
        world = CertificateWorld(own={path[len("/dir/") :]: text for path, text in files[:count]})
        written = dict(world.own)
        world.run()
        assert len(world.own) == len(files)
        lost = {path for path, text in written.items() if world.own[path] != text}
        # A key whose certificate was not written yet gets lost, but never one that masters share.
        assert len(lost) <= 1 and not lost & set(SHARED), count
        assert world.run() == []


def test_a_renewal_that_is_killed_anywhere_is_finished_by_the_next(world: CertificateWorld) -> None:
    masters = PARAMS["masters"][:1]
    world.now += datetime.timedelta(days=300)
    files = [file for step in world.plan(masters=masters).steps for file in step.files.items()]
    before = dict(world.own)
    for count in range(len(files)):
        world.own = {**before, **{path[len("/dir/") :]: text for path, text in files[:count]}}
        world.run(masters=masters)
        assert world.run(masters=masters) == []
        assert {path: world.own[path] for path in SHARED} == {path: before[path] for path in SHARED}
