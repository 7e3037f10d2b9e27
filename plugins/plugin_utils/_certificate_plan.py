# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Which certificates and kubeconfigs are kept, taken over or made, and why. Nothing here reads or writes a file."""

from __future__ import annotations

import concurrent.futures
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.kubestatic.node.plugins.module_utils._control_plane_files import AUTHORITIES, KUBELET_PAIR
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.plugin_utils import _kubeconfig, _pki, _shared_keys
from ansible_collections.kubestatic.node.plugins.plugin_utils._control_plane import Leaf
from ansible_collections.kubestatic.node.plugins.plugin_utils._kubeconfig import Kubeconfig
from ansible_collections.kubestatic.node.plugins.plugin_utils._pki import Pair, Period, Subject
from ansible_collections.kubestatic.node.plugins.plugin_utils._shared_keys import Place, Signer, Step, Terms


class Desk(t.NamedTuple):
    """One master's files: those of the controller for it, and those that it holds itself."""

    own: Place
    held: Place | None
    leaves: Sequence[Leaf]


class Plan(t.NamedTuple):
    """``certificates``: path on the controller -> certificate, of signers, too."""

    steps: list[Step]
    certificates: Mapping[str, Pair]
    warnings: list[str]


class Found(t.NamedTuple):
    """What a place has for a leaf: the pair as values and as texts (key, certificate); ``config`` for a kubeconfig."""

    place: Place
    pair: Pair
    texts: tuple[str, str]
    config: Kubeconfig | None = None


class Due(t.NamedTuple):
    """A leaf that has to be made."""

    leaf: Leaf
    own: Place
    why: str


def plan(own: Place, desks: Sequence[Desk], terms: Terms) -> Plan:
    """Decide everything. Raises KubestaticError for what is refused; nothing was written then."""
    held = [desk.held for desk in desks if desk.held]
    _shared_keys.require_of_cluster(own=own, held=held, terms=terms)
    steps: list[Step] = []
    signers: dict[str, Signer] = {}
    for name in AUTHORITIES:
        signers[name], more = _shared_keys.signer(name, own=own, held=held, terms=terms, traces=_traces(name, desks))
        steps += more
    steps += _shared_keys.service_account(own=own, held=held, terms=terms)
    steps += _shared_keys.encryption_key(own=own, held=held, terms=terms)
    certificates = {own.where(f"pki/{one.name}.crt"): one.pair for one in signers.values()}
    warnings = [
        f"{path} expires on {_date(pair)}; certificates end with it, and no CA is ever made anew: put another one there"
        for path, pair in certificates.items()
        if pair.certificate.not_valid_after_utc - terms.now < terms.renew_before
    ]
    due: list[Due] = []
    for desk in desks:
        for leaf in desk.leaves:
            decided = _decide(leaf, desk, signers[leaf.authority], terms)
            if isinstance(decided, Due):
                due.append(decided)
                continue
            steps += _steps(leaf, decided, desk.own, signers[leaf.authority])
            certificates[desk.own.where(_certificate_name(leaf))] = decided.pair
    _require_keys(due, signers)
    for one, pair in zip(due, _new_pairs(due, signers, terms), strict=True):
        texts = (_pki.key_text(t.cast("_pki.Key", pair.key)), _pki.certificate_text(pair.chain))
        steps.append(Step("made", _files(one.leaf, texts, own=one.own, signer=signers[one.leaf.authority]), one.why))
        certificates[one.own.where(_certificate_name(one.leaf))] = pair
    return Plan(steps, certificates, warnings)


def _traces(authority: str, desks: Sequence[Desk]) -> list[str]:
    """The files that tell of a CA of this name, wherever that is itself."""
    return [
        place.where(_certificate_name(leaf))
        for desk in desks
        for place in filter(None, [desk.own, desk.held])
        for leaf in desk.leaves
        # A kubelet without any cluster signs this one for itself.
        if leaf.authority == authority and leaf.name != KUBELET_PAIR and _certificate_name(leaf) in place.texts
    ]


def _new_pairs(due: Sequence[Due], signers: Mapping[str, Signer], terms: Terms) -> list[Pair]:
    # Making RSA keys takes nearly all the time, and leaves the interpreter free meanwhile.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        keys = list(pool.map(lambda _one: _pki.new_key(terms.algorithm), due))
    period = Period(terms.now, terms.days)
    return [
        _pki.new_pair(one.leaf.subject, key, signer=signers[one.leaf.authority].pair, period=period)
        for one, key in zip(due, keys, strict=True)
    ]


def fault(pair: Pair, leaf: Leaf, signer: Signer, terms: Terms) -> str:
    """Why a certificate will not do; empty where it does."""
    certificate = pair.certificate
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if pair.key is None or _pki.fingerprint(pair.key) != _pki.fingerprint(certificate):
        return "its key is another one's"
    if not _pki.is_signed_by(pair, signer.pair.certificate):
        return f"it is not signed by pki/{signer.name}.crt"
    if start > terms.now:
        return f"it is not valid before {start:%Y-%m-%d %H:%M} UTC"
    if end < terms.now:
        return f"it expired on {_date(pair)}"
    # A new one could not last longer than its signer.
    if end - terms.now < terms.renew_before and end < signer.pair.certificate.not_valid_after_utc:
        return f"it expires on {_date(pair)}"
    return _drift(_pki.subject(certificate), leaf, is_ours=signer.pair.key is not None)


def _drift(found: Subject, leaf: Leaf, *, is_ours: bool) -> str:
    """What differs. Where somebody else signs (``is_ours`` false), a certificate may say more than is needed."""
    wanted = leaf.subject
    groups = [one.organizations - leaf.optional for one in (found, wanted)]
    if found.common_name != wanted.common_name or groups[0] != groups[1]:
        return f"it is for {_holder(found)}, not for {_holder(wanted)}"
    if not wanted.usages <= found.usages:
        return f"it is not for use by a {' or a '.join(sorted(wanted.usages - found.usages))}"
    if not wanted.names <= found.names:
        return f"it lacks {', '.join(sorted(wanted.names - found.names))}"
    if is_ours and found.names != wanted.names:
        return f"it is also for {', '.join(sorted(found.names - wanted.names))}"
    return ""


def _holder(subject: Subject) -> str:
    return ", ".join([f"CN={subject.common_name}", *(f"O={one}" for one in sorted(subject.organizations))])


def _decide(leaf: Leaf, desk: Desk, signer: Signer, terms: Terms) -> Found | Due:
    """Of the controller's own and the master's the one that is good, else a new one.

    Of two that are good the one that lasts longer, as ``kubeadm certs renew`` makes it on the master; where others sign, the controller's.
    """
    reasons, good = [], []
    for place in filter(None, [desk.own, desk.held]):
        try:
            found = _found(leaf, place)
        except KubestaticError as exc:
            if place is desk.own:
                raise
            # The master gets a new one anyway.
            found = str(exc)
        why = found if isinstance(found, str) else fault(found.pair, leaf, signer, terms)
        if not why and isinstance(found, Found):
            good.append(found)
        else:
            reasons.append(why)
    if good:
        # The first of two that are alike.
        return max(good, key=lambda one: one.pair.certificate.not_valid_after_utc) if signer.pair.key else good[0]
    return Due(leaf, desk.own, next(filter(None, reasons), "there was none"))


def _found(leaf: Leaf, place: Place) -> Found | str:
    """What a place has, or why that is not enough: empty for nothing at all. Raises KubestaticError."""
    config = None
    if leaf.server:
        if leaf.name not in place.texts:
            return ""
        key_where = crt_where = place.where(leaf.name)
        config = _kubeconfig.parse(place.texts[leaf.name], where=crt_where)
        key, certificate = config.key, config.certificate
        if not key or not certificate:
            return "it had no certificate with a key in it"
    else:
        key_where, crt_where = place.where(f"{leaf.name}.key"), place.where(f"{leaf.name}.crt")
        key, certificate = place.texts.get(f"{leaf.name}.key", ""), place.texts.get(f"{leaf.name}.crt", "")
        if not key and not certificate:
            return ""
    if not key or not certificate:
        return f"the {'certificate' if key else 'key'} was not there"
    pair = Pair(_pki.certificates(certificate, where=crt_where), _pki.private_key(key, where=key_where))
    return Found(place, pair, (key, certificate), config)


def _steps(leaf: Leaf, found: Found, own: Place, signer: Signer) -> list[Step]:
    """What has to be written for a leaf whose certificate is good."""
    config = found.config
    if config and (config.server, config.authority.strip()) != (leaf.server, signer.text.strip()):
        why = "its CA is another one"
        if config.server != leaf.server:
            why = f"its server was {config.server}, and is to be {leaf.server}"
        return [Step("changed", _files(leaf, found.texts, own=own, signer=signer), why)]
    if found.place is own:
        return []
    names = [leaf.name] if config else [f"{leaf.name}.key", f"{leaf.name}.crt"]
    files = {own.where(name): found.place.texts[name] for name in names}
    return [Step("took", files, f"from {found.place.where(_certificate_name(leaf))}")]


def _files(leaf: Leaf, texts: tuple[str, str], *, own: Place, signer: Signer) -> dict[str, str]:
    key, certificate = texts
    if leaf.server:
        config = Kubeconfig(leaf.server, signer.text, certificate, key)
        return {own.where(leaf.name): _kubeconfig.render(config, user=leaf.subject.common_name)}
    return {own.where(f"{leaf.name}.key"): key, own.where(f"{leaf.name}.crt"): certificate}


def _certificate_name(leaf: Leaf) -> str:
    return leaf.name if leaf.server else f"{leaf.name}.crt"


def _require_keys(due: Sequence[Due], signers: Mapping[str, Signer]) -> None:
    """Raise KubestaticError that names all leaves that only somebody else can sign."""
    for name, signer in signers.items():
        stuck = [one for one in due if one.leaf.authority == name]
        if stuck and signer.pair.key is None:
            files = "; ".join(f"{one.own.where(_certificate_name(one.leaf))} ({one.why})" for one in stuck)
            raise KubestaticError(
                f"pki/{name}.key is not there, and without it nothing can be signed by pki/{name}.crt; have these signed by"
                f" whoever has that key and put them there with their keys, or put the CA's key there: {files}"
            )


def _date(pair: Pair) -> str:
    return f"{pair.certificate.not_valid_after_utc:%Y-%m-%d}"
