"""The last deed, the last sale and the recorded document of a parcel."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

from propkit.demo_county import draw, facts, places
from propkit.demo_county.parcel import Deed, Document, Head, Sale

LAST_DOCKET_YEAR = 1985

_DEED_TYPE = draw.Choice(facts.DEED_TYPES)


def make_deed(random: Random, seed: int, head: Head) -> Deed:
    """Return the last deed; one in a hundred has no number in the roll."""
    year = round(draw.at_quantile(facts.DEED_YEAR, random.random()))
    recorded_on = places.recording_day(random, head.index, year)
    kind, code = _DEED_TYPE.pick(random)
    fate = random.random()
    earlier = random.randint(1, 9) if random.random() < 0.05 else 0
    if fate < 0.01:
        # Half of the deeds without a number still have their date in the roll.
        dated = recorded_on if fate < 0.005 else None
        return Deed(None, dated, recorded_on, None, code, is_in_recorder=False)
    return Deed(
        number=places.recording_number(seed, head.index, recorded_on),
        dated=recorded_on - timedelta(days=earlier),
        recorded_on=recorded_on,
        kind=kind,
        code=code,
        is_in_recorder=fate >= 0.02,
    )


def make_sale(random: Random, deed: Deed) -> Sale | None:
    """Return the last sale; four parcels in ten have none, very few a date without a price."""
    kind = random.random()
    if kind >= 0.592:
        return None
    days = round(draw.at_quantile(facts.DAYS_FROM_SALE_TO_DEED, random.random()))
    sold_on = (deed.recorded_on - timedelta(days=days)).replace(day=1)
    if kind < 0.002:
        return Sale(sold_on, None)
    price = draw.at_quantile(facts.SALE_PRICE, random.random())
    step = 500 if random.random() < 0.72 else 1
    return Sale(sold_on, max(step, round(price / step) * step))


def make_document(random: Random, head: Head, deed: Deed) -> Document | None:
    """Return what the recorder holds under the deed's number; None when it knows none."""
    if deed.number is None or not deed.is_in_recorder:
        return None
    sellers = [_person(random) for _ in range(random.choice((1, 1, 1, 2, 2)))]
    buyers = list(head.owner.people) or [_person(random)]
    codes = [deed.code]
    if random.random() < 0.12:
        codes.append(random.choice(facts.OTHER_CODES))
    book, page = docket(random, deed.recorded_on)
    return Document(
        recording_number=deed.number,
        suffix="",
        recorded_on=deed.recorded_on,
        codes=tuple(codes),
        names=tuple(dict.fromkeys(sellers + buyers)),
        page_count=random.randint(1, 12),
        docket_book=book,
        docket_page=page,
        is_restricted=random.random() < 0.02,
    )


def docket(random: Random, day: date) -> tuple[int | None, int | None]:
    """Return docket book and page, which only old documents have."""
    if day.year > LAST_DOCKET_YEAR:
        return None, None
    return (day.year - 1945) * 400 + random.randint(1, 390), random.randint(1, 1400)


def _person(random: Random) -> str:
    name = f"{random.choice(facts.SURNAMES)} {random.choice(facts.FIRST_NAMES)}"
    return f"{name} {random.choice('ABCDEJLMR')}" if random.random() < 0.5 else name
