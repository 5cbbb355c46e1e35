"""The environment: the lean client is used only where boto3 would do exactly the same."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from botocore.credentials import EnvProvider

from chalicelib.dynamodb import client
from chalicelib.dynamodb.aws_environment import LEFT_TO_BOTO3, AwsEnvironment, host_header, read
from chalicelib.dynamodb.boto_client import Boto3Client
from chalicelib.dynamodb.kept_connections import Server
from chalicelib.dynamodb.lean_client import LeanClient
from chalicelib.errors import MisconfiguredError

KEYS = {"AWS_ACCESS_KEY_ID": "an-id", "AWS_SECRET_ACCESS_KEY": "a+secret/key="}
LAMBDA = {
    **KEYS,
    "AWS_SESSION_TOKEN": "a/token==",
    "AWS_DEFAULT_REGION": "sa-east-1",
    # Further variables that Lambda sets:
    # https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    "AWS_REGION": "sa-east-1",
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
    "AWS_LAMBDA_FUNCTION_NAME": "intake",
    "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
    "_X_AMZN_TRACE_ID": "Root=1-5f",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory, and no variable of AWS or of a proxy."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "BOTO")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    return tmp_path


def of_boto3(variables: Mapping[str, str]) -> Any:
    """Return boto3's client in this environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        return boto3.session.Session().client("dynamodb")


def assert_as_boto3(found: AwsEnvironment | None, variables: Mapping[str, str]) -> None:
    """Check that boto3 would sign with the same keys, for the same region and endpoint."""
    assert found is not None
    theirs = of_boto3(variables)
    keys = theirs._request_signer._credentials
    assert found.credentials == (keys.access_key, keys.secret_key, keys.token or "")
    assert found.region == theirs.meta.region_name
    scheme = "https" if found.server.is_secure else "http"
    assert f"{scheme}://{host_header(found.server)}" == theirs.meta.endpoint_url.rstrip("/")


def test_environment_of_a_lambda_function_is_enough() -> None:
    found = read(LAMBDA)
    assert found == (
        ("an-id", "a+secret/key=", "a/token=="),
        "sa-east-1",
        Server("dynamodb.sa-east-1.amazonaws.com", 443, is_secure=True),
    )
    assert_as_boto3(found, LAMBDA)


SESSION = boto3.session.Session()
REGIONS = sorted(
    {
        region
        for partition in SESSION.get_available_partitions()
        for region in SESSION.get_available_regions("dynamodb", partition)
    }
    # Regions that this version of boto3 does not list.
    | {"eu-nowhere-9", "us-gov-nowhere-9", "cn-nowhere-9", "eusc-de-east-1", "us-iso-east-1"}
)
PARTITIONS_OF_BOTO3 = ("us-iso", "eu-isoe")


@pytest.mark.parametrize("region", REGIONS)
def test_endpoint_of_each_region_is_that_of_boto3(region: str) -> None:
    variables = {**LAMBDA, "AWS_DEFAULT_REGION": region}
    found = read(variables)
    if region.startswith(PARTITIONS_OF_BOTO3) or region == "local":
        assert found is None
    else:
        assert_as_boto3(found, variables)


@pytest.mark.parametrize(
    "endpoints",
    [
        {"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:4567"},
        {"AWS_ENDPOINT_URL": "https://Vpce-1.dynamodb.us-east-1.vpce.amazonaws.com/"},
        {"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_DYNAMODB": "https://b:8443"},
        {"AWS_ENDPOINT_URL": "http://localhost"},
        {"AWS_ENDPOINT_URL_S3": "http://a"},
    ],
    ids=str,
)
def test_configured_endpoint_is_that_of_boto3(endpoints: dict[str, str]) -> None:
    found = read({**LAMBDA, **endpoints})
    assert found is not None
    variables = {name: value.lower() for name, value in {**LAMBDA, **endpoints}.items()}
    scheme = "https" if found.server.is_secure else "http"
    url = of_boto3(variables).meta.endpoint_url.rstrip("/")
    assert f"{scheme}://{host_header(found.server)}" == url


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "127.0.0.1:4567",
        "ftp://host",
        "http://host/path",
        "http://host/?query",
        "http://user:password@host",
        "http://host:0",
        "http://host:65536",
        "http://[::1]:8000",
        "http://höst",
        "http://host name",
        "http://host\r\nX: y",
    ],
)
def test_other_endpoints_are_left_to_boto3(endpoint: str) -> None:
    assert read({**LAMBDA, "AWS_ENDPOINT_URL_DYNAMODB": endpoint}) is None


@pytest.mark.parametrize("name", sorted(LEFT_TO_BOTO3))
@pytest.mark.parametrize("value", ["true", "false", ""])
def test_variable_with_an_effect_on_boto3_is_left_to_it(name: str, value: str) -> None:
    assert read({**LAMBDA, name: value}) is None


def test_every_variable_of_botocore_is_considered() -> None:
    """Fail if a new version of botocore reads a variable that is not considered here."""
    read_by_botocore = set(EnvProvider.TOKENS) | {
        EnvProvider.ACCESS_KEY,
        EnvProvider.SECRET_KEY,
        EnvProvider.EXPIRY_TIME,
        EnvProvider.ACCOUNT_ID,
    }
    for _, names, _, _ in BOTOCORE_DEFAUT_SESSION_VARIABLES.values():
        if names is not None:
            read_by_botocore |= {names} if isinstance(names, str) else set(names)
    used = {
        *(*KEYS, "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE"),
        *("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
    }
    # The client's own Config has precedence over these.
    overridden = {"AWS_RETRY_MODE", "AWS_MAX_ATTEMPTS", "AWS_DEFAULTS_MODE"}
    # These concern other services and operations, or credentials that are not the environment's.
    without_effect = {
        "AWS_CSM_CLIENT_ID",
        "AWS_CSM_HOST",
        "AWS_CSM_PORT",
        "AWS_DISABLE_HOST_PREFIX_INJECTION",
        "AWS_DISABLE_REQUEST_COMPRESSION",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
        "AWS_EC2_METADATA_V1_DISABLED",
        "AWS_IMDS_USE_IPV6",
        "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
        "AWS_METADATA_SERVICE_TIMEOUT",
        "AWS_REQUEST_CHECKSUM_CALCULATION",
        "AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES",
        "AWS_RESPONSE_CHECKSUM_VALIDATION",
        "AWS_S3_DISABLE_EXPRESS_SESSION_AUTH",
        "AWS_SDK_UA_APP_ID",
        "AWS_STS_REGIONAL_ENDPOINTS",
    }
    assert read_by_botocore == LEFT_TO_BOTO3 | used | overridden | without_effect


@pytest.mark.parametrize("missing", [*KEYS, "AWS_DEFAULT_REGION"])
@pytest.mark.parametrize("value", [None, ""])
def test_missing_variable_is_left_to_boto3(missing: str, value: str | None) -> None:
    variables = {name: each for name, each in LAMBDA.items() if name != missing}
    assert read(variables if value is None else {**variables, missing: value}) is None


@pytest.mark.parametrize("name", [None, ""])
def test_endpoint_of_aws_is_left_to_boto3_outside_of_lambda(name: str | None) -> None:
    """An imitation of AWS in the process, such as moto, sees the calls of boto3 only."""
    variables = {each: value for each, value in LAMBDA.items() if "LAMBDA" not in each}
    if name is not None:
        variables["AWS_LAMBDA_FUNCTION_NAME"] = name
    assert read(variables) is None
    assert read({**variables, "AWS_ENDPOINT_URL": "http://127.0.0.1:4567"}) is not None


@pytest.mark.parametrize("name", [*KEYS, "AWS_SESSION_TOKEN"])
@pytest.mark.parametrize("value", ["a key", "key\n", "key\r\nX: y", "clé"])
def test_key_that_would_break_a_header_is_left_to_boto3(name: str, value: str) -> None:
    assert read({**LAMBDA, name: value}) is None


@pytest.mark.parametrize("region", ["sa-east-1.evil.example", "sa-east-1/", "SA-EAST-1", "mars"])
def test_unknown_region_is_left_to_boto3(region: str) -> None:
    assert read({**LAMBDA, "AWS_DEFAULT_REGION": region}) is None


@pytest.mark.parametrize("name", ["config", "credentials"])
def test_file_of_the_user_is_left_to_boto3(home: Path, name: str) -> None:
    (home / ".aws").mkdir()
    assert read(LAMBDA) is not None
    (home / ".aws" / name).write_text("[default]\nregion = eu-west-1\n")
    assert read(LAMBDA) is None
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    assert read({**LAMBDA, **nowhere}) is not None


def test_file_that_a_variable_names_is_left_to_boto3(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        assert read({**LAMBDA, name: str(path)}) is not None
    path.touch()
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        assert read({**LAMBDA, name: str(path)}) is None
        assert read({**LAMBDA, name: "~/file"}) is None


def test_models_of_the_user_are_left_to_boto3(home: Path) -> None:
    (home / ".aws" / "models").mkdir(parents=True)
    assert read(LAMBDA) is None


@pytest.mark.parametrize(
    ("proxies", "is_left"),
    [
        ({"HTTPS_PROXY": "http://proxy:3128"}, True),
        ({"https_proxy": "http://proxy:3128"}, True),
        ({"https_proxy": ""}, False),
        ({"http_proxy": "http://proxy:3128"}, False),
        ({"https_proxy": "http://proxy:3128", "no_proxy": ".amazonaws.com"}, False),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "*"}, False),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "localhost"}, True),
    ],
    ids=str,
)
def test_proxy_is_left_to_boto3(
    monkeypatch: pytest.MonkeyPatch, proxies: dict[str, str], is_left: bool
) -> None:
    for name, value in proxies.items():
        monkeypatch.setenv(name, value)
    assert (read({**LAMBDA, **proxies}) is None) == is_left


def test_own_certificates_are_those_of_the_server() -> None:
    found = read({**LAMBDA, "AWS_CA_BUNDLE": "/etc/ca.pem"})
    assert found is not None
    assert found.server.certificates == "/etc/ca.pem"
    for empty in ("", " "):
        assert read({**LAMBDA, "AWS_CA_BUNDLE": empty}) is None


def test_client_is_lean_or_boto3s(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(client.connect(LAMBDA), LeanClient)
    variables = {**LAMBDA, "AWS_USE_FIPS_ENDPOINT": "true"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert isinstance(client.connect(variables), Boto3Client)


def test_missing_region_is_a_misconfiguration(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(MisconfiguredError, match="region"):
        client.connect(KEYS)


def test_profile_that_does_not_exist_is_a_misconfiguration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variables = {**LAMBDA, "AWS_PROFILE": "nobody"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(MisconfiguredError, match="profile"):
        client.connect(variables)
