"""What the environment may say."""

import pytest

from chalicelib.settings import Settings, SettingsError


def test_has_defaults_for_all() -> None:
    assert Settings.from_env({}) == Settings()


def test_reads_each_variable_as_its_type() -> None:
    found = Settings.from_env({"MAX_ATTEMPTS": "3", "RETRY_BASE_S": "0.5", "LOG_LEVEL": "DEBUG"})
    assert (found.max_attempts, found.retry_base_s, found.log_level) == (3, 0.5, "DEBUG")


def test_leaves_other_variables_alone() -> None:
    assert Settings.from_env({"HOME": "x"}) == Settings()


@pytest.mark.parametrize("text", ["x", "1.5", "", "0", "1001", "nan"])
def test_refuses_a_value_that_is_no_such_number(text: str) -> None:
    with pytest.raises(SettingsError, match="MAX_ATTEMPTS"):
        Settings.from_env({"MAX_ATTEMPTS": text})


def test_refuses_nan_where_a_fraction_may_stand() -> None:
    with pytest.raises(SettingsError, match="RETRY_BASE_S"):
        Settings.from_env({"RETRY_BASE_S": "nan"})


def test_a_lease_outlasts_a_call() -> None:
    with pytest.raises(SettingsError, match="RECORD_LEASE_S"):
        Settings.from_env({"RECORD_LEASE_S": "18", "LEGACY_CALL_TIMEOUT_S": "15.5"})


def test_names_every_variable_at_fault_at_once() -> None:
    with pytest.raises(SettingsError, match=r"MAX_BATCH.*RUN_LEASE_S"):
        Settings.from_env({"MAX_BATCH": "x", "RUN_LEASE_S": "-1"})
