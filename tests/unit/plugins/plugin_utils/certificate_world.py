# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller's directory and masters in memory, on which certificates are planned and brought about."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.plugin_utils import _certificate_plan, _control_plane, _pki
from ansible_collections.kubestatic.node.plugins.plugin_utils._certificate_plan import Desk, Plan
from ansible_collections.kubestatic.node.plugins.plugin_utils._control_plane import ControlPlane
from ansible_collections.kubestatic.node.plugins.plugin_utils._pki import Pair, Period, Subject
from ansible_collections.kubestatic.node.plugins.plugin_utils._shared_keys import Place, Terms
from cryptography import x509

NOW = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC)
ADDRESSES = {"master1": "192.0.2.11", "master2": "192.0.2.12", "master3": "192.0.2.13"}
DIRECTORY = "/dir/"

PARAMS: dict[str, t.Any] = {
    "masters": [
        {"name": name, "address": address, "sans": [], "held": "/held", "new": False}
        for name, address in ADDRESSES.items()
    ],
    "control_plane_endpoint": "",
    "api_server_port": 6443,
    "api_server_sans": [],
    "service_subnet": "10.96.0.0/12",
    "dns_domain": "cluster.local",
}


def plane(**params: t.Any) -> ControlPlane:
    return _control_plane.control_plane({**PARAMS, **params})


@dataclasses.dataclass
class CertificateWorld:
    """``own``: path below the directory -> text. ``held``: master -> name -> text, for those that were asked."""

    own: dict[str, str] = dataclasses.field(default_factory=dict)
    held: dict[str, dict[str, str]] = dataclasses.field(default_factory=lambda: {name: {} for name in ADDRESSES})
    now: datetime.datetime = NOW
    algorithm: str = _pki.ECDSA_P256
    days: int = 365
    authority_days: int = 3650
    renew_before: int = 90
    first_run: bool | None = None

    def plan(self, **params: t.Any) -> Plan:
        found = plane(**params)
        terms = Terms(
            now=self.now,
            algorithm=self.algorithm,
            days=self.days,
            authority_days=self.authority_days,
            renew_before=datetime.timedelta(days=self.renew_before),
            unknown=[master.name for master in found.masters if master.name not in self.held],
            first_run=self.first_run,
        )
        return _certificate_plan.plan(self._place(""), [self._desk(found, master) for master in found.masters], terms)

    def run(self, **params: t.Any) -> list[str]:
        """Bring the plan about. Returns its steps as sentences."""
        steps = self.plan(**params).steps
        for step in steps:
            self.own.update({path[len(DIRECTORY) :]: text for path, text in step.files.items()})
        return [
            f"{step.verb} {' and '.join(path[len(DIRECTORY) :] for path in step.files)} ({step.why})" for step in steps
        ]

    def refused(self, **params: t.Any) -> str:
        before = dict(self.own)
        with pytest.raises(KubestaticError) as caught:
            self.run(**params)
        message = str(caught.value)
        assert self.own == before
        assert "\n" not in message and "PRIVATE" not in message
        return message

    def hand_out(self) -> None:
        """Each master gets what is in the directory for it."""
        for name in self.held:
            above = f"masters/{name}/"
            self.held[name] = {
                path.removeprefix(above): text for path, text in self.own.items() if path.startswith((above, "pki/"))
            }

    def certificate(self, path: str) -> x509.Certificate:
        return _pki.certificates(self.own[path], where=path)[0]

    def authority(self, name: str = "ca") -> Pair:
        path = f"pki/{name}"
        key = self.own.get(f"{path}.key")
        return Pair(
            _pki.certificates(self.own[f"{path}.crt"], where=path),
            _pki.private_key(key, where=path) if key else None,
        )

    def sign(self, name: str, subject: Subject, *, by: Pair | None = None, master: str = "master1") -> None:
        """Put a pair of files that somebody else has made into the directory."""
        key = _pki.new_key(_pki.ECDSA_P256)
        pair = _pki.new_pair(subject, key, signer=by or self.authority(), period=Period(self.now, self.days))
        self.own[f"masters/{master}/{name}.key"] = _pki.key_text(key)
        self.own[f"masters/{master}/{name}.crt"] = _pki.certificate_text(pair.chain)

    def _place(self, above: str) -> Place:
        texts = {path[len(above) :]: text for path, text in self.own.items() if path.startswith(above)}
        return Place(DIRECTORY + above, texts)

    def _desk(self, found: ControlPlane, master: _control_plane.Master) -> Desk:
        held = self.held.get(master.name)
        place = None if held is None else Place(f"{master.name}:", held, is_node=True)
        return Desk(self._place(f"masters/{master.name}/"), place, _control_plane.leaves(found, master))


def new_authority(*, now: datetime.datetime = NOW, days: int = 3650, name: str = "kubernetes") -> dict[str, str]:
    """A CA of somebody else: the files ``crt`` and ``key``."""
    key = _pki.new_key(_pki.ECDSA_P256)
    certificate = _pki.new_authority(name, key, Period(now, days))
    return {"crt": _pki.certificate_text([certificate]), "key": _pki.key_text(key)}
