"""Leads in another process than the one that holds the store: bought there, seen here."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

import propkit as pk
from propkit.errors import RequestError, StoreError
from propkit.leads import LeadPreview
from tests.guests.dying import dying_kit
from tests.guests.notebooks import Notebook, notebook, wait_until
from tests.leads.selling import CAPS, CRITERIA, leads_settings, paid_ids, states, stored_ids

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from propkit.demo_county import County

WAIT = 60


@pytest.fixture
def owner(county: County, path: Path) -> Iterator[Notebook]:
    """Start the notebook that owns the store."""
    with notebook(path, leads_settings(county)) as owner:
        yield owner


@pytest.fixture
def kit(county: County, path: Path, owner: Notebook) -> Iterator[pk.Kit]:
    """Open a store that another notebook owns."""
    with pk.open(path, settings=pk.Settings.load(**leads_settings(county))) as kit:
        assert repr(kit).endswith(f"guest of PID {owner.pid}>")
        yield kit


def test_leads_are_previewed_bought_and_planned_by_a_guest(kit: pk.Kit, county: County):
    """The preview buys nothing; each lead is paid for once; the listener hears of every page."""
    heard: list[Any] = []
    preview = kit.leads(CRITERIA, page_size=50)
    assert isinstance(preview, LeadPreview)
    assert not paid_ids(county)

    batch = preview.buy(**CAPS, listener=heard.append)

    assert batch.wait(timeout=WAIT).state == "completed"
    leads = kit.frame("leads")
    assert len(leads) == preview.records > 100
    assert stored_ids(kit) == paid_ids(county)
    assert set(paid_ids(county).values()) == {1}
    assert set(states(kit)) == {"bought"}
    wait_until(lambda: [one.state for one in heard[-1:]] == ["completed"])
    assert {one.batch_id for one in heard} == {batch.id}
    assert len(kit.plan(leads).due) > 0


def test_a_guest_is_refused_as_anyone(kit: pk.Kit):
    """What is wrong is named by the owner as it would be here."""
    kit.leads(CRITERIA, purchase=True, **CAPS).wait(timeout=WAIT)  # type: ignore[union-attr]

    with pytest.raises(RequestError, match="leads of these criteria are bought already"):
        kit.leads(CRITERIA, purchase=True, **CAPS)
    with pytest.raises(RequestError, match=r"^leads know no operation 'steal'$"):
        kit._place.leads("steal", {})
    assert kit.settle().empty


def test_a_guest_reads_and_unlocks_persons(kit: pk.Kit, county: County):
    """What a person costs is said first; what was bought is in the store."""
    kit.leads(CRITERIA, purchase=True, **CAPS).wait(timeout=WAIT)  # type: ignore[union-attr]
    radar_id = str(kit.frame("leads")["radar_id"][0])
    account = kit.lead_account

    quote = account.persons(radar_id)
    bought = account.persons(radar_id, purchase=True, **CAPS)

    assert list(quote.columns) == ["radar_id", "persons", "cost"]
    assert len(bought) == quote["persons"][0]
    assert set(bought["radar_id"]) == {radar_id}
    assert len(account.lists()) == 0
    assert [charge["kind"] for charge in county.account()["charges"]][-1] == "persons"


@pytest.mark.parametrize("is_done", [True, False])
def test_leads_are_bought_in_one_batch_though_one_owner_after_the_other_is_lost(
    county: County, path: Path, *, is_done: bool
):
    """The order is found by its id where it was stored unheard, and is made where it was not."""
    with dying_kit(path, pk.Settings.load(**leads_settings(county))) as (kit, lose):
        preview = kit.leads(CRITERIA)
        assert isinstance(preview, LeadPreview)
        lose("leads", is_done=is_done)

        batch = preview.buy(**CAPS)

        assert batch.wait(timeout=WAIT).state == "completed"
        assert kit.batches()["batch_id"].tolist() == [batch.id]
        assert stored_ids(kit) == paid_ids(county)
        assert set(paid_ids(county).values()) == {1}


def test_a_purchase_is_not_repeated_when_its_owner_is_lost(
    kit: pk.Kit, county: County, owner: Notebook
):
    """Killed before the answer: the guest takes over, is told, and does not pay by itself."""
    kit.leads(CRITERIA, purchase=True, **CAPS).wait(timeout=WAIT)  # type: ignore[union-attr]
    radar_id = str(kit.frame("leads")["radar_id"][0])
    paid = {"system": "propertyradar", "path": "persons.*Purchase=1"}
    county.switch(faults=[{**paid, "kind": "hang"}])
    told: list[Exception] = []

    def buy() -> None:
        try:
            kit.lead_account.persons(radar_id, purchase=True, again=True, **CAPS)
        except StoreError as error:
            told.append(error)

    buying = threading.Thread(target=buy)
    buying.start()
    wait_until(lambda: "asked" in states(kit))
    owner.kill()
    buying.join(WAIT)  # asked again it would hang
    county.switch(faults=[])

    (error,) = told
    assert "is not repeated by itself" in str(error)
    assert "owner: this process" in repr(kit)
    assert {one["kind"] for one in county.account()["charges"]} == {"properties"}
    assert states(kit).count("asked") == 1
    assert list(kit.settle()["verdict"]) == ["not_bought"]
