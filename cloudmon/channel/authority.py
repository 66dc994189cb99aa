"""The service's own certificate authority: made once, it signs the one certificate that the channel is served with.

Agents trust it and nothing else: its hash is in their token. In ``<folder>``: ``ca.pem``, ``ca.key``, ``server.pem``,
``server.key``, each for its owner alone. Whoever has ``ca.key`` can pose as the monitor towards every agent.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import ipaddress
import os
import secrets
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cloudmon.errors import SettingsError

CA_DAYS = 3_653
SERVER_DAYS = 397
RENEW_DAYS = 30
"""A server's certificate that ends within so many days is made anew."""

_EARLIER = dt.timedelta(hours=1)
"""Certificates begin so much before they are made: a machine whose clock is behind trusts them at once."""


class Authority:
    """The CA, and the certificate that the channel is served with. Made by :func:`open_authority`."""

    def __init__(self, folder: Path, hosts: Sequence[str], certificate: x509.Certificate, key: _Key) -> None:
        self._folder = folder
        self._hosts = tuple(dict.fromkeys(hosts))
        self._certificate = certificate
        self._key = key
        self._contexts: list[ssl.SSLContext] = []
        self.ca_pem: bytes = certificate.public_bytes(serialization.Encoding.PEM)
        self.ca_hash: str = hash_of(certificate.public_bytes(serialization.Encoding.DER))
        """As it stands in tokens."""

    def renew(self, now: dt.datetime) -> bool:
        """Make the server's certificate anew when it ends soon or is for other hosts; contexts in use take it over.

        True when it was made anew.
        """
        if self._fits(now):
            return False
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _server_certificate(self._certificate, self._key, key, self._hosts, now)
        _write(self._folder / "server.key", _key_pem(key))
        _write(self._folder / "server.pem", certificate.public_bytes(serialization.Encoding.PEM))
        for context in self._contexts:
            self._load(context)
        return True

    def context(self) -> ssl.SSLContext:
        """What a server serves with: TLS 1.2 and newer."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load(context)
        self._contexts.append(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        context.load_cert_chain(self._folder / "server.pem", self._folder / "server.key")

    def _fits(self, now: dt.datetime) -> bool:
        try:
            found = x509.load_pem_x509_certificate((self._folder / "server.pem").read_bytes())
            key = serialization.load_pem_private_key((self._folder / "server.key").read_bytes(), None)
            found.verify_directly_issued_by(self._certificate)
        except Exception:  # whatever is wrong with it, a new one is right
            return False
        if key.public_key() != found.public_key() or found.not_valid_before_utc > now:
            return False
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        ends = found.not_valid_after_utc
        return list(names) == _names(self._hosts) and ends - now > dt.timedelta(days=RENEW_DAYS)


_Key = ec.EllipticCurvePrivateKey


def open_authority(folder: Path, hosts: Sequence[str], now: dt.datetime) -> Authority:
    """The authority kept in ``folder``, made there when there is none.

    Arguments:
        hosts: names and addresses that agents may reach the channel by.
        now: what certificates are dated by.

    Raises:
        SettingsError: what is there cannot be read or written, is no authority, or has ended.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = _ca_key(folder / "ca.key")
        certificate = _ca_certificate(folder / "ca.pem", key, now)
        if certificate.not_valid_after_utc <= now:
            raise SettingsError(
                f"{folder}/ca.pem ended on {certificate.not_valid_after_utc:%Y-%m-%d}: move the folder away and start "
                "again; every agent must then be enrolled anew.",
                file=str(folder),
            )
        found = Authority(folder, hosts, certificate, key)
        found.renew(now)
    except OSError as error:
        raise SettingsError(
            f"{folder}: the channel's certificates cannot be had: {error.strerror or error}; run as the user who may "
            "read and write them.",
            file=str(folder),
        ) from error
    return found


def hash_of(certificate: bytes) -> str:
    """The hash of a certificate, in DER, as tokens have it: 43 characters."""
    return base64.urlsafe_b64encode(hashlib.sha256(certificate).digest()).rstrip(b"=").decode("ascii")


def _ca_key(path: Path) -> _Key:
    _once(path, lambda: _key_pem(ec.generate_private_key(ec.SECP256R1())))
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise _unusable(path) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _unusable(path)
    return key


def _ca_certificate(path: Path, key: _Key, now: dt.datetime) -> x509.Certificate:
    _once(path, lambda: _made_ca(key, now).public_bytes(serialization.Encoding.PEM))
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise _unusable(path) from error
    if certificate.public_key() != key.public_key():
        raise _unusable(path)
    return certificate


def _unusable(path: Path) -> SettingsError:
    return SettingsError(
        f"{path}: is not what the channel's authority is made of, or of another one; bring back ca.pem and ca.key as "
        "they were, or move both away and enrol every agent anew.",
        file=str(path),
    )


def _made_ca(key: _Key, now: dt.datetime) -> x509.Certificate:
    name = _name(f"cloudmon channel {secrets.token_hex(4)}")
    return (
        _certificate(name, name, key.public_key(), now, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _server_certificate(
    ca: x509.Certificate, ca_key: _Key, key: _Key, hosts: Sequence[str], now: dt.datetime
) -> x509.Certificate:
    found = (
        _certificate(_name("cloudmon channel server"), ca.subject, key.public_key(), now, SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName(_names(hosts)), critical=False)
    )
    return found.sign(ca_key, hashes.SHA256())


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: dt.datetime, days: int
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - _EARLIER)
    return builder.not_valid_after(now + dt.timedelta(days=days))


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for host in hosts:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            found.append(x509.DNSName(host))
    return found


def _key_pem(key: _Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )  # fmt: skip


def _once(path: Path, content: Callable[[], bytes]) -> None:
    """Write a file so that it appears whole or not at all, and so that the first of two processes wins."""
    if path.exists():
        return
    draft = _draft(path, content())
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _write(path: Path, content: bytes) -> None:
    """Replace a file, whole or not at all."""
    _draft(path, content).replace(path)


def _draft(path: Path, content: bytes) -> Path:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return draft
