"""What stands on a parcel: houses drawn from the county's distributions, and plain buildings."""

from __future__ import annotations

from random import Random

from propkit.demo_county import draw, facts
from propkit.demo_county.parcel import Head, Improvement, Residence

ASSESSED_IN = 2025

_PATIOS = draw.Choice(facts.PATIOS)
_WALLS = draw.Choice(facts.EXTERIOR_WALLS)
_ROOFS = draw.Choice(facts.ROOF_TYPES)
_FIXTURES = draw.Choice(facts.BATH_FIXTURES)
_PARKING = draw.Choice(facts.PARKING)


def make_residence(random: Random, property_type: str) -> Residence | None:
    """Return what the assessor counts on a parcel; None where it states nothing."""
    if property_type in facts.HOUSE_TYPES:
        return _house(random)
    if property_type in facts.BUSINESS_TYPES and random.random() < 0.5:
        return _building(random)
    return None


def _house(random: Random) -> Residence:
    year = round(draw.at_quantile(facts.CONSTRUCTION_YEAR, random.random()))
    original = year - random.randint(1, 40) if random.random() < 0.04 else year
    covered, uncovered, patio_type = _PATIOS.pick(random)
    parking = _PARKING.pick(random)
    return Residence(
        construction_year=year,
        original_construction_year=max(original, 1895),
        livable_area_sqft=round(draw.at_quantile(facts.LIVABLE_AREA_SQFT, random.random())),
        detached_livable_area_sqft=random.randint(200, 900) if random.random() < 0.03 else None,
        pool_area_sqft=random.randint(120, 700) if random.random() < 0.33 else None,
        quality_grade=f"CLASS R{random.choice('23333444556')}",
        covered_patios=covered,
        uncovered_patios=uncovered,
        patio_type=patio_type,
        exterior_walls=_WALLS.pick(random),
        roof_type=_ROOFS.pick(random),
        bath_fixtures=_FIXTURES.pick(random),
        cooling=random.choice(("RF - REFRIGERATION",) * 9 + ("EV - EVAPORATIVE",)),
        heating="Yes" if random.random() < 0.97 else None,
        garage_stalls=random.choice((1, 2, 2, 2, 2, 3, 3, 4)) if parking == "Garage" else None,
        carport_stalls=random.choice((1, 1, 2)) if parking == "Carport" else 0,
        parking_type=parking,
        physical_condition=random.choice(("Good", "Average")) if random.random() < 0.2 else None,
    )


def _building(random: Random) -> Residence:
    # The real section answers a year, a grade and walls for some commercial buildings.
    year = random.randint(1955, 2020)
    return Residence(
        construction_year=year,
        original_construction_year=year,
        livable_area_sqft=None,
        detached_livable_area_sqft=None,
        pool_area_sqft=None,
        quality_grade=random.choice("BCD"),
        covered_patios=0,
        uncovered_patios=0,
        patio_type="Uncovered",
        exterior_walls="Concrete Block, Slumpstone",
        roof_type=None,
        bath_fixtures=0,
        cooling=None,
        heating=None,
        garage_stalls=None,
        carport_stalls=0,
        parking_type=None,
        physical_condition=None,
    )


def make_improvements(head: Head, residence: Residence | None) -> tuple[Improvement, ...]:
    """Return what was built on a commercial parcel; nothing for a house, whose own rows tell all."""
    if residence is None or residence.livable_area_sqft is not None:
        return ()
    age = ASSESSED_IN - (residence.construction_year or 2000)
    wings = range(1, 2 + head.index % 3)
    main = [
        Improvement(
            improvement_number=f"000{number}01",
            description=head.use_description,
            area_sqft=3000 + head.index * number % 9000,
            effective_age_years=age,
            quality_rank="2",
            model="338",
            cci="C",
        )
        for number in wings
    ]
    site = Improvement(
        improvement_number=f"000{len(main) + 1}01",
        description="Site Improvements",
        area_sqft=1,
        effective_age_years=age,
        quality_rank="2",
        model="163",
        cci="D",
    )
    return (*main, site)
