"""Several replicators share a deep buffer: each item is deleted by one, and none is forgotten."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import app
from chalicelib import container
from chalicelib.postgres.point_records import PointRecordStore
from chalicelib.postgres.replication_shares import ReplicationShares
from chalicelib.replicator.replication import Replication, Replicator
from deploy.capacity.facts import template
from tests.support import killed_process
from tests.support.killed_process import KillPoint
from tests.support.lambda_events import context
from tests.support.record_counts import assert_replicated, buffered_ids, fill
from tests.support.service import Service

RECORDS = range(1, 1_001)
SHARE = 100
DEEP = {"REPLICATION_SHARE": str(SHARE), "REPLICATION_PAGE": "25", "REPLICATION_LEASE_S": "1"}


def replicator() -> Replicator:
    return Replicator(
        container.buffered_items(),
        PointRecordStore(container.database()),
        segments=1,
        page=25,
        deleters=2,
        margin_s=1,
        shares=ReplicationShares(container.database(), 30),
        share_size=SHARE,
    )


def run(helps: bool) -> Replication:
    return replicator().run(lambda: 60, helps=helps)


def test_replicators_that_share_the_buffer_read_and_delete_each_item_once(
    service: Service, dynamodb: Any, table: str
) -> None:
    accepted = fill(dynamodb, table, RECORDS)

    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(run, (False, True, True, True)))

    assert_replicated(service, dynamodb, table, accepted)
    # A helper that ends first may have found no share left, but one cannot have done it all.
    assert sum(each.read > 0 for each in runs) > 1
    assert sum(each.read for each in runs) == len(accepted)
    assert sum(each.deleted for each in runs) == len(accepted)
    assert not ReplicationShares(container.database(), 30).exist()


@pytest.mark.parametrize(
    "point",
    [
        KillPoint("after", "chalicelib.postgres.replication_shares:ReplicationShares.divide"),
        KillPoint("after", "chalicelib.postgres.replication_shares:ReplicationShares.take", 3),
        KillPoint("after", "chalicelib.postgres.point_records:PointRecordStore.add", 7),
        KillPoint("before", "chalicelib.buffered_items:BufferedItems.delete", 7),
    ],
    ids=str,
)
def test_next_run_takes_over_the_shares_of_a_killed_run(
    service: Service, variables: dict[str, str], dynamodb: Any, table: str, point: KillPoint
) -> None:
    accepted = fill(dynamodb, table, RECORDS)
    assert killed_process.run("replicate", variables | DEEP, point) == -signal.SIGKILL

    # The killed run holds one share until its lease ends: the others are replicated meanwhile.
    for _ in range(100):
        assert killed_process.run("replicate", variables | DEEP) == 0
        if not buffered_ids(dynamodb, table):
            break
    assert_replicated(service, dynamodb, table, accepted)


def test_helper_leaves_a_shallow_buffer_alone(service: Service, dynamodb: Any, table: str) -> None:
    fill(dynamodb, table, range(1, SHARE))
    assert run(helps=True).read == 0
    assert run(helps=False).read == SHARE - 1
    assert service.statuses() == {"AWAITING": SHARE - 1}


def test_rules_of_the_template_start_runs_that_help(
    service: Service, dynamodb: Any, table: str
) -> None:
    fill(dynamodb, table, range(1, 4))
    rules = template()["Resources"]["Replicate"]["Properties"]["Events"]
    inputs = [rule["Properties"].get("Input") for rule in rules.values()]
    events = [json.loads(each) for each in inputs if each]
    assert len(events) == len(rules) - 1
    for event in events:
        app.replicate(event, context())
    assert service.statuses() == {}
    service.replicate()
    assert service.statuses() == {"AWAITING": 3}
