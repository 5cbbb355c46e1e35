"""Read credentials, region and endpoint of DynamoDB from the environment, as in a Lambda function.

Invariant: the result is what boto3 would find, or None. What boto3 would read elsewhere, or
treats in a special way, is left to boto3: profiles, configuration files, credentials that expire,
roles of containers and instances, FIPS and dual-stack endpoints, endpoints by account,
proxies. So is AWS's own endpoint outside of Lambda: there, boto3 may be replaced inside the process
by an imitation of AWS, such as moto, and no call may go past it to the real service.
"""

import os
import re
import sys
from collections.abc import Mapping
from typing import NamedTuple

from chalicelib.dynamodb.kept_connections import Server
from chalicelib.dynamodb.signature import Credentials

# Each makes boto3 do something that the lean client cannot. An empty or false value is left to
# boto3 as well. tests/unit/dynamodb compares the names with those that botocore reads.
LEFT_TO_BOTO3 = frozenset(
    {
        "AWS_ACCOUNT_ID",
        "AWS_ACCOUNT_ID_ENDPOINT_MODE",
        "AWS_AUTH_SCHEME_PREFERENCE",
        "AWS_CREDENTIAL_EXPIRATION",
        "AWS_CSM_ENABLED",
        "AWS_DATA_PATH",
        "AWS_DEFAULT_PROFILE",
        "AWS_ENDPOINT_DISCOVERY_ENABLED",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        "AWS_PROFILE",
        "AWS_SECURITY_TOKEN",
        "AWS_SIGV4A_SIGNING_REGION_SET",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_USE_FIPS_ENDPOINT",
        "BOTOCORE_TCP_KEEPALIVE",
    }
)
_FILES = {"AWS_CONFIG_FILE": "~/.aws/config", "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"}
# Where users may add models and endpoints of services of their own.
_MODELS = "~/.aws/models"
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL")
# Lambda sets it in every environment:
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
_FUNCTION_VARIABLE = "AWS_LAMBDA_FUNCTION_NAME"

# The regions and domain of each partition: botocore/data/partitions.json. Those of other partitions
# are left to boto3.
_PARTITIONS = (
    (re.compile(r"(us|eu|ap|sa|ca|me|af|il|mx)-[a-z0-9]+-[0-9]+"), "amazonaws.com"),
    (re.compile(r"us-gov-[a-z0-9]+-[0-9]+"), "amazonaws.com"),
    (re.compile(r"cn-[a-z0-9]+-[0-9]+"), "amazonaws.com.cn"),
    (re.compile(r"eusc-de-[a-z0-9]+-[0-9]+"), "amazonaws.eu"),
)
_REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ENDPOINT = re.compile(r"(https?)://([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::([0-9]+))?/?")
_PORTS = {"http": 80, "https": 443}
# Of a header's value without spaces.
_KEY = re.compile(r"[\x21-\x7e]+")


class AwsEnvironment(NamedTuple):
    """What the environment says about DynamoDB."""

    credentials: Credentials
    region: str
    server: Server


def read(environ: Mapping[str, str]) -> AwsEnvironment | None:
    """Return the environment's credentials, region and endpoint; None if boto3 has to find them."""
    if not LEFT_TO_BOTO3.isdisjoint(environ) or _has_files(environ):
        return None
    certificates = environ.get("AWS_CA_BUNDLE")
    if certificates is not None and not certificates.strip():
        return None  # an error of boto3
    region = environ.get("AWS_DEFAULT_REGION", "")
    credentials = _credentials(environ)
    server = _server(environ, region, certificates or "")
    if credentials is None or server is None or _has_proxy(environ, server):
        return None
    return AwsEnvironment(credentials, region, server)


def host_header(server: Server) -> str:
    """Return the value of the header Host: with the port, unless it is the scheme's own."""
    is_default = server.port == _PORTS["https" if server.is_secure else "http"]
    return server.host if is_default else f"{server.host}:{server.port}"


def _has_files(environ: Mapping[str, str]) -> bool:
    """Return whether boto3 would read configuration files or models."""
    paths = [environ.get(name, default) for name, default in _FILES.items()]
    return any(os.path.isfile(_expanded(each)) for each in paths) or os.path.isdir(  # noqa: PTH112, PTH113 - pathlib is slow to import
        _expanded(_MODELS)
    )


def _expanded(path: str) -> str:
    return os.path.expandvars(os.path.expanduser(path))  # noqa: PTH111 - pathlib is slow to import


def _credentials(environ: Mapping[str, str]) -> Credentials | None:
    access_key = environ.get("AWS_ACCESS_KEY_ID", "")
    secret_key = environ.get("AWS_SECRET_ACCESS_KEY", "")
    token = environ.get("AWS_SESSION_TOKEN", "")
    if not all(map(_KEY.fullmatch, filter(None, (access_key, secret_key, token)))):
        return None
    return Credentials(access_key, secret_key, token) if access_key and secret_key else None


def _server(environ: Mapping[str, str], region: str, certificates: str) -> Server | None:
    """Return the server of the endpoint that is configured, else of the region's own endpoint."""
    if not _REGION.fullmatch(region):
        return None
    configured = next((environ[name] for name in _ENDPOINT_VARIABLES if name in environ), None)
    if configured is None:
        if not environ.get(_FUNCTION_VARIABLE):
            return None
        for regions, domain in _PARTITIONS:
            if regions.fullmatch(region):
                return Server(f"dynamodb.{region}.{domain}", 443, True, certificates)
        return None
    url = _ENDPOINT.fullmatch(configured)
    if url is None:
        return None
    scheme, host, port_text = url.groups()
    port = int(port_text) if port_text else _PORTS[scheme]
    if not 0 < port < 65_536:
        return None
    return Server(host.lower(), port, scheme == "https", certificates)


def _has_proxy(environ: Mapping[str, str], server: Server) -> bool:
    """Return whether boto3 would send requests to the server through a proxy."""
    variable = "https_proxy" if server.is_secure else "http_proxy"
    is_set = any(name.lower() == variable and value for name, value in environ.items())
    if not is_set and sys.platform not in ("darwin", "win32"):
        return False
    # On macOS and Windows, proxies may also be set in the system.
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - slow to import

    scheme = variable.partition("_")[0]
    return scheme in getproxies() and not proxy_bypass(host_header(server))
