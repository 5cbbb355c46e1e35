"""A client certificate that OpenSSL does not use any more."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


def weak_certificate() -> str:
    """Return a certificate with a key of 1,024 bits, and the key, as PEM."""
    key = rsa.generate_private_key(65_537, 1_024)  # noqa: S505 - it is to be refused
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "punch-clock")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(1))
    return (
        builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    ).decode()
