# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Keys and certificates: text to values and back, and new ones as kubeadm makes them.

Key usages, extensions and lifetimes follow cmd/kubeadm/app/util/pkiutil/pki_helpers.go (NewSignedCert,
NewSelfSignedCACert), what stands above a key follows k8s.io/client-go/util/keyutil/key.go (MarshalPrivateKeyToPEM).
"""

from __future__ import annotations

import datetime
import ipaddress
import itertools
import typing as t
from collections.abc import Sequence

from ansible_collections.kubestatic.node.plugins.module_utils._errors import KubestaticError

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError:  # `require_library` says so
    IS_THERE = False
else:
    IS_THERE = True

if t.TYPE_CHECKING:
    Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

RSA_2048, ECDSA_P256 = "RSA-2048", "ECDSA-P256"

# Clocks of masters and clients may be behind the controller's. kubeadm allows five minutes (CertificateBackdate).
_BACKDATED = datetime.timedelta(hours=1)


class Subject(t.NamedTuple):
    """What a certificate says about its holder. ``names`` are DNS names and IP addresses in their canonical form."""

    common_name: str
    organizations: frozenset[str] = frozenset()
    usages: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()


class Pair(t.NamedTuple):
    """A certificate, with those that lead from it to its signer, and its key; None where somebody else has that."""

    chain: tuple[x509.Certificate, ...]
    key: Key | None

    @property
    def certificate(self) -> x509.Certificate:
        return self.chain[0]


class Period(t.NamedTuple):
    """The time of a call, and how long what it makes is valid."""

    now: datetime.datetime
    days: int


def require_library() -> None:
    """Raise KubestaticError where the controller's cryptography is older than what is called here."""
    if not IS_THERE or not hasattr(x509.Certificate, "not_valid_after_utc"):
        raise KubestaticError(
            "the Python that runs Ansible on the controller lacks the library cryptography 42 or newer; install or upgrade it"
        )


def certificates(text: str, *, where: str) -> tuple[x509.Certificate, ...]:
    """Read one certificate or more. Raises KubestaticError that names ``where``."""
    instead = "put the right one there, or remove it to have it made again"
    try:
        found = tuple(x509.load_pem_x509_certificates(text.encode()))
    except (ValueError, x509.InvalidVersion):
        raise KubestaticError(f"{where}: is no certificate in PEM form; {instead}") from None
    try:
        # The library reads what a certificate says when it is asked for: here, where the file is known.
        for one in found:
            subject(one), signs(one), fingerprint(one)
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise KubestaticError(f"{where}: has a certificate that cannot be made out; {instead}") from None
    return found


def private_key(text: str, *, where: str) -> Key:
    """Read one key. Raises KubestaticError that names ``where``, and never what is there."""
    try:
        # The library's own check takes 40 ms for an RSA key, and there are some fifty of them; `_works` takes 1 ms.
        key = serialization.load_pem_private_key(text.encode(), password=None, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        raise KubestaticError(
            f"{where}: is a key with a password; remove that, as nobody gives it to the API server, and vault the file"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise _no_key(where) from None
    if not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
        raise KubestaticError(
            f"{where}: is a key of type {type(key).__name__}, but Kubernetes takes RSA and ECDSA only"
        )
    if isinstance(key, rsa.RSAPrivateKey) and not _works(key):
        raise _no_key(where)
    return key


def _no_key(where: str) -> KubestaticError:
    return KubestaticError(
        f"{where}: is no private key in PEM form; put the right one there, or remove it to have it made again"
    )


def _works(key: rsa.RSAPrivateKey) -> bool:
    """Whether what the key signs is found to be signed by it."""
    scheme = padding.PKCS1v15()
    try:
        key.public_key().verify(key.sign(b"", scheme, hashes.SHA256()), b"", scheme, hashes.SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def key_fingerprints(text: str, *, where: str) -> list[str]:
    """Read the public keys of a file such as sa.pub. Raises KubestaticError."""
    end = "-----END PUBLIC KEY-----"
    parts = [part for part in text.split(end) if part.strip()]
    try:
        return [_digest(serialization.load_pem_public_key((part + end).encode())) for part in parts]
    except (ValueError, UnsupportedAlgorithm):
        raise KubestaticError(f"{where}: is no public key in PEM form; remove it to have it made again") from None


def fingerprint(holder: x509.Certificate | Key) -> str:
    """SHA-256 of the public key, in hexadecimal: the same for a key and all certificates for it."""
    return _digest(holder.public_key())


def _digest(public: t.Any) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()


def new_key(algorithm: str) -> Key:
    if algorithm == ECDSA_P256:
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key_text(key: Key) -> str:
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def public_text(key: Key) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def certificate_text(chain: Sequence[x509.Certificate]) -> str:
    return "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in chain)


def new_authority(common_name: str, key: Key, period: Period) -> x509.Certificate:
    """Sign a certificate for a signer by itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        _builder(name, issuer=name, key=key, period=period)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(signs=True), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(common_name)]), critical=False)
    )
    return builder.sign(key, hashes.SHA256())


def new_pair(subject: Subject, key: Key, *, signer: Pair, period: Period) -> Pair:
    """Sign a certificate for ``key``. It does not outlive its signer's. The signer must have its key."""
    attributes = [
        *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in sorted(subject.organizations)),
        x509.NameAttribute(NameOID.COMMON_NAME, subject.common_name),
    ]
    usages = [_usages()[usage] for usage in sorted(subject.usages, reverse=True)]
    builder = (
        _builder(x509.Name(attributes), issuer=signer.certificate.subject, key=key, period=period, limit=signer)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(_authority_identifier(signer.certificate), critical=False)
    )
    if subject.names:
        names = x509.SubjectAlternativeName([_general_name(name) for name in sorted(subject.names)])
        builder = builder.add_extension(names, critical=False)
    return Pair((builder.sign(t.cast("Key", signer.key), hashes.SHA256()),), key)


def _usages() -> dict[str, x509.ObjectIdentifier]:
    return {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}


def _builder(
    name: x509.Name, *, issuer: x509.Name, key: Key, period: Period, limit: Pair | None = None
) -> x509.CertificateBuilder:
    end = period.now + datetime.timedelta(days=period.days)
    if limit:
        end = min(end, limit.certificate.not_valid_after_utc)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(period.now - _BACKDATED)
        .not_valid_after(end)
    )


def _authority_identifier(signer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The one that the signer has for itself: it need not be the usual digest of its key."""
    try:
        own = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        public = t.cast("rsa.RSAPublicKey | ec.EllipticCurvePublicKey", signer.public_key())
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(public)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        key_cert_sign=signs,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def subject(certificate: x509.Certificate) -> Subject:
    """What a certificate says. One that is not limited to any usages has all."""
    common_names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    organizations = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    try:
        extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        usages = [usage for usage, oid in _usages().items() if oid in extended]
    except x509.ExtensionNotFound:
        usages = list(_usages())
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]
    except x509.ExtensionNotFound:
        names = []
    return Subject(
        common_name=str(common_names[0].value) if common_names else "",
        organizations=frozenset(str(one.value) for one in organizations),
        usages=frozenset(usages),
        names=frozenset(names),
    )


def signs(certificate: x509.Certificate) -> bool:
    """Whether a certificate is a CA's. One without key usage is not limited to any."""
    try:
        is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
    try:
        return is_authority and certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return is_authority


def is_signed_by(pair: Pair, signer: x509.Certificate) -> bool:
    """Whether the chain of the pair ends at this signer."""
    chain = [*(one for one in pair.chain if one != signer), signer]
    try:
        for certificate, issuer in itertools.pairwise(chain):
            certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return len(chain) > 1
