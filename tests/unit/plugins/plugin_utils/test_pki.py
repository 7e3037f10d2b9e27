# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and certificates, judged by OpenSSL's own program, too."""

from __future__ import annotations

import datetime
import pathlib
import re
import shutil
import ssl
import subprocess
import typing as t
from unittest import mock

import pytest
from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError
from ansible_collections.kubestatic.node.plugins.plugin_utils import _pki
from ansible_collections.kubestatic.node.plugins.plugin_utils._pki import Pair, Period, Subject
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import ExtensionOID, NameOID

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
SUBJECT = Subject(
    "system:node:master1",
    frozenset(["system:nodes"]),
    frozenset(["server", "client"]),
    frozenset(["master1", "*.example.org", "192.0.2.11", "2001:db8::1"]),
)

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl")
each_algorithm = pytest.mark.parametrize("algorithm", [_pki.RSA_2048, _pki.ECDSA_P256])


def authority(algorithm: str = _pki.ECDSA_P256, *, days: int = 3650) -> Pair:
    key = _pki.new_key(algorithm)
    return Pair((_pki.new_authority("kubernetes", key, Period(NOW, days)),), key)


def leaf(signer: Pair, algorithm: str = _pki.ECDSA_P256, subject: Subject = SUBJECT) -> Pair:
    return _pki.new_pair(subject, _pki.new_key(algorithm), signer=signer, period=Period(NOW, 365))


def openssl(*words: str) -> str:
    done = subprocess.run(["openssl", *words], check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return done.stdout


@needs_openssl
@each_algorithm
def test_openssl_takes_them(tmp_path: pathlib.Path, algorithm: str) -> None:
    signer = authority(algorithm)
    pair = leaf(signer, algorithm)
    (tmp_path / "ca.crt").write_text(_pki.certificate_text(signer.chain))
    (tmp_path / "leaf.crt").write_text(_pki.certificate_text(pair.chain))
    (tmp_path / "leaf.key").write_text(_pki.key_text(pair.key))  # type: ignore[arg-type]
    verify = ["verify", "-x509_strict", "-CAfile", f"{tmp_path}/ca.crt"]
    for more in (["sslserver", "-verify_hostname", "master1"], ["sslclient", "-verify_ip", "192.0.2.11"]):
        assert openssl(*verify, "-purpose", *more, f"{tmp_path}/leaf.crt").endswith("leaf.crt: OK\n")
    of_key = openssl("pkey", "-in", f"{tmp_path}/leaf.key", "-pubout")
    assert of_key == openssl("x509", "-in", f"{tmp_path}/leaf.crt", "-noout", "-pubkey")
    assert of_key == _pki.public_text(pair.key)  # type: ignore[arg-type]


# What kubeadm's certificates have, as openssl x509 -text shows it.
LEAF_EXTENSIONS = {
    "Basic Constraints: critical": "CA:FALSE",
    "Key Usage: critical": "Digital Signature, Key Encipherment",
    "Extended Key Usage": "TLS Web Server Authentication, TLS Web Client Authentication",
    "Subject Alternative Name": "DNS:*.example.org, IP Address:192.0.2.11, IP Address:2001:DB8:0:0:0:0:0:1, DNS:master1",
}
AUTHORITY_EXTENSIONS = {
    "Basic Constraints: critical": "CA:TRUE",
    "Key Usage: critical": "Digital Signature, Key Encipherment, Certificate Sign",
    "Subject Alternative Name": "DNS:kubernetes",
}


@needs_openssl
def test_extensions_are_those_of_kubeadm(tmp_path: pathlib.Path) -> None:
    signer = authority()
    shown = []
    for name, pair in (("ca", signer), ("leaf", leaf(signer))):
        (tmp_path / name).write_text(_pki.certificate_text(pair.chain))
        text = openssl("x509", "-in", f"{tmp_path}/{name}", "-noout", "-text")
        found = re.findall(r"X509v3 (.+?):( critical)? *\n +(.+)\n", text[text.index("X509v3 Basic") :])
        shown.append({f"{key}:{critical}".rstrip(":"): value.strip() for key, critical, value in found})
    identifiers = shown[0].pop("Subject Key Identifier"), shown[1].pop("Authority Key Identifier")
    assert identifiers[0] == identifiers[1]
    assert shown == [AUTHORITY_EXTENSIONS, LEAF_EXTENSIONS]


def test_a_certificate_says_what_it_was_made_for() -> None:
    assert _pki.subject(leaf(authority()).certificate) == SUBJECT
    nothing = Subject("kube-apiserver-kubelet-client", usages=frozenset(["client"]))
    assert _pki.subject(leaf(authority(), subject=nothing).certificate) == nothing


def test_a_certificate_does_not_outlive_its_signer() -> None:
    signer = authority(days=30)
    assert leaf(signer).certificate.not_valid_after_utc == signer.certificate.not_valid_after_utc


def test_signers_are_told_from_others() -> None:
    signer, other = authority(), authority()
    pair = leaf(signer)
    assert [_pki.signs(one.certificate) for one in (signer, pair)] == [True, False]
    assert _pki.is_signed_by(pair, signer.certificate)
    assert not _pki.is_signed_by(pair, other.certificate), "it has the same name"
    assert not _pki.is_signed_by(pair, pair.certificate)


@each_algorithm
def test_keys_come_back(algorithm: str) -> None:
    key = _pki.new_key(algorithm)
    assert _pki.fingerprint(_pki.private_key(_pki.key_text(key), where="")) == _pki.fingerprint(key)
    assert _pki.key_fingerprints(_pki.public_text(key) * 2, where="") == [_pki.fingerprint(key)] * 2


def pem(key: t.Any, *, password: bytes = b"") -> str:
    form = serialization.PrivateFormat.PKCS8
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return str(key.private_bytes(serialization.Encoding.PEM, form, encryption).decode())


def broken_rsa() -> str:
    """A key with an exponent that is not its own, as after a bit that flipped."""
    numbers = rsa.generate_private_key(65537, 2048).private_numbers()
    other = rsa.RSAPrivateNumbers(
        numbers.p, numbers.q, numbers.d ^ 2, numbers.dmp1 ^ 2, numbers.dmq1 ^ 2, numbers.iqmp, numbers.public_numbers
    )
    return pem(other.private_key(unsafe_skip_rsa_key_validation=True))


BAD_KEYS: list[tuple[t.Callable[[], str], str]] = [
    (lambda: "garbled", "x.key: is no private key in PEM form; put the right one there"),
    (lambda: pem(_pki.new_key(_pki.ECDSA_P256))[:-60], "x.key: is no private key in PEM form"),
    (lambda: pem(_pki.new_key(_pki.ECDSA_P256), password=b"secret"), "x.key: is a key with a password; remove that"),
    (
        lambda: pem(ed25519.Ed25519PrivateKey.generate()),
        "x.key: is a key of type Ed25519PrivateKey, but Kubernetes takes",
    ),
    (broken_rsa, "x.key: is no private key in PEM form"),
]


@pytest.mark.parametrize(("make", "message"), BAD_KEYS, ids=["garbled", "cut", "password", "type", "broken"])
def test_a_bad_key_is_named_and_not_shown(make: t.Callable[[], str], message: str) -> None:
    text = make()
    with pytest.raises(KubestaticError) as caught:
        _pki.private_key(text, where="x.key")
    assert str(caught.value).startswith(message)
    lines = text.splitlines()[1:-1]
    assert caught.value.__cause__ is None and not any(line in str(caught.value) for line in lines)


def foreign(*, old: bytes = b"", new: bytes = b"", extensions: t.Sequence[x509.ExtensionType] = ()) -> str:
    """A CA's certificate with bytes of its exchanged, which makes its signature void, and with extensions as they come."""
    key = _pki.new_key(_pki.ECDSA_P256)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "foreign")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + datetime.timedelta(days=1))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    data = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    assert old in data and len(old) == len(new)
    return ssl.DER_cert_to_PEM_cert(data.replace(old, new))


ONE, OTHER = (x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.2.3.4.{number}"), b"") for number in (5, 6))
# A name of the kind that has a number of its own in every country, and none that the library knows.
ODD_NAME = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, bytes.fromhex("3004a3020500"))

FOREIGN: list[tuple[str, t.Callable[[], str]]] = [
    ("garbled", lambda: foreign(extensions=[x509.UnrecognizedExtension(ExtensionOID.BASIC_CONSTRAINTS, b"garbled")])),
    ("twice", lambda: foreign(old=b"\x2a\x03\x04\x06", new=b"\x2a\x03\x04\x05", extensions=[ONE, OTHER])),
    ("odd name", lambda: foreign(extensions=[ODD_NAME])),
    ("key", lambda: foreign(old=bytes.fromhex("2a8648ce3d0201"), new=bytes.fromhex("2a8648ce3d0209"))),
    ("curve", lambda: foreign(old=bytes.fromhex("2a8648ce3d030107"), new=bytes.fromhex("2a8648ce3d030179"))),
]


@pytest.mark.parametrize("make", [row[1] for row in FOREIGN], ids=[row[0] for row in FOREIGN])
def test_a_certificate_that_the_library_cannot_make_out_is_named(make: t.Callable[[], str]) -> None:
    text = make()
    with pytest.raises(
        KubestaticError, match=r"x\.crt: has a certificate that cannot be made out; put the right one there"
    ):
        _pki.certificates(text, where="x.crt")


def test_a_signature_of_an_unknown_kind_is_none_of_ours() -> None:
    old, new = bytes.fromhex("2a8648ce3d040302"), bytes.fromhex("2a8648ce3d040379")
    [found] = _pki.certificates(foreign(old=old, new=new), where="")
    [signer] = _pki.certificates(foreign(), where="")
    assert not _pki.is_signed_by(Pair((found,), None), signer)
    # What OpenSSL itself was built without.
    odd = mock.Mock(**{"verify_directly_issued_by.side_effect": UnsupportedAlgorithm("SM3")})
    assert not _pki.is_signed_by(Pair((odd,), None), signer)


def test_an_old_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _pki.require_library()
    monkeypatch.setattr("cryptography.x509.Certificate", object)
    with pytest.raises(KubestaticError, match="lacks the library cryptography 42 or newer; install or upgrade it"):
        _pki.require_library()
