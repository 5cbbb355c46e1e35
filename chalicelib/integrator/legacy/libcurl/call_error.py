"""Judge calls without a complete response: libcurl's codes, for people and for the limiter.

No text names the host or the URL: employees may read it. libcurl's own messages do.
"""

import re

import pycurl

from chalicelib.integrator.legacy.libcurl.transport import ClientCertificate
from chalicelib.integrator.outcome import CallResult, Outcome, judge_no_response

# libcurl accepts header lines of up to 100 KB, and 300 KB of them. It reports more than that with
# the code of a reset, but by then it has passed on at least this much.
_EXCESSIVE_HEAD_BYTES = 200_000
# Codes that pycurl has no name for, or an old one.
E_WEIRD_SERVER_REPLY: int = pycurl.E_FTP_WEIRD_SERVER_REPLY
E_TOO_LARGE = 100
E_PROXY = 97

# How libcurl says that a SOCKS proxy refuses our credentials.
_SOCKS_REFUSAL = re.compile(r"rejected by the SOCKS|authentication method was acceptable")

# The alerts of TLS by which a server refuses a client certificate (RFC 8446, section 6.2), as
# OpenSSL names them.
_CERTIFICATE_ALERT = re.compile(
    r"alert (?:bad certificate|unsupported certificate|certificate (?:revoked|expired|unknown"
    r"|required)|unknown ca|access denied)"
    # libcurl's text for the alert of TLS 1.2 that our certificate has expired.
    r"|^SSL certificate verification failed"
)
_TLS_ERRORS = (
    pycurl.E_SSL_CONNECT_ERROR,
    pycurl.E_PEER_FAILED_VERIFICATION,
    pycurl.E_RECV_ERROR,
    pycurl.E_SEND_ERROR,
)
# The codes of calls that found no connection.
_CONNECT_ERRORS = (
    pycurl.E_COULDNT_RESOLVE_HOST,
    pycurl.E_COULDNT_RESOLVE_PROXY,
    pycurl.E_COULDNT_CONNECT,
    E_PROXY,
    pycurl.E_SSL_CONNECT_ERROR,
    pycurl.E_PEER_FAILED_VERIFICATION,
)
# The codes of connections that the other side has closed.
_RESETS = (pycurl.E_RECV_ERROR, pycurl.E_SEND_ERROR, pycurl.E_GOT_NOTHING)
# How libcurl's text of a timeout begins once there is a connection; before, it names another phase.
_CONNECTED_TIMEOUT = "Operation"
# What is wrong with the legacy's certificate, by OpenSSL's codes (x509_vfy.h).
_UNTRUSTED = {
    9: "the certificate is not valid yet",
    10: "the certificate has expired",
    18: "the certificate is self-signed, and not trusted",
    19: "the authority of the certificate is not trusted",
    20: "the authority of the certificate is not trusted",
    21: "the authority of the certificate is not trusted",
    23: "the certificate was revoked",
}

# libcurl's codes for calls without a complete response. Any other code is an overload, too.
_ERRORS: dict[int, tuple[Outcome, str]] = {
    pycurl.E_OK: (Outcome.OVERLOADED, "the response broke off in its headers"),
    pycurl.E_COULDNT_RESOLVE_HOST: (Outcome.OVERLOADED, "the host name was not resolved"),
    pycurl.E_COULDNT_RESOLVE_PROXY: (Outcome.OVERLOADED, "the name of the proxy was not resolved"),
    pycurl.E_COULDNT_CONNECT: (Outcome.OVERLOADED, "the connection was not established"),
    E_PROXY: (Outcome.OVERLOADED, "the proxy made no connection"),
    pycurl.E_SSL_CONNECT_ERROR: (Outcome.OVERLOADED, "the TLS handshake failed"),
    pycurl.E_SSL_CERTPROBLEM: (
        Outcome.OVERLOADED,
        "our client certificate cannot be used; its key may be too short",
    ),
    pycurl.E_SSL_CACERT_BADFILE: (
        Outcome.OVERLOADED,
        "the certificate authorities could not be read",
    ),
    pycurl.E_GOT_NOTHING: (Outcome.OVERLOADED, "the connection was closed without a response"),
    pycurl.E_SEND_ERROR: (Outcome.OVERLOADED, "the connection broke while sending"),
    pycurl.E_RECV_ERROR: (Outcome.OVERLOADED, "the connection or the response broke"),
    pycurl.E_PARTIAL_FILE: (Outcome.OVERLOADED, "the response broke off in its body"),
    pycurl.E_UNSUPPORTED_PROTOCOL: (Outcome.FAILED, "the response is not HTTP/1.1"),
    E_WEIRD_SERVER_REPLY: (Outcome.FAILED, "the headers of the response are invalid"),
    pycurl.E_BAD_CONTENT_ENCODING: (
        Outcome.FAILED,
        "the response has a transfer coding that was not requested",
    ),
    E_TOO_LARGE: (Outcome.FAILED, "the response has too many or too long headers"),
    pycurl.E_FILESIZE_EXCEEDED: (Outcome.FAILED, "the body of the response is too long"),
}


def judge_error(
    curl: pycurl.Curl,
    error: int,
    head_bytes: int,
    latency_s: float,
    certificate: ClientCertificate | None,
    *,
    has_body: bool,
) -> CallResult:
    """Judge a call without a complete response.

    Args:
        curl: the handle of the call.
        error: libcurl's code.
        head_bytes: how many bytes of header lines the call has received.
        latency_s: how long the call took.
        certificate: our client certificate, if there is one.
        has_body: whether the record is in the body of the request, not in its URL.
    """
    outcome, reason = _explain(curl, error, head_bytes)
    is_refused = refuses_credentials(curl, error)
    if not is_refused and certificate and certificate.is_expired and not head_bytes:
        # The server's alert may be lost: it resets a new connection upon the request that we have
        # sent by then.
        is_refused = error in _RESETS and curl.getinfo(pycurl.NUM_CONNECTS) > 0
        reason = "our client certificate has expired" if is_refused else reason
    # TLS 1.3 tells only after the request that it refuses a certificate. The first request of
    # Digest and of NTLM lacks the body.
    lacks_body = has_body and not curl.getinfo(pycurl.SIZE_UPLOAD_T)
    broke_off = _is_sent(curl, error) and not lacks_body and not is_refused
    if not broke_off:
        # What came instead of a response answers no record: a proxy's CONNECT, or a handshake.
        outcome = Outcome.OVERLOADED
    return judge_no_response(
        outcome, reason, latency_s, broke_off=broke_off, credentials_refused=is_refused
    )


def _explain(curl: pycurl.Curl, error: int, head_bytes: int) -> tuple[Outcome, str]:
    """Return the outcome and the reason; the arguments are those of ``judge_error``."""
    if error == pycurl.E_OPERATION_TIMEDOUT:
        what = "response" if _is_sent(curl, error) else "connection"
        return Outcome.OVERLOADED, f"timeout while waiting for the {what}"
    if (status := curl.getinfo(pycurl.HTTP_CONNECTCODE)) >= 300:
        return Outcome.OVERLOADED, f"the proxy answers HTTP {status}"
    if refuses_credentials(curl, error):
        if error == E_PROXY:
            return Outcome.OVERLOADED, "the proxy refuses our credentials"
        return Outcome.OVERLOADED, "the legacy refuses our client certificate"
    if error == pycurl.E_PEER_FAILED_VERIFICATION:
        # 0 or 1 (unspecified) if the chain is trusted, but the certificate is for another host.
        if (code := curl.getinfo(pycurl.SSL_VERIFYRESULT)) > 1:
            return Outcome.OVERLOADED, _UNTRUSTED.get(
                code, f"the certificate is not trusted (OpenSSL error {code})"
            )
        return Outcome.OVERLOADED, "the certificate is for another host"
    if error == pycurl.E_RECV_ERROR and head_bytes >= _EXCESSIVE_HEAD_BYTES:
        error = E_TOO_LARGE
    return _ERRORS.get(error, (Outcome.OVERLOADED, f"libcurl error {error}"))


def _is_sent(curl: pycurl.Curl, error: int) -> bool:
    """Return whether libcurl was sending the request or waiting for its response.

    Before that, it connects. It does so again if a kept connection turns out to be closed, after it
    has sent the request in vain.
    """
    if error in _CONNECT_ERRORS:
        return False
    if error == pycurl.E_OPERATION_TIMEDOUT and not curl.errstr().startswith(_CONNECTED_TIMEOUT):
        return False
    return bool(curl.getinfo(pycurl.REQUEST_SIZE) > 0)


def refuses_credentials(curl: pycurl.Curl, error: int) -> bool:
    """Return whether the proxy refuses our credentials, or the legacy our client certificate.

    TLS 1.3 reports a certificate that is refused only after the handshake.
    """
    if curl.getinfo(pycurl.HTTP_CONNECTCODE) in (401, 403, 407):
        return True
    if error == E_PROXY:
        return _SOCKS_REFUSAL.search(curl.errstr()) is not None
    return error in _TLS_ERRORS and _CERTIFICATE_ALERT.search(curl.errstr()) is not None
