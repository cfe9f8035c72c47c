"""Lists, persons and contacts: what is free is free, what is paid is paid once and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from propkit.errors import (
    BudgetSpentError,
    InvalidAnswerError,
    PurchaseUnsettledError,
    RequestError,
)
from propkit.frames import choose_frames
from propkit.records import RECORD_TYPES
from tests.leads.selling import CRITERIA, WAIT, leads_kit

if TYPE_CHECKING:
    from pathlib import Path

    from propkit.demo_county import County
    from propkit.kit import Kit

CAPS = {"max_records": 20, "max_cost": 0}


def some_ids(kit: Kit, count: int) -> list[str]:
    """Buy so many leads and return their RadarIDs."""
    kit.leads(
        {**CRITERIA, "PhoneAvailability": True}, purchase=True, max_records=count, max_cost=0
    ).wait(WAIT)
    return sorted(kit.frame("leads")["radar_id"])


def make_list(county: County, name: str) -> None:
    """Make a list at the account, as its owner does on the site."""
    given = county.leads_settings()["propertyradar"]
    criteria = [{"name": "State", "value": ["AZ"]}]
    body = {"ListName": name, "ListType": "static", "Criteria": criteria, "isMonitored": 1}
    headers = {"Authorization": f"Bearer {given['token']}"}
    httpx.post(
        f"{given['base_url']}/lists", json=body, headers=headers, timeout=60, trust_env=False
    )


def test_lists_and_their_items_are_frames_and_free(county: County, path: Path):
    """A list longer than a page is read to its end; each RadarID once."""
    make_list(county, "all of them")
    with leads_kit(county, path) as kit:
        lists = kit.lead_account.lists()
        items = kit.lead_account.list_items(int(lists["list_id"][0]))

    total = lists.to_dict("records")[0]["total_count"]
    assert lists.to_dict("records") == [
        {
            "list_id": 1,
            "list_name": "all of them",
            "list_type": "static",
            "is_monitored": 1,
            "total_count": total,
        }
    ]
    assert 500 < total == len(items) == items["radar_id"].nunique()
    assert list(items.columns) == ["radar_id"]
    assert county.account()["records"] == 0


def test_no_such_list_is_an_error(county: County, path: Path):
    """The source's own word for it."""
    with leads_kit(county, path) as kit:
        with pytest.raises(InvalidAnswerError, match="No list 7"):
            kit.lead_account.list_items(7)
        with pytest.raises(RequestError, match="a list's id is a whole number, not '7'"):
            kit.lead_account.list_items("7")  # type: ignore[arg-type]
        assert kit.lead_account.lists().empty


def test_persons_are_counted_first_and_bought_once(county: County, path: Path):
    """What they cost is free to ask; bought again they come from the store."""
    with leads_kit(county, path) as kit:
        ids = some_ids(kit, 3)
        account = kit.lead_account
        before = county.account()["records"]
        quote = account.persons(ids)
        after_quote = county.account()["records"]
        persons = account.persons(ids, purchase=True, **CAPS)
        charged = county.account()["records"] - before
        again = account.persons(ids, purchase=True, **CAPS)

        assert list(quote.columns) == ["radar_id", "persons", "cost"]
        assert list(quote["radar_id"]) == ids
        assert after_quote == before
        assert charged == sum(quote["persons"]) == len(persons)
        assert county.account()["records"] == before + charged
        assert again.equals(persons)
        assert persons.equals(kit.frame("lead_persons"))
        assert sorted(set(persons["radar_id"])) == ids
        assert list(persons["phones"].map(len)) == [0] * len(persons)
        assert list(kit.purchases()["kind"]) == ["leads", *["persons"] * 3]


def test_a_contact_is_unlocked_once_and_keeps_what_is_known(county: County, path: Path):
    """Phone, then e-mail: both stand beside the person afterwards, each charged once."""
    with leads_kit(county, path) as kit:
        account = kit.lead_account
        person = account.persons(some_ids(kit, 1), purchase=True, **CAPS).iloc[0]
        key = person["person_key"]
        before = county.account()["records"]
        quote = account.unlock(key, "phone")
        account.unlock(key, "phone", purchase=True, **CAPS)
        account.unlock(key, "phone", purchase=True, **CAPS)
        quote_again = account.unlock(key, "phone")
        found = account.unlock([key], "email", purchase=True, **CAPS)

        assert quote.to_dict("records") == [{"person_key": key, "phone": 1, "cost": 0}]
        assert quote_again.to_dict("records") == [{"person_key": key, "phone": 0, "cost": 0}]
        assert county.account()["records"] == before + 2
        assert [len(found["phones"][0]), len(found["emails"][0])] == [1, 1]
        assert found["radar_id"][0] == person["radar_id"]
        assert found["last_name"][0] == person["last_name"]
        assert list(choose_frames(kit.store, None)) == [*RECORD_TYPES, "lead_persons"]


def test_the_caps_hold_for_persons_too(county: County, path: Path):
    """What fits is bought and stored; the next one is refused before anything is paid."""
    with leads_kit(county, path) as kit:
        ids = some_ids(kit, 5)
        before = county.account()["records"]
        counts = list(kit.lead_account.persons(ids)["persons"])
        most = counts[0]

        with pytest.raises(BudgetSpentError, match=rf"persons of {ids[1]}: {counts[1]} records"):
            kit.lead_account.persons(ids, purchase=True, max_records=most, max_cost=0)

        assert county.account()["records"] == before + most
        assert len(kit.frame("lead_persons")) == most


def test_a_lost_answer_about_persons_stops_all_buying_until_it_is_settled(
    county: County, path: Path
):
    """The journal is one for everything that is paid."""
    drop = {"kind": "drop", "system": "propertyradar", "path": "persons.*Purchase=1", "first": 1}
    with leads_kit(county, path) as kit:
        ids = some_ids(kit, 2)
        county.switch(faults=[drop])
        for _ in range(2):
            with pytest.raises(PurchaseUnsettledError, match="was bought is not known"):
                kit.lead_account.persons(ids[0], purchase=True, **CAPS)
        with pytest.raises(RequestError, match="was bought is not known yet"):
            kit.leads({"City": "MESA"}, purchase=True, **CAPS)
        settled = kit.settle()

        assert list(settled["verdict"]) == ["lost"]
        assert list(settled["kind"]) == ["persons"]
        assert list(kit.purchases()["state"]) == ["bought", "lost"]

        before = county.account()["records"]
        with pytest.raises(RequestError, match="paid for, but never arrived; again=True"):
            kit.lead_account.persons(ids[0], purchase=True, **CAPS)
        assert county.account()["records"] == before
        found = kit.lead_account.persons(ids[0], purchase=True, again=True, **CAPS)
        assert county.account()["records"] == before + len(found)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda a: a.persons([""]), "'' is not a RadarID"),
        (lambda a: a.persons([7]), "7 is not a RadarID"),
        (lambda a: a.persons("P1", purchase=True), "needs max_records"),
        (lambda a: a.unlock("K1", "fax"), "cannot unlock 'fax'; expected one of phone, email"),
        (lambda a: a.unlock([None], "phone"), "None is not a person's key"),
    ],
)
def test_a_bad_argument_is_named(county: County, path: Path, call: Any, says: str):
    """Nothing is asked for it."""
    with leads_kit(county, path) as kit, pytest.raises(RequestError, match=says):
        call(kit.lead_account)

    assert county.ledger("propertyradar") == []
