"""Access keys are looked up by their digest at each request; unknown ones at a bounded rate."""

import base64
from collections.abc import Callable

import pytest

from chalicelib.access_key import digest_of
from chalicelib.errors import ForbiddenError, UnauthenticatedError, UnavailableError
from chalicelib.identity.access_keys import AccessKeys
from chalicelib.identity.authenticator import Authenticator, SharedKey, TokenRequirements
from chalicelib.identity.token_claims import ClaimNames
from chalicelib.principal import Principal, Role
from chalicelib.settings import Settings
from local.tokens import make_token
from tests.support.tokens import KEY

ACCESS_KEY = "pck_" + "A1-_" * 10 + "abc"
PRINCIPAL = Principal(Role.EMPLOYER, 121, subject="access key 1: payroll", read_only=True)


class Store:
    """Keys by digest, and how often each digest was asked for."""

    def __init__(self) -> None:
        self.keys = {digest_of(ACCESS_KEY): PRINCIPAL}
        self.asked: list[bytes] = []
        self.now = 0.0

    def find(self, digest: bytes) -> Principal | None:
        self.asked.append(digest)
        return self.keys.get(digest)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def authenticate(store: Store) -> Callable[..., Principal]:
    requirements = TokenRequirements("", frozenset(), "aud", 0)
    names = ClaimNames.from_settings(Settings())
    keys = AccessKeys(store.find, lambda: store.now)
    authenticator = Authenticator(SharedKey(KEY.encode()), requirements, names, keys)

    def authenticate(header: str, *, reads_odata: bool = True) -> Principal:
        return authenticator.authenticate([header], reads_odata=reads_odata)

    return authenticate


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "header",
    [
        f"Bearer {ACCESS_KEY}",
        basic("", ACCESS_KEY),
        basic("ana", ACCESS_KEY),
        basic("José", ACCESS_KEY),
        basic("any", ACCESS_KEY).replace("Basic", "bAsIc"),
    ],
)
def test_key_is_a_bearer_token_or_the_password_of_any_user(
    authenticate: Callable[..., Principal], header: str
) -> None:
    assert authenticate(header) == PRINCIPAL


def test_token_may_be_a_password(authenticate: Callable[..., Principal]) -> None:
    token = make_token(KEY, Role.EMPLOYEE, 121, 7)
    for reads_odata in (True, False):
        principal = authenticate(basic("x", token), reads_odata=reads_odata)
        assert (principal.role, principal.employee_id, principal.read_only) == (
            "employee",
            7,
            False,
        )


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic ====",
        "Basic é",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"x:\xff").decode(),
        basic("x", ""),
        basic("x", "secret"),
        basic(ACCESS_KEY, ""),
        basic("x", f"{ACCESS_KEY}x"),
        basic("x", ACCESS_KEY[:-1]),
        basic("x", f"{ACCESS_KEY}\n"),
        basic("x", "pck_" + "é" * 43),
        f"Digest {ACCESS_KEY}",
    ],
)
def test_other_credentials_are_rejected_without_a_look_up(
    authenticate: Callable[..., Principal], store: Store, header: str
) -> None:
    with pytest.raises(UnauthenticatedError):
        authenticate(header)
    assert store.asked == []


def test_key_is_not_looked_up_outside_odata(
    authenticate: Callable[..., Principal], store: Store
) -> None:
    for header in (f"Bearer {ACCESS_KEY}", basic("x", ACCESS_KEY)):
        with pytest.raises(ForbiddenError, match="only reads"):
            authenticate(header, reads_odata=False)
    assert store.asked == []


def test_key_that_is_revoked_stops_at_once(
    authenticate: Callable[..., Principal], store: Store
) -> None:
    assert authenticate(f"Bearer {ACCESS_KEY}") == PRINCIPAL
    store.keys.clear()
    with pytest.raises(UnauthenticatedError, match="revoked"):
        authenticate(f"Bearer {ACCESS_KEY}")


def test_unknown_keys_are_looked_up_at_a_bounded_rate(
    authenticate: Callable[..., Principal], store: Store
) -> None:
    authenticate(f"Bearer {ACCESS_KEY}")

    def wrong(number: int) -> str:
        return f"Bearer pck_{number:043}"

    for number in range(19):
        with pytest.raises(UnauthenticatedError):
            authenticate(wrong(number))
    for number in range(100):
        with pytest.raises(UnavailableError):
            authenticate(wrong(number))
    assert len(store.asked) == 20
    assert authenticate(f"Bearer {ACCESS_KEY}") == PRINCIPAL  # known keys are not delayed
    store.now += 0.1
    with pytest.raises(UnauthenticatedError):
        authenticate(wrong(1))
    with pytest.raises(UnavailableError):
        authenticate(wrong(1))
    store.now -= 3_600  # the clock is set back
    with pytest.raises(UnavailableError):
        authenticate(wrong(1))
    store.now += 0.11
    with pytest.raises(UnauthenticatedError):
        authenticate(wrong(1))
