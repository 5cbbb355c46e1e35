"""Settings from environment variables: types, ranges and contradictions."""

import pytest

from chalicelib.settings import Settings, SettingsError


def test_every_setting_has_a_default() -> None:
    assert Settings.from_env({}) == Settings()


def test_variable_is_converted_to_the_type_of_its_setting() -> None:
    settings = Settings.from_env({"MAX_ATTEMPTS": "3", "RETRY_BASE_S": "0.5", "LOG_LEVEL": "DEBUG"})
    assert (settings.max_attempts, settings.retry_base_s, settings.log_level) == (3, 0.5, "DEBUG")


def test_other_variables_are_ignored() -> None:
    assert Settings.from_env({"HOME": "x"}) == Settings()


@pytest.mark.parametrize("text", ["x", "1.5", "", "0", "1001", "nan"])
def test_integer_that_is_malformed_or_out_of_range_is_rejected(text: str) -> None:
    with pytest.raises(SettingsError, match="MAX_ATTEMPTS"):
        Settings.from_env({"MAX_ATTEMPTS": text})


def test_nan_is_rejected() -> None:
    with pytest.raises(SettingsError, match="RETRY_BASE_S"):
        Settings.from_env({"RETRY_BASE_S": "nan"})


def test_record_lease_shorter_than_a_call_and_its_margin_is_rejected() -> None:
    with pytest.raises(SettingsError, match="RECORD_LEASE_S"):
        Settings.from_env({"RECORD_LEASE_S": "18", "LEGACY_CALL_TIMEOUT_S": "15.5"})


def test_error_names_every_invalid_variable() -> None:
    with pytest.raises(SettingsError, match=r"MAX_BATCH.*RUN_LEASE_S"):
        Settings.from_env({"MAX_BATCH": "x", "RUN_LEASE_S": "-1"})


@pytest.mark.parametrize(
    "url",
    ["https://api.example.com", "https://api.example.com/", "http://10.0.0.1:8080/punch/v1"],
)
def test_public_url_may_have_a_port_and_a_path(url: str) -> None:
    assert Settings.from_env({"PUBLIC_URL": url}).public_url == url


@pytest.mark.parametrize(
    "url",
    [
        "api.example.com",
        "ftp://api.example.com",
        "https://",
        "https://user:password@api.example.com",
        "https://api.example.com/?x=1",
        "https://api.example.com/#x",
        "https://api.example.com/a b",
        "https://api.example.com/a%2Fb",
        "https://api.example.com/a;b",
        "https://api.example.com/\r\nX: y",
        "https://api.example.com:99999/",
        "*",
    ],
)
def test_public_url_that_links_cannot_start_with_is_rejected(url: str) -> None:
    with pytest.raises(SettingsError, match="PUBLIC_URL must be an http or https URL"):
        Settings.from_env({"PUBLIC_URL": url})
