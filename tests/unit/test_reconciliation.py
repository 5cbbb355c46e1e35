"""What a reconciliation answers fits into the response of a Lambda function."""

import json
import uuid

from chalicelib.operations.reconciler import Reconciliation

MAX_RESPONSE = 6 * 1024**2


def ids(count: int) -> list[str]:
    return [str(uuid.UUID(int=number)) for number in range(count)]


def test_answer_has_all_counts_and_as_many_ids_as_fit() -> None:
    lost = ids(200_000)
    answer = Reconciliation(300_000, in_postgres=100_000, missing=lost, unlogged=lost[:7]).answer()
    assert (answer["accepted"], answer["missing"], answer["unlogged"]) == (300_000, 200_000, 7)
    assert answer["missing_ids"] == lost[:10_000]
    assert answer["unlogged_ids"] == lost[:7]
    assert answer["more"] is True
    assert len(json.dumps(Reconciliation(missing=lost, unlogged=lost).answer())) < MAX_RESPONSE


def test_answer_with_all_ids_has_no_more() -> None:
    lost = ids(10_000)
    answer = Reconciliation(missing=lost, unlogged=lost).answer()
    assert (answer["missing_ids"], answer["unlogged_ids"], answer["more"]) == (lost, lost, False)
