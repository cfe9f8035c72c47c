"""Who owns a parcel and what the searches show of it; every person is synthetic."""

from __future__ import annotations

from random import Random

from propkit.demo_county import draw, facts, places
from propkit.demo_county.parcel import Head, Owner

_TYPE = draw.Choice(facts.PROPERTY_TYPES)
_JURISDICTION = draw.Choice(facts.JURISDICTIONS)


def make_head(seed: int, index: int) -> Head:
    """Return one parcel's number, place, owner, and which systems know it."""
    random = draw.stream(seed, index, draw.PLACE)
    block = places.block_of(seed, index // places.PARCELS_PER_BLOCK)
    property_type, use_code, use_description = _TYPE.pick(random)
    suffix = random.choice("AAABBCDP") if random.random() < 0.03 else ""
    has_address = "VACANT" not in property_type or random.random() < 0.5
    has_unit = property_type == "TOWNHOUSE" and block.jurisdiction != facts.NO_CITY
    address = places.street_address(random, has_unit=has_unit)
    missing = random.random()
    owner = make_owner(draw.stream(seed, index, draw.OWNER), property_type, address, block.city)
    return Head(
        index=index,
        apn=places.apn_body(seed, index) + suffix,
        block=block,
        property_type=property_type,
        use_code=use_code,
        use_description=use_description,
        situs_address=address if has_address else None,
        owner=owner,
        is_rental=property_type in facts.HOUSE_TYPES and random.random() < 0.18,
        is_in_assessor=missing >= 0.01,
        is_in_treasurer=not 0.01 <= missing < 0.02,
    )


def make_owner(random: Random, property_type: str, situs: str, city: str) -> Owner:
    """Return an owner: a person, spouses, a trust, a company, or a city for public ground."""
    surname = random.choice(facts.SURNAMES)
    first, second = random.sample(facts.FIRST_NAMES, 2)
    people: tuple[str, ...]
    kind = random.random()
    if property_type == "PUBLIC FACILITY":
        name, people = f"CITY OF {surname}", (f"CITY OF {surname}",)
    elif kind < 0.12 or (property_type in facts.BUSINESS_TYPES and kind < 0.8):
        name = f"{surname} {random.choice(facts.COMPANY_WORDS)}"
        people = (name,)
    elif kind < 0.47:
        middle = f" {random.choice('ABCDEJLMR')}" if random.random() < 0.4 else ""
        name, people = f"{surname} {first}{middle}", (f"{surname} {first}{middle}",)
    elif kind < 0.75:
        name, people = f"{surname} {first}/{second}", (f"{surname} {first}", f"{surname} {second}")
    elif kind < 0.80:
        other = random.choice(facts.SURNAMES)
        name = f"{surname} {first}/{other} {second}"
        people = (f"{surname} {first}", f"{other} {second}")
    elif kind < 0.92:
        name, people = f"{surname} FAMILY TRUST", (f"{surname} FAMILY TRUST", f"{surname} {first}")
    else:
        name, people = f"{surname} {first}/{second} TR", (f"{surname} {first}",)
    if random.random() < 0.006:
        return Owner(None, (), None, None, None, None, None, None, is_redacted=True)
    return _with_mailing(random, name, people, situs, city)


def _with_mailing(
    random: Random, name: str, people: tuple[str, ...], situs: str, city: str
) -> Owner:
    care = None
    if random.random() < 0.03:
        care = f"{random.choice(facts.SURNAMES)} {random.choice(facts.FIRST_NAMES)}"
    address, second_line, state, zip_code = situs, None, "AZ", facts.FIRST_ZIP[city]
    if random.random() < 0.3:
        address = places.street_address(random, has_unit=False)
        if random.random() < 0.3:
            second_line = f"STE {random.randint(100, 990)}"
        city = _JURISDICTION.pick(random).replace(facts.NO_CITY, "SUN CITY")
        zip_code = facts.FIRST_ZIP[city]
        if random.random() < 0.15:
            city, state, zip_code = random.choice(
                (("EXAMPLE FALLS", "CA", 90000), ("SAMPLETON", "WA", 98000), ("MESA", "CO", 81643))
            )
    plus_four = f"{random.randint(1001, 9999)}" if random.random() < 0.2 else ""
    return Owner(
        name=name,
        people=people,
        in_care_of=care,
        mailing_address_1=address,
        mailing_address_2=second_line,
        mailing_city=city,
        mailing_state=state,
        mailing_zip=f"{zip_code}{plus_four}",
        is_redacted=False,
    )
