"""Costs come from prices by region, each with its source, and from storage as RDS allocates it."""

import re

import pytest

from deploy.capacity.costs import allocated_gb, monthly, optional
from deploy.capacity.facts import checked, prices, regions
from deploy.capacity.tables import costs, price_list


def test_each_region_has_every_price_with_the_page_of_aws() -> None:
    assert regions()[0] == "us-east-1"
    assert "sa-east-1" in regions()
    names = {name: each.unit for name, each in prices("us-east-1").items()}
    for region in regions():
        assert {name: each.unit for name, each in prices(region).items()} == names
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", checked(region))
        for each in prices(region).values():
            assert each.page.startswith("https://aws.amazon.com/")
            assert each.usd > 0


def test_a_price_that_nobody_confirms_says_so() -> None:
    for line in price_list(["sa-east-1"]).splitlines()[2:]:
        (name,) = re.findall(r"^\| (.+?) \|", line)
        confirmed = prices("sa-east-1")[name].confirmed_by
        assert (confirmed or "not confirmed") in line


def test_unknown_region_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"add deploy/capacity/prices/mars-1\.json"):
        prices("mars-1")


@pytest.mark.parametrize(("stored", "allocated"), [(0, 400), (360, 400), (361, 440), (400, 484)])
def test_storage_is_billed_as_allocated(stored: float, allocated: float) -> None:
    assert allocated_gb(stored) == pytest.approx(allocated)


def test_bill_has_what_the_templates_make_and_the_options_apart() -> None:
    bill = monthly(1e6, 50, "sa-east-1")
    assert sum(bill.values()) > sum(monthly(1e6, 50, "us-east-1").values())
    assert {"Storage as allocated, with a year's records", "API Gateway's metrics"} <= set(bill)
    assert set(optional(1e6, "sa-east-1")) == {
        *("NAT gateway with a fixed address", "RDS Proxy, 2 vCPU", "WAF with one rule"),
        "journal, with a year's records",
    }
    table = costs(["sa-east-1"])
    assert f"| total | {sum(bill.values()):,.0f} |" in table
    assert table.count("off by default") == 4
