"""The cached keys of an issuer: when its table and it are read, and what outages change."""

import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from chalicelib.errors import UnavailableError
from chalicelib.identity.issuer_keys import IssuerKeys
from chalicelib.identity.jwk_set import FetchedSet, JwkSetError

RSA = json.loads(
    jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65_537, 2_048).public_key())
)
NOW = 1_800_000_000.0


def jwk_set(kids: list[str]) -> bytes:
    return json.dumps({"keys": [{**RSA, "kid": kid} for kid in kids]}).encode()


class Issuer:
    """An issuer that publishes keys with these ids, or is down, and a process that asks it.

    With ``has_table``, the process also has a table of keys. ``copy`` fills it.
    """

    def __init__(self, *kids: str, has_table: bool = False, max_age_s: float = 604_800) -> None:
        self.kids = list(kids)
        self.is_down = self.is_table_down = False
        self.fetches = self.table_reads = 0
        self.now = 1_000.0
        self.skew_s = 0.0  # how far the clock of the process is ahead of that of the table's writer
        self.stored: FetchedSet | None = None
        self._has_table = has_table
        self._max_age_s = max_age_s
        self.keys = self.cold_process()

    def cold_process(self) -> IssuerKeys:
        """Return the keys of a new process, which is the one that is asked from now on."""
        self.keys = IssuerKeys(
            self._fetch,
            read_table=self._read_table if self._has_table else None,
            max_age_s=self._max_age_s,
            clock=lambda: NOW + self.now + self.skew_s,
        )
        return self.keys

    def copy(self) -> None:
        self.stored = FetchedSet(jwk_set(self.kids).decode(), NOW + self.now)

    def _fetch(self) -> bytes:
        self.fetches += 1
        if self.is_down:
            raise JwkSetError("down")
        return jwk_set(self.kids)

    def _read_table(self) -> FetchedSet:
        self.table_reads += 1
        if self.is_table_down or self.stored is None:
            raise JwkSetError("no table")
        return self.stored

    def knows(self, kid: str | None) -> bool:
        return self.keys.key("RS256", kid) is not None


def test_keys_are_fetched_once_an_hour() -> None:
    issuer = Issuer("a")
    assert issuer.fetches == 0
    assert all(issuer.knows("a") for _ in range(100))
    assert issuer.fetches == 1
    issuer.now += 3_600
    issuer.kids = ["b"]
    assert not issuer.knows("a")  # withdrawn
    assert issuer.knows("b")
    assert issuer.fetches == 2


def test_new_key_is_fetched_and_invented_ids_cause_one_fetch_in_30_seconds() -> None:
    issuer = Issuer("a")
    assert issuer.knows("a")
    issuer.now += 31
    issuer.kids.append("b")
    assert issuer.knows("b")
    for number in range(1_000):
        issuer.now += 0.01
        assert not issuer.knows(f"invented {number}")
        assert issuer.knows("a")
    assert issuer.fetches == 2
    issuer.now += 30
    assert not issuer.knows("invented")
    assert issuer.fetches == 3


def test_known_keys_stay_valid_while_the_issuer_is_down() -> None:
    issuer = Issuer("a")
    assert issuer.knows("a")
    issuer.is_down = True
    for _ in range(100):
        issuer.now += 600
        assert issuer.knows("a")
    fetches = issuer.fetches
    for _ in range(120):
        issuer.now += 1
        assert issuer.knows("a")
    assert issuer.fetches <= fetches + 2  # a fetch may delay a request by seconds
    with pytest.raises(UnavailableError):
        issuer.knows("b")
    issuer.is_down, issuer.kids = False, ["b"]
    issuer.now += 5
    assert issuer.knows("b")


def test_issuer_that_is_down_from_the_start_is_not_flooded() -> None:
    issuer = Issuer("a")
    issuer.is_down = True
    for _ in range(100):
        issuer.now += 0.1
        with pytest.raises(UnavailableError):
            issuer.knows("a")
    assert issuer.fetches <= 3
    issuer.is_down = False
    issuer.now += 5
    assert issuer.knows("a")


def test_token_without_kid_is_verified_only_if_there_is_one_key() -> None:
    assert Issuer("a").knows(None)
    assert not Issuer("a", "b").knows(None)


def with_table(*kids: str, **options: float) -> Issuer:
    """An issuer that is down, whose keys have been copied to the table."""
    issuer = Issuer(*kids, has_table=True, **options)
    issuer.copy()
    issuer.is_down = True
    return issuer


def test_cold_processes_know_the_keys_of_the_table_without_the_issuer() -> None:
    issuer = with_table("a")
    for _ in range(100):
        issuer.cold_process()
        assert issuer.table_reads == issuer.fetches == 0  # building it reads nothing
        assert all(issuer.knows("a") for _ in range(10))
        assert issuer.table_reads == 1
        issuer.table_reads = 0
    assert issuer.fetches == 0


def test_table_is_read_every_five_minutes_and_a_withdrawn_key_stops_then() -> None:
    issuer = with_table("a", "b")
    assert issuer.knows("a")
    issuer.is_down = False
    issuer.kids = ["b"]
    for second in range(299):
        issuer.now += 1
        assert issuer.knows("a")
        if second == 0:
            issuer.copy()
    assert (issuer.table_reads, issuer.fetches) == (1, 0)
    issuer.now += 1
    assert issuer.knows("b")
    assert (issuer.table_reads, issuer.fetches) == (2, 0)
    assert not issuer.knows("a")  # the issuer is asked, and does not know it either
    assert issuer.fetches == 1


def test_unknown_key_is_looked_up_in_the_table_then_asked_for_once() -> None:
    issuer = with_table("a")
    assert issuer.knows("a")
    issuer.is_down, issuer.kids = False, ["a", "b"]
    assert issuer.knows("b")
    assert (issuer.table_reads, issuer.fetches) == (1, 1)  # the table was read just now
    issuer.now += 31
    issuer.kids.append("c")
    issuer.copy()
    assert issuer.knows("c")
    assert (issuer.table_reads, issuer.fetches) == (2, 1)  # the table has it


def test_unknown_key_of_a_cold_process_is_asked_for_at_once() -> None:
    issuer = with_table("a")
    issuer.is_down, issuer.kids = False, ["a", "b"]
    assert issuer.knows("b")
    assert issuer.knows("a")
    assert (issuer.table_reads, issuer.fetches) == (1, 1)


def test_invented_ids_cause_one_read_of_each_in_30_seconds() -> None:
    issuer = with_table("a")
    issuer.is_down = False
    for number in range(3_000):
        issuer.now += 0.01
        assert not issuer.knows(f"invented {number}")
        assert issuer.knows("a")
    assert (issuer.table_reads, issuer.fetches) == (1, 1)
    issuer.now += 1
    assert not issuer.knows("invented")
    assert (issuer.table_reads, issuer.fetches) == (2, 2)


def test_key_from_the_issuer_survives_an_older_copy_in_the_table() -> None:
    issuer = with_table("a")
    issuer.is_down, issuer.kids = False, ["a", "b"]
    assert issuer.knows("b")
    issuer.is_down = True
    for _ in range(3):
        issuer.now += 301
        assert issuer.knows("b")
    assert issuer.table_reads == 4
    issuer.kids = ["c"]
    issuer.copy()
    issuer.now += 301
    assert issuer.knows("c")
    with pytest.raises(UnavailableError):
        issuer.knows("b")


@pytest.mark.parametrize("skew_s", [-250, 250])
def test_key_from_the_issuer_is_accepted_although_clocks_differ(skew_s: float) -> None:
    issuer = with_table("a")
    issuer.skew_s = skew_s
    issuer.is_down, issuer.kids = False, ["a", "b"]
    assert issuer.knows("b")
    issuer.is_down = True
    issuer.now += 301
    assert issuer.knows("b")  # the older copy has not replaced it
    issuer.kids = ["c"]
    issuer.copy()
    issuer.now += 301
    assert issuer.knows("c")


def test_clock_that_is_set_back_does_not_keep_old_keys() -> None:
    issuer = Issuer("a", has_table=True)
    issuer.skew_s = 86_400.0
    assert issuer.knows("a")  # from the issuer
    issuer.skew_s = 0.0
    issuer.kids = ["b"]
    issuer.copy()
    issuer.now += 301
    assert issuer.knows("b")
    assert not issuer.knows("a")


def test_clock_that_is_set_back_lengthens_no_pause() -> None:
    issuer = with_table("a")
    assert issuer.knows("a")
    issuer.now -= 86_400
    issuer.kids = ["b"]
    issuer.copy()
    assert issuer.knows("b")  # the table may be read
    issuer.now -= 86_400
    issuer.kids = ["c"]
    issuer.copy()
    with pytest.raises(UnavailableError):
        issuer.knows("b")  # the table is due
    assert issuer.table_reads == 3
    issuer.is_table_down = True
    issuer.cold_process()
    with pytest.raises(UnavailableError):
        issuer.knows("c")
    issuer.is_table_down = False
    issuer.now -= 86_400
    issuer.copy()
    assert issuer.knows("c")


def test_without_the_table_the_issuer_is_asked_once_an_hour() -> None:
    issuer = Issuer("a", has_table=True)
    for _ in range(3_600):
        assert issuer.knows("a")
        issuer.now += 1
    assert issuer.fetches == 1
    assert issuer.table_reads == 60
    issuer.kids = ["b"]
    issuer.now += 60
    assert issuer.knows("b")
    assert not issuer.knows("a")
    assert issuer.fetches == 2


def test_known_keys_stay_valid_while_the_table_and_the_issuer_are_away() -> None:
    issuer = with_table("a")
    assert issuer.knows("a")
    issuer.is_table_down = True
    for _ in range(1_000):
        issuer.now += 601
        assert issuer.knows("a")
    with pytest.raises(UnavailableError):
        issuer.knows("b")
    with pytest.raises(UnavailableError):
        issuer.cold_process().key("RS256", "a")


def test_keys_are_trusted_no_longer_than_the_maximum_age() -> None:
    issuer = with_table("a", max_age_s=7_200)
    assert issuer.knows("a")
    issuer.now += 7_200
    assert issuer.knows("a")
    assert issuer.cold_process().key("RS256", "a")
    issuer.now += 1
    for _ in range(2):
        with pytest.raises(UnavailableError):
            issuer.knows("a")
        issuer.cold_process()
    issuer.is_down = False
    issuer.now += 5
    assert issuer.knows("a")


def test_keys_from_the_issuer_alone_have_the_same_maximum_age() -> None:
    issuer = Issuer("a", max_age_s=7_200)
    assert issuer.knows("a")
    issuer.is_down = True
    issuer.now += 7_200
    assert issuer.knows("a")
    issuer.now += 1
    with pytest.raises(UnavailableError):
        issuer.knows("a")


@pytest.mark.parametrize(
    "stored",
    [
        FetchedSet("", NOW), FetchedSet("{", NOW), FetchedSet('{"keys":[]}', NOW),
        FetchedSet(jwk_set(["a"]), NOW + 3_000), FetchedSet(jwk_set(["a"]), float("nan")),
        FetchedSet(jwk_set(["a"]), float("inf")), FetchedSet(jwk_set(["a"]), float("-inf")),
    ],
    ids=["empty", "garbage", "no keys", "future", "nan", "never", "old"],
)  # fmt: skip
def test_unusable_item_in_the_table_is_ignored(stored: FetchedSet) -> None:
    issuer = with_table("b")
    assert issuer.knows("b")
    issuer.stored = stored
    issuer.now += 301
    assert issuer.knows("b")
    issuer.is_down = False
    issuer.cold_process()
    assert issuer.knows("b")
    assert not issuer.knows("a")


def test_unchanged_key_stays_the_same_object() -> None:
    """Otherwise each read of the table would forget the verified tokens."""
    issuer = with_table("a", "b")
    known = issuer.keys.key("RS256", "a")
    issuer.now += 301
    issuer.copy()
    assert issuer.keys.key("RS256", "a") is known
    assert issuer.table_reads == 2
    issuer.is_down, issuer.kids = False, ["b", "a"]
    assert not issuer.knows("c")
    assert issuer.fetches == 1
    assert issuer.keys.key("RS256", "a") is known
