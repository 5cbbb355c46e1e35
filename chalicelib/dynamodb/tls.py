"""Build the TLS context of connections to AWS, which trusts the authorities that boto3 trusts."""

import ssl
from importlib.util import find_spec
from pathlib import Path


def context(certificates: str = "") -> ssl.SSLContext:
    """Return a context that verifies the server's certificate and name.

    It accepts what boto3 accepts: ``ssl.create_default_context`` would be stricter from Python 3.13
    on, and reject the certificates of some companies' proxies, which AWS_CA_BUNDLE may name.

    Args:
        certificates: the path of a file or directory of CA certificates; empty: those of boto3.

    Raises:
        OSError: the file does not exist, or has no certificate.
    """
    path = certificates or certificates_of_boto3()
    built = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if path is None:
        built.load_default_certs()
    elif Path(path).is_dir():
        built.load_verify_locations(capath=path)
    else:
        built.load_verify_locations(path)
    built.set_alpn_protocols(["http/1.1"])
    return built


def certificates_of_boto3() -> str | None:
    """Return the path of the CA certificates that boto3 trusts, without importing boto3.

    None, which means those of the system, if boto3 is not installed.
    """
    for package in ("certifi", "botocore"):
        spec = find_spec(package)
        for directory in (spec.submodule_search_locations or ()) if spec else ():
            path = Path(directory) / "cacert.pem"
            if path.is_file():
                return str(path)
    return None
