"""Where parcels lie and how they are numbered: map pages, addresses, APNs and deed numbers.

Numbering is arithmetic that can be undone: an APN or a recording number leads back to its
parcel without any table, so a county of 100,000 parcels starts at once.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from functools import lru_cache
from random import Random

from propkit.demo_county import draw, facts
from propkit.demo_county.parcel import Block

PARCELS_PER_BLOCK = 40
MAX_PARCELS = 200_000

_BOOKS, _MAP_PAGES, _FIRST_BOOK = 416, 99, 101
_PAIRS = _BOOKS * _MAP_PAGES
_PAIR_STEP = 18_341  # shares no divisor with _PAIRS, so each block has its own map page
_PAIR_STEP_BACK = pow(_PAIR_STEP, -1, _PAIRS)

# A day's 27,000 recording numbers: the first 25,000 for parcels' deeds, the rest for others.
NUMBERS_A_DAY = 27_000
DEEDS_A_DAY = 25_000
_WEEK_CLASSES = 8
_DEED_STEP = 7_919
_DEED_STEP_BACK = pow(_DEED_STEP, -1, DEEDS_A_DAY)

_JURISDICTION = draw.Choice(facts.JURISDICTIONS)
_APN = re.compile(r"(\d{3})(\d{2})(\d{3})([A-Z]{0,2})")


def normalise_apn(text: str) -> str | None:
    """Return an APN without dashes, dots and spaces; None when the text is no APN."""
    plain = re.sub(r"[-.\s]", "", text).upper()
    return plain if _APN.fullmatch(plain) else None


def dashed_apn(apn: str) -> str:
    """Return the form that people read: "304-77-566A"."""
    return f"{apn[:3]}-{apn[3:5]}-{apn[5:]}"


@lru_cache(maxsize=8192)
def block_of(seed: int, number: int) -> Block:
    """Return one map page of the county."""
    random = draw.stream(seed, -number - 1, draw.PLACE)
    pair = _pair_of(seed, number)
    jurisdiction = _JURISDICTION.at(draw.spread(seed, number))
    city = jurisdiction
    if jurisdiction == facts.NO_CITY:
        city = random.choice(facts.POSTAL_PLACES)
    plant = random.choice(facts.SURNAMES)
    has_plat = random.random() >= 0.08
    unit = f" UNIT {random.randint(1, 9)}" if random.random() < 0.4 else ""
    north = random.random() < 0.75
    return Block(
        number=number,
        book=_FIRST_BOOK + pair // _MAP_PAGES,
        map_page=1 + pair % _MAP_PAGES,
        first_item=_first_item(seed, number),
        jurisdiction=jurisdiction,
        city=city,
        zip_code=str(facts.FIRST_ZIP[city] + random.randint(0, 4)),
        subdivision=f"{plant} {random.choice(facts.SUBDIVISION_WORDS)}{unit}" if has_plat else None,
        mcr=str(10_001 + number * 7) if has_plat else None,
        section=random.randint(1, 36),
        township=f"{random.randint(1, 7)}{'N' if north else 'S'}",
        range_=f"{random.randint(1, 7)}{'E' if random.random() < 0.7 else 'W'}",
        tax_area_code=f"{random.randrange(1000, 98999):06d}",
        elementary_school_district=f"{city} ELEMENTARY SCHOOL DISTRICT",
        high_school_district=f"{city} UNION HIGH SCHOOL DISTRICT",
        market_area=f"{random.randint(1, 28):02d}",
        neighborhood=f"{random.randint(1, 60):03d}",
        latitude=draw.at_quantile(facts.LATITUDE, random.random()),
        longitude=draw.at_quantile(facts.LONGITUDE, random.random()),
    )


def apn_body(seed: int, index: int) -> str:
    """Return the eight digits of a parcel's APN."""
    block = index // PARCELS_PER_BLOCK
    pair = _pair_of(seed, block)
    book, page = _FIRST_BOOK + pair // _MAP_PAGES, 1 + pair % _MAP_PAGES
    return f"{book:03d}{page:02d}{_first_item(seed, block) + index % PARCELS_PER_BLOCK:03d}"


def block_on_page(seed: int, page: str) -> int | None:
    """Return the block on the map page that five or more APN digits begin with."""
    book, map_page = int(page[:3]), int(page[3:5])
    if not (_FIRST_BOOK <= book < _FIRST_BOOK + _BOOKS and 1 <= map_page <= _MAP_PAGES):
        return None
    pair = (book - _FIRST_BOOK) * _MAP_PAGES + map_page - 1
    return (pair - _pair_offset(seed)) * _PAIR_STEP_BACK % _PAIRS


def index_of_body(seed: int, body: str) -> int | None:
    """Return the parcel of eight APN digits; None when no parcel can have them."""
    block = block_on_page(seed, body)
    if block is None:
        return None
    offset = int(body[5:8]) - _first_item(seed, block)
    return block * PARCELS_PER_BLOCK + offset if 0 <= offset < PARCELS_PER_BLOCK else None


def street_address(random: Random, *, has_unit: bool) -> str:
    """Return a street line such as "2778 E COURTNEY ST", sometimes with a unit."""
    number = random.randint(100, 29_999)
    if random.random() < 0.4:
        ordinal = _ordinal(random.randint(1, 99))
        line = f"{number} {random.choice('NS')} {ordinal} {random.choice(facts.STREET_TYPES)}"
    else:
        plant = random.choice(facts.SURNAMES)
        line = f"{number} {random.choice('EW')} {plant} {random.choice(facts.STREET_TYPES)}"
    return f"{line} UNIT {random.randint(1, 399)}" if has_unit else line


def recording_day(random: Random, index: int, year: int) -> date:
    """Return a business day on which a parcel's deed can have been recorded."""
    week = 1 + random.randrange(6) * _WEEK_CLASSES + index // DEEDS_A_DAY % _WEEK_CLASSES
    first = date(year, 1, 1)
    monday = first + timedelta(days=(7 - first.weekday()) % 7)
    return monday + timedelta(weeks=week - 1, days=random.randrange(5))


def recording_number(seed: int, index: int, day: date) -> str:
    """Return the recording number of a parcel's deed, which no other parcel has."""
    slot = (index * _DEED_STEP + seed) % DEEDS_A_DAY
    return f"{day.year}{day.timetuple().tm_yday * NUMBERS_A_DAY + slot:07d}"


def indices_of_recording_number(seed: int, number: str) -> tuple[int, ...]:
    """Return the parcels that may have a recording number (at most one has)."""
    if len(number) != 11:
        return ()
    slot = int(number[4:]) % NUMBERS_A_DAY
    if slot >= DEEDS_A_DAY:
        return ()
    first = (slot - seed) * _DEED_STEP_BACK % DEEDS_A_DAY
    return tuple(range(first, MAX_PARCELS, DEEDS_A_DAY))


def _pair_of(seed: int, block: int) -> int:
    return (block * _PAIR_STEP + _pair_offset(seed)) % _PAIRS


def _pair_offset(seed: int) -> int:
    return seed * 2_654_435_761 % _PAIRS


def _first_item(seed: int, block: int) -> int:
    return 1 + (block * 97 + seed * 13) % 900


def _ordinal(number: int) -> str:
    if 10 < number % 100 < 14:
        return f"{number}TH"
    return f"{number}{ {1: 'ST', 2: 'ND', 3: 'RD'}.get(number % 10, 'TH') }"
