# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""What all masters share: signers, service account key, encryption key. Found somewhere, or made; never two of a kind.

Nothing here reads or writes a file.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import os
import typing as t
from collections.abc import Callable, Mapping, Sequence

from ansible_collections.kubestatic.node.plugins.module_utils._control_plane_files import (
    AUTHORITIES,
    ENCRYPTION_KEY,
    SERVICE_ACCOUNT_KEY,
    SERVICE_ACCOUNT_PUBLIC_KEY,
    SHARED,
    node_path,
)
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.plugin_utils import _pki
from ansible_collections.kubestatic.node.plugins.plugin_utils._masters import listed
from ansible_collections.kubestatic.node.plugins.plugin_utils._pki import Pair, Period

if t.TYPE_CHECKING:
    from ansible_collections.kubestatic.node.plugins.plugin_utils._pki import Key

# As aescbc and secretbox take it (apiserver/pkg/server/options/encryptionconfig/config.go).
_ENCRYPTION_KEY_BYTES = 32


class Place(t.NamedTuple):
    """Where files lie: a directory of the controller, or a master. ``texts``: name -> what is in the file."""

    prefix: str
    texts: Mapping[str, str]
    is_node: bool = False

    def where(self, name: str) -> str:
        return f"{self.prefix}{node_path(name) if self.is_node else name}"


class Step(t.NamedTuple):
    """Files (path on the controller -> text) that are to be written together; ``verb`` is made, took or changed."""

    verb: str
    files: Mapping[str, str]
    why: str


class Terms(t.NamedTuple):
    """What holds for everything that is made.

    ``unknown``: the masters of which nothing was gathered. ``first_run``: whether the cluster begins, None where that is not known.
    """

    now: datetime.datetime
    algorithm: str
    days: int
    authority_days: int
    renew_before: datetime.timedelta
    unknown: Sequence[str] = ()
    first_run: bool | None = None

    def require_gathered(self, where: str) -> None:
        """Raise KubestaticError where a master may hold what would be made anew."""
        if self.unknown:
            raise KubestaticError(
                f"{where}: is not there, and whether {' and '.join(self.unknown)} has it already is not known; run"
                " control_plane_info on each master first, and give what it returns as masters[].held"
            )


class Signer(t.NamedTuple):
    """A CA: ``text`` is its file, ``pair.key`` None where only somebody else can sign."""

    name: str
    text: str
    pair: Pair


def require_of_cluster(*, own: Place, held: Sequence[Place], terms: Terms) -> None:
    """Raise KubestaticError for keys of another cluster, and where one exists that has keys which would be made anew."""
    if terms.first_run:
        _require_no_others(own, held)
    elif terms.first_run is not None:
        _require_none_missing(own, held, terms)


def _require_none_missing(own: Place, held: Sequence[Place], terms: Terms) -> None:
    """Raise KubestaticError where a cluster exists, and nobody has what would be made anew for it."""
    names = {name for place in [own, *held] for name in place.texts}
    missing = [f"pki/{name}.crt" for name in AUTHORITIES if not names & {f"pki/{name}.crt", f"pki/{name}.key"}]
    if SERVICE_ACCOUNT_KEY not in names:
        missing.append(SERVICE_ACCOUNT_KEY)
    # kubeadm's clusters have none, which only a master that is whole can tell: preflight knows the keys of its API server.
    if ENCRYPTION_KEY not in names and not any("pki/ca.crt" in place.texts for place in held):
        missing.append(ENCRYPTION_KEY)
    if not missing:
        return
    terms.require_gathered(own.where(missing[0]))
    remedy = ""
    if missing == [ENCRYPTION_KEY]:
        remedy = "; where it never encrypted Secrets, put a new key there (head -c 32 /dev/urandom | base64)"
    raise KubestaticError(
        f"{own.prefix}: {listed(missing)} of the cluster that exists {'is' if len(missing) == 1 else 'are'} neither there nor on a"
        " master, and made anew would cut off its nodes and service accounts, or leave its Secrets unreadable; give the directory"
        f" that has all its keys, or put there what a backup of a master's /etc/kubernetes/pki has{remedy}"
    )


def _require_no_others(own: Place, held: Sequence[Place]) -> None:
    """Raise KubestaticError where masters of a cluster that begins hold keys already. Those of a run that was cut off are in ``own``."""
    others = [place.where(name) for place in held for name in SHARED if name in place.texts.keys() - own.texts.keys()]
    if others:
        raise KubestaticError(
            f"{listed(others)}: {'is' if len(others) == 1 else 'are'} of another cluster or an earlier first run, not in"
            f" {own.prefix}, and in the cluster that begins all certificates of that one would be valid; move /etc/kubernetes/pki away"
            f" there, or give the directory of that run, or put them into {own.prefix}pki to use them on purpose"
        )


def signer(
    name: str, *, own: Place, held: Sequence[Place], terms: Terms, traces: Sequence[str]
) -> tuple[Signer, list[Step]]:
    """The one CA of this name, and what has to be written for it. ``traces``: files that need it. Raises KubestaticError."""
    crt, key_name = f"pki/{name}.crt", f"pki/{name}.key"
    places = [own, *held]
    having = [place for place in places if crt in place.texts]
    if having:
        chain = _agreed_chain(crt, having)
        _require_usable(chain[0], where=having[0].where(crt), now=terms.now)
        key_place = _place_of_key(key_name, places, chain=chain)
        key = _key(key_name, key_place) if key_place else None
        found = Signer(name, having[0].texts[crt], Pair(chain, key))
        return found, [*_take(crt, having[0], own=own), *_take(key_name, key_place, own=own)]
    # A run that was killed between a key and its certificate has left the key.
    lone = _agreed(key_name, places, _key_number)
    if lone is None:
        terms.require_gathered(own.where(crt))
        _require_no(traces, where=own.where(crt))
    key = _key(key_name, lone) if lone else _pki.new_key(terms.algorithm)
    why = f"there was none for {lone.where(key_name)}" if lone else "there was none"
    certificate = _pki.new_authority(AUTHORITIES[name], key, Period(terms.now, terms.authority_days))
    made = Signer(name, _pki.certificate_text([certificate]), Pair((certificate,), key))
    files = {own.where(key_name): _pki.key_text(key), own.where(crt): made.text}
    return made, [Step("made", files, why)]


def _require_no(traces: Sequence[str], *, where: str) -> None:
    """Raise KubestaticError where there is, or was, a CA: all that it signed would be void with another one."""
    if traces:
        more = f" and {len(traces) - 1} more" if len(traces) > 1 else ""
        raise KubestaticError(
            f"{where}: is not there, but {traces[0]}{more} is of such a CA; put the CA's certificate there, and its key if it is"
            " to sign, or remove what is left of a cluster that is gone"
        )


def service_account(*, own: Place, held: Sequence[Place], terms: Terms) -> list[Step]:
    """What has to be written for the key that signs the tokens of service accounts. Raises KubestaticError."""
    places = [own, *held]
    place = _agreed(SERVICE_ACCOUNT_KEY, places, _key_number)
    public_place = next((one for one in places if SERVICE_ACCOUNT_PUBLIC_KEY in one.texts), None)
    if place is None:
        if public_place:
            raise KubestaticError(
                f"{public_place.where(SERVICE_ACCOUNT_PUBLIC_KEY)}: is there without {SERVICE_ACCOUNT_KEY} anywhere; put"
                " that key there, as with another one all tokens in the cluster would be void"
            )
        terms.require_gathered(own.where(SERVICE_ACCOUNT_KEY))
        key = _pki.new_key(terms.algorithm)
        files = {
            own.where(SERVICE_ACCOUNT_KEY): _pki.key_text(key),
            own.where(SERVICE_ACCOUNT_PUBLIC_KEY): _pki.public_text(key),
        }
        return [Step("made", files, "there was none")]
    key = _key(SERVICE_ACCOUNT_KEY, place)
    steps = _take(SERVICE_ACCOUNT_KEY, place, own=own)
    if public_place is None:
        files = {own.where(SERVICE_ACCOUNT_PUBLIC_KEY): _pki.public_text(key)}
        return [*steps, Step("made", files, f"there was none for {place.where(SERVICE_ACCOUNT_KEY)}")]
    where = public_place.where(SERVICE_ACCOUNT_PUBLIC_KEY)
    if _pki.fingerprint(key) not in _pki.key_fingerprints(public_place.texts[SERVICE_ACCOUNT_PUBLIC_KEY], where=where):
        raise KubestaticError(
            f"{where}: is not for the key {place.where(SERVICE_ACCOUNT_KEY)}; put the two that belong together there, or remove"
            " the public one to have it made again"
        )
    return [*steps, *_take(SERVICE_ACCOUNT_PUBLIC_KEY, public_place, own=own)]


def encryption_key(*, own: Place, held: Sequence[Place], terms: Terms) -> list[Step]:
    """What has to be written for the key that encrypts Secrets in etcd. Raises KubestaticError."""
    place = _agreed(ENCRYPTION_KEY, [own, *held], _encryption_key)
    if place:
        return _take(ENCRYPTION_KEY, place, own=own)
    terms.require_gathered(own.where(ENCRYPTION_KEY))
    text = base64.b64encode(os.urandom(_ENCRYPTION_KEY_BYTES)).decode() + "\n"
    return [Step("made", {own.where(ENCRYPTION_KEY): text}, "there was none")]


def _encryption_key(text: str, where: str) -> str:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _ENCRYPTION_KEY_BYTES:
        raise KubestaticError(f"{where}: is no key of {_ENCRYPTION_KEY_BYTES} bytes in base64; put the right one there")
    return key.hex()


def _take(name: str, place: Place | None, *, own: Place) -> list[Step]:
    if place is None or place is own:
        return []
    return [Step("took", {own.where(name): place.texts[name]}, f"from {place.where(name)}")]


def _key(name: str, place: Place) -> Key:
    return _pki.private_key(place.texts[name], where=place.where(name))


def _key_number(text: str, where: str) -> str:
    return _pki.fingerprint(_pki.private_key(text, where=where))


def _agreed(name: str, places: Sequence[Place], identify: Callable[[str, str], str]) -> Place | None:
    """The first place that has this secret; raises KubestaticError where two places have different ones."""
    having = [place for place in places if name in place.texts]
    known = [identify(place.texts[name], place.where(name)) for place in having]
    for place, one in zip(having, known, strict=True):
        if one != known[0]:
            raise _two_kinds(having[0].where(name), place.where(name), kind="keys")
    return having[0] if having else None


def _agreed_chain(name: str, having: Sequence[Place]) -> tuple[t.Any, ...]:
    """The certificates of the first place.

    Another place may have any of them: while a CA is exchanged, both are in the file. What counts is the key: a CA that
    was renewed with its key is the same one. One that signs is known everywhere before: what runs on the masters would not
    trust what it has signed.
    """
    chains = [_pki.certificates(place.texts[name], where=place.where(name)) for place in having]
    known = {_pki.fingerprint(certificate) for certificate in chains[0]}
    for place, chain in zip(having, chains, strict=True):
        if _pki.fingerprint(chain[0]) not in known:
            raise _two_kinds(having[0].where(name), place.where(name), kind="CAs")
        if _pki.fingerprint(chains[0][0]) not in map(_pki.fingerprint, chain):
            raise KubestaticError(
                f"{having[0].where(name)}: its first CA is not in {place.where(name)} yet, so nothing there would trust what it signs; put it"
                " behind the old one first, with the old one's key, run, restart the kubelets, and change the order then"
            )
    return chains[0]


def _place_of_key(name: str, places: Sequence[Place], *, chain: Sequence[t.Any]) -> Place | None:
    """The first place with the key of the first certificate. Raises KubestaticError for one that is no certificate's."""
    found = None
    known = [_pki.fingerprint(certificate) for certificate in chain]
    for place in places:
        if name not in place.texts:
            continue
        number = _key_number(place.texts[name], place.where(name))
        if number == known[0]:
            found = found or place
        elif place is places[0] or number not in known:
            raise KubestaticError(
                f"{place.where(name)}: is not the key of {name.replace('.key', '.crt')}; put the two that belong together there"
            )
    return found


def _two_kinds(one: str, other: str, *, kind: str) -> KubestaticError:
    return KubestaticError(
        f"{one} and {other}: are two different {kind}, and all masters of a cluster need the same; put the one that the"
        " cluster uses in both places, or name no masters of another cluster"
    )


def _require_usable(certificate: t.Any, *, where: str, now: datetime.datetime) -> None:
    if not _pki.signs(certificate):
        raise KubestaticError(f"{where}: is no CA's certificate; put the one there that signs the others")
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        raise KubestaticError(
            f"{where}: expired on {end:%Y-%m-%d}, so nothing that it signed is trusted any more; put a certificate for the same"
            " key there that is valid today"
        )
    if now < start:
        raise KubestaticError(f"{where}: is not valid before {start:%Y-%m-%d %H:%M} UTC; set the controller's clock")
