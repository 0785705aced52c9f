"""TLS for a served venue: a certificate authority of its own, made on first use and trusted by nobody else."""

from __future__ import annotations

import os
import ssl
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from trading_core.clock import to_datetime, wall_now_ns
from trading_core.errors import ConfigurationError

AUTHORITY, CERTIFICATE, KEY = "ca.pem", "server.pem", "server-key.pem"
VALID_FOR = timedelta(days=365)


def tls_context(folder: Path, host: str) -> ssl.SSLContext:
    """Return the server's context; clients trust `ca.pem` of the folder. Raises ConfigurationError."""
    try:
        if not (folder / CERTIFICATE).exists():
            folder.mkdir(parents=True, exist_ok=True)
            _make_files(folder, host)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
    except (OSError, ssl.SSLError) as e:
        raise ConfigurationError(f"TLS files of {folder} cannot be used ({e}): remove them to get new ones") from e
    return context


def _make_files(folder: Path, host: str) -> None:
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name = _name("Greenlight local authority")
    # Browsers and OpenSSL want an authority to say that it is one, and a certificate for which hosts it is.
    authority = _signed(name, name, authority_key, authority_key, x509.BasicConstraints(ca=True, path_length=0))
    server = _signed(_name(host), name, server_key, authority_key, x509.SubjectAlternativeName(_names(host)))
    (folder / AUTHORITY).write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    (folder / CERTIFICATE).write_bytes(server.public_bytes(serialization.Encoding.PEM))
    (folder / KEY).touch(mode=0o600)
    os.chmod(folder / KEY, 0o600)
    (folder / KEY).write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = to_datetime(wall_now_ns())
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + VALID_FOR)
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(identifier, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _names(host: str) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    try:
        names.append(x509.IPAddress(ip_address(host)))
    except ValueError:
        names.append(x509.DNSName(host))
    return names
