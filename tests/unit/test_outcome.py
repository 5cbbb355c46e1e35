"""How a call is judged: the outcome, and the log that people read."""

import pytest

from chalicelib.integrator.outcome import Outcome, judge_by_rules, judge_no_response


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, b'{"message": "success"}', Outcome.DELIVERED),
        (200, b'{"id": 1}', Outcome.DELIVERED),
        (201, b"{}", Outcome.DELIVERED),
        (204, b"", Outcome.DELIVERED),
        (200, '{"message": "success", "nome": "João"}'.encode("latin-1"), Outcome.DELIVERED),
        (200, b'{"message": "success", "number": ' + b"9" * 5_000 + b"}", Outcome.DELIVERED),
        (200, b'{"message": "success", "note": "two\nlines\t"}', Outcome.DELIVERED),
        (200, b'{"message": "success"}\r\n\0', Outcome.DELIVERED),
        (200, b'\xef\xbb\xbf{"message": "success"}\0\0', Outcome.DELIVERED),
        (200, '{"message": "success"}'.encode("utf-16"), Outcome.DELIVERED),
        (200, '{"nome": "João"}\0'.encode("latin-1"), Outcome.DELIVERED),
        (200, b'{"message": "queue\nfull"}', Outcome.FAILED),
        (200, b'{"message": "succ\0ess"}', Outcome.FAILED),
        (200, b'{"message": "success"}\0{}', Outcome.FAILED),
        (200, b"\0", Outcome.FAILED),
        (200, b'{"message": "queue full"}', Outcome.FAILED),
        (200, b'{"message": null}', Outcome.FAILED),
        (200, b'{"ok": true, "success": null, "error": null, "errors": []}', Outcome.DELIVERED),
        (200, b'{"status": "success", "error": false, "Fault": ""}', Outcome.DELIVERED),
        (200, b'{"status": 0, "errorCode": 0, "okay": false}', Outcome.DELIVERED),
        (200, b'{"error": {"code": 0, "message": ""}, "errors": [null]}', Outcome.DELIVERED),
        (200, b'{"error": "None", "exception": "0", "success": "true"}', Outcome.DELIVERED),
        (200, b'{"success": 1, "ok": "1", "errorCode": "000"}', Outcome.DELIVERED),
        (200, b'{"error_code": 0, "errorMessage": "Success", "hasError": "N"}', Outcome.DELIVERED),
        (200, b'{"success": 0}', Outcome.FAILED),
        (200, b'{"ok": "0"}', Outcome.FAILED),
        (200, b'{"success": "no"}', Outcome.FAILED),
        (200, b'{"isSuccess": " N "}', Outcome.FAILED),
        (200, b'{"errorCode": 7, "errorMessage": "unknown employee"}', Outcome.FAILED),
        (200, b'{"errorMessage": "unknown employee"}', Outcome.FAILED),
        (200, b'{"has_error": true}', Outcome.FAILED),
        (200, b'{"success": "False"}', Outcome.FAILED),
        (200, b'{"is_success": false}', Outcome.FAILED),
        (200, b'{"succeeded": false, "errors": []}', Outcome.FAILED),
        (200, b'{"error": {"code": 0, "message": "locked"}}', Outcome.FAILED),
        (200, b'{"error": ' + b'{"a":' * 90_000 + b"1" + b"}" * 90_001, Outcome.FAILED),
        (200, b'{"ok": false}', Outcome.FAILED),
        (200, b'{"Success": false, "id": 1}', Outcome.FAILED),
        (201, b'{"error": "queue full"}', Outcome.FAILED),
        (202, b'{"data": null, "errors": [{"code": 7}]}', Outcome.FAILED),
        (200, b'{"message": "success", "error": {"code": 7}}', Outcome.FAILED),
        (200, b'{"Fault": {"faultstring": "locked"}}', Outcome.FAILED),
        (200, b'{"status": "fail", "data": {"employee": "unknown"}}', Outcome.FAILED),
        (200, b'{"status": false}', Outcome.FAILED),
        (200, b'{"status": true}', Outcome.DELIVERED),
        (200, b'{"status": null, "code": null, "result": null}', Outcome.DELIVERED),
        (200, b'{"Status": " REJECTED "}', Outcome.FAILED),
        (200, b'{"status": "NOK"}', Outcome.FAILED),
        (200, b'{"status": "maintenance"}', Outcome.FAILED),
        (200, b'{"status": "OK"}', Outcome.DELIVERED),
        (200, b'{"status": "refused by nobody"}', Outcome.DELIVERED),
        (200, b'{"status": "pending"}', Outcome.DELIVERED),
        (200, b'{"status": 500}', Outcome.FAILED),
        (200, b'{"status": 200}', Outcome.DELIVERED),
        (200, b'{"status": 399}', Outcome.DELIVERED),
        (200, b'{"status": 400}', Outcome.FAILED),
        (200, b'{"status": 599}', Outcome.FAILED),
        (200, b'{"status": 600}', Outcome.DELIVERED),
        (200, b'{"status": 450.5}', Outcome.DELIVERED),
        (200, b'{"status": 1}', Outcome.DELIVERED),
        (200, b'{"statusCode": 500, "body": ""}', Outcome.FAILED),
        (200, b'{"status_code": "404"}', Outcome.FAILED),
        (200, b'{"statusCode": "4040"}', Outcome.DELIVERED),
        (200, b'{"statusCode": 201}', Outcome.DELIVERED),
        (200, b'{"code": 401, "msg": "not logged in"}', Outcome.FAILED),
        (200, b'{"code": 0, "msg": "ok"}', Outcome.DELIVERED),
        (200, b'{"message": "success", "code": 450}', Outcome.DELIVERED),
        (200, b'{"id": 7, "Success": true, "code": 412}', Outcome.DELIVERED),
        (200, b'{"success": false, "code": 412}', Outcome.FAILED),
        (200, b'{"result": false}', Outcome.FAILED),
        (200, b'{"result": "False"}', Outcome.FAILED),
        (200, b'{"status": "false"}', Outcome.FAILED),
        (200, b'{"code": 20000}', Outcome.DELIVERED),
        (200, b'{"code": "error"}', Outcome.DELIVERED),
        (200, b'{"result": "error"}', Outcome.FAILED),
        (200, b'{"Result": "KO"}', Outcome.FAILED),
        (200, b'{"result": "stored"}', Outcome.DELIVERED),
        (200, b'{"result": 500}', Outcome.DELIVERED),
        (200, b'{"result": {"status": "error"}}', Outcome.DELIVERED),
        (200, b'{"errcode": 40001, "errmsg": "invalid credential"}', Outcome.FAILED),
        (200, b'{"errcode": 0, "errmsg": "ok"}', Outcome.DELIVERED),
        (200, b'{"err": "locked"}', Outcome.FAILED),
        (200, b'{"err": null, "errno": 0}', Outcome.DELIVERED),
        (200, b'{"errno": -3}', Outcome.FAILED),
        (200, b'{"Message": "Internal server error"}', Outcome.FAILED),
        (200, b'{"MESSAGE": "FAILURE"}', Outcome.FAILED),
        (200, b'{"MESSAGE": "SUCCESS"}', Outcome.DELIVERED),
        (200, b'{"message": " Success "}', Outcome.DELIVERED),
        (200, b'{"message": "success", "Message": "queue full"}', Outcome.FAILED),
        (200, b'{"message": ["success"]}', Outcome.FAILED),
        (207, b'{"message": "success"}', Outcome.FAILED),
        (207, b'{"id": 1}', Outcome.FAILED),
        (208, b'{"id": 1}', Outcome.DELIVERED),
        (200, b"", Outcome.FAILED),
        (200, b"<html>Welcome</html>", Outcome.FAILED),
        (200, b"\xff\xfe\x00", Outcome.FAILED),
        (200, b'"success"', Outcome.FAILED),
        (200, b"[" * 100_000, Outcome.FAILED),
        (101, b"", Outcome.FAILED),
        (302, b"", Outcome.FAILED),
        (304, b"", Outcome.FAILED),
        (400, b"", Outcome.REFUSED),
        (404, b"", Outcome.REFUSED),
        (409, b"", Outcome.REFUSED),
        (422, b"", Outcome.REFUSED),
        (401, b"", Outcome.OVERLOADED),
        (403, b"", Outcome.OVERLOADED),
        (407, b"", Outcome.OVERLOADED),
        (408, b"", Outcome.OVERLOADED),
        (425, b"", Outcome.OVERLOADED),
        (429, b"", Outcome.OVERLOADED),
        (503, b"", Outcome.OVERLOADED),
        (500, b"", Outcome.FAILED),
        (502, b"", Outcome.FAILED),
        (504, b"", Outcome.FAILED),
        (599, b"", Outcome.FAILED),
        (999, b"", Outcome.FAILED),
    ],
)
def test_response_is_judged_as_one_of_four_outcomes(
    status: int, body: bytes, outcome: Outcome
) -> None:
    assert judge_by_rules(status, body, 0.1, None).outcome is outcome


def test_log_names_what_reports_an_error() -> None:
    result = judge_by_rules(200, b'{"id": 1, "Errors": ["locked"]}', 0.1, None)
    assert result.log == 'HTTP 200, but "Errors" reports an error: {"id": 1, "Errors": ["locked"]}'


def test_call_without_a_response_has_the_given_outcome_and_its_reason_in_the_log() -> None:
    result = judge_no_response(Outcome.FAILED, "the response is not HTTP/1.1", 0.1, broke_off=True)
    assert (result.outcome, result.http_status) == (Outcome.FAILED, None)
    assert result.log == "No response: the response is not HTTP/1.1"


def test_call_without_a_response_may_be_the_records_fault_only_if_the_request_was_sent() -> None:
    for broke_off in (False, True):
        result = judge_no_response(Outcome.OVERLOADED, "a timeout", 0.1, broke_off=broke_off)
        assert result.may_be_the_records_fault == broke_off


def test_failure_and_refusal_may_be_the_records_fault_and_overload_is_not() -> None:
    statuses = {200: False, 422: True, 404: True, 500: True, 502: True, 429: False, 503: False}
    for status, may_be in statuses.items():
        assert judge_by_rules(status, b"{}", 0.1, None).may_be_the_records_fault == may_be


@pytest.mark.parametrize(
    "what", ["The SSL certificate error", "No required SSL certificate was sent"]
)
def test_client_certificate_that_nginx_refuses_is_not_the_records_fault(what: str) -> None:
    page = f"<html>\r\n<head><title>400 {what}</title></head>".encode()
    result = judge_by_rules(400, page, 0.1, None)
    assert (result.outcome, result.credentials_refused) == (Outcome.OVERLOADED, True)
    assert not judge_by_rules(500, page, 0.1, None).credentials_refused
    for start in ("\n<!DOCTYPE HTML>\n<html>\n<head>\n", "<HTML><HEAD>"):
        other = f"{start}<title>400 {what}</title></head><body bgcolor=white>".encode()
        assert judge_by_rules(400, other, 0.1, None).credentials_refused


@pytest.mark.parametrize(
    "page",
    [
        "400 {}",
        '{{"error": "unknown device 400 {}"}}',
        "<html><head><title>Error</title></head><body><h1>400 {}</h1></body></html>",
        "<html><head><title>Device 400 {}</title></head>",
        "no <html><head><title>400 {}</title></head>",
    ],
)
def test_record_that_is_quoted_is_not_the_page_of_nginx(page: str) -> None:
    """A device may have the name of a page; its record must be parked like any other."""
    body = page.format("No required SSL certificate was sent").encode()
    result = judge_by_rules(400, body, 0.1, None)
    assert (result.outcome, result.credentials_refused) == (Outcome.REFUSED, False)


def test_credentials_are_refused_by_401_403_and_407_only() -> None:
    refused = {
        status
        for status in range(200, 600)
        if judge_by_rules(status, b"{}", 0.1, None).credentials_refused
    }
    assert refused == {401, 403, 407}


def test_log_is_bounded_and_has_no_nul_which_postgres_does_not_store() -> None:
    log = judge_by_rules(500, b"\0" * 20_000, 0.1, None).log
    assert log is not None
    assert "\0" not in log
    assert len(log) <= 8_000
