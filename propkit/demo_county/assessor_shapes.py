"""The assessor's JSON as the real API writes it: padded strings, mixed types, misspelt keys."""

from __future__ import annotations

import base64
import struct
import zlib
from datetime import date
from functools import lru_cache
from random import Random

from propkit.demo_county.parcel import Head, Owner, Parcel, Residence, Sale
from propkit.demo_county.places import dashed_apn

Json = dict[str, object]

MAP_URL = "https://mcassessor.maricopa.gov/getmapid/{name}/"


def search_row(head: Head) -> Json:
    """Return a row of the real property search."""
    return {
        "MCR": head.block.mcr or "",
        "SubdivisonName": head.block.subdivision or "",
        "SectionTownshipRange": head.block.section_township_range,
        "APN": head.apn,
        "Ownership": head.owner.name or "",
        "SitusAddress": head.situs_address or "",
        "SitusCity": head.situs_city or "",
        "SitusZip": head.situs_zip or "",
        "PropertyType": raw_property_type(head),
        "RentalID": f"R{head.apn}" if head.is_rental else None,
    }


def rental_row(head: Head) -> Json:
    """Return a row of the rental registration search."""
    return {
        "APN": head.apn,
        "Address": head.situs_address or "",
        "City": head.situs_city or "",
        "Zip": head.situs_zip or "",
        "Owner": head.owner.name or "",
        "Contact": head.owner.people[0] if head.owner.people else "",
        "Agent": head.owner.in_care_of or "",
        "Property": "",
    }


def personal_property_row(head: Head) -> Json:
    """Return a row of the business personal property search."""
    return {**_account(head), "Multi": "", "Lease": "Y" if account_kind(head) == "l" else ""}


def account_kind(head: Head) -> str:
    """Return the letter of an account's kind: c(ommercial) or l(essor)."""
    return "cl"[head.index % 2]


def mobile_home_row(head: Head) -> Json:
    """Return a row of the mobile home search."""
    vins = [f"CAV{head.index:07d}X", f"CAV{head.index:07d}U"][: 1 + head.index % 2]
    numbered = {f"Vin{place + 1}": "".join(vins[place : place + 1]) for place in range(4)}
    return {**_account(head), **numbered}


def _account(head: Head) -> Json:
    return {
        "AccountNo": f"{head.index:07d}",
        "Name1": head.owner.name or "",
        "Name2": "",
        "SitusAddress": head.situs_address or "",
        "SitusCity": head.situs_city or "",
        "SitusZip": head.situs_zip or "",
    }


def everything(parcel: Parcel, *, rental_owner: str, similar: list[Parcel]) -> Json:
    """Return the one-call answer of /parcel/{apn}."""
    return {
        **property_info(parcel),
        "ParcelStatus": "Active",
        "Owner": owner_details(parcel),
        "Valuations": valuations(parcel),
        "ResidentialPropertyData": residential_details(parcel),
        "RentalInformation": rental_details(parcel.head, rental_owner),
        "Improvements": improvements(parcel),
        "MapIDs": map_ids(parcel.head),
        "Sketches": sketches(parcel),
        "SimilarParcels": similar_parcels(similar),
    }


def property_info(parcel: Parcel) -> Json:
    """Return the property keys: the section propertyinfo and the top of the one-call answer."""
    head, block = parcel.head, parcel.head.block
    geo: object = {"lat": parcel.latitude, "long": parcel.longitude}
    if parcel.latitude is None and head.index % 2:
        geo = []
    return {
        "APN": head.apn,
        "PropertyType": raw_property_type(head),
        "PropertyAddress": property_address(head),
        "PropertyDescription": _padded(parcel.legal_description, 60),
        "MCR": block.mcr,
        "SectionTownshipRange": block.section_township_range,
        "LotSize": str(parcel.lot_size_sqft),
        "SubdivisionName": block.subdivision or "",
        "LocalJusidiction": _padded(block.jurisdiction, 20),
        "ElementarySchoolDistrict": block.elementary_school_district,
        "HighSchoolDistrict": block.high_school_district,
        "TaxAreaCode": block.tax_area_code,
        "PropertyUseCode": head.use_code,
        "PEPropUseDesc": head.use_description,
        "IsRental": head.is_rental,
        "NumberOfParcelsInMCR": 40,
        "NumberOfParcelsInSTR": "40",
        "NumberOfParcelsInSubdivision": 40,
        "Geo": geo,
    }


def property_address(head: Head) -> str:
    """Return the one line of the parcel page: "2778 E COURTNEY ST GILBERT, AZ 85298"."""
    if head.situs_address is None:
        return ""
    return f"{head.situs_address} {head.situs_city}, AZ {head.situs_zip}"


def address(head: Head) -> Json | list[object]:
    """Return the address section; the real keys are unknown, these are a client's guess."""
    if head.situs_address is None:
        return []
    number, direction, *rest = head.situs_address.split(" ")
    cut = next((i for i, word in enumerate(rest) if word == "UNIT"), len(rest))
    return {
        "HouseNumber": number,
        "Direction": direction,
        "StreetName": " ".join(rest[: cut - 1]),
        "Suffix": " ".join(rest[cut - 1 :]),
        "CityName": _padded(head.block.city, 20),
        "Zip": head.block.zip_code,
    }


def owner_details(parcel: Parcel) -> Json:
    """Return the owner section with the last deed and the last sale."""
    head, deed, owner = parcel.head, parcel.deed, parcel.head.owner
    sale_date, sale_price = _sale(parcel.sale, empty="" if head.index % 5 == 0 else None)
    return {
        "OwnerID": None if owner.is_redacted else 1_000_000 + head.index,
        "Ownership": owner.name or "",
        "InCareOf": owner.in_care_of or (None if head.index % 2 else ""),
        "ContoOwnership": "",
        "MailingAddress1": _padded(owner.mailing_address_1 or "", 32),
        "MailingAddress2": owner.mailing_address_2,
        "MailingCity": _padded(owner.mailing_city or "", 24),
        "MailingState": owner.mailing_state or "",
        "MailingZip": owner.mailing_zip or "",
        "MailingCountry": "" if owner.is_redacted else "USA",
        "FullMailingAddress": _full_mailing_address(owner),
        "MostCurrentDeed": deed.number,
        "DeedDate": _us_date(deed.dated),
        "DeedType": _padded(deed.kind, 24) if deed.kind else None,
        "DeedTypeID": None if deed.kind is None else str(1 + len(deed.kind)),
        "SaleDate": sale_date,
        "SalePrice": sale_price,
        "Redacted": owner.is_redacted,
    }


def valuations(parcel: Parcel) -> list[Json]:
    """Return the bare list of years, newest first."""
    return [
        {
            "TaxYear": str(value.tax_year),
            "FullCashValue": _number(value.full_cash_value, width=0),
            "LimitedPropertyValue": _number(value.limited_property_value, width=12),
            "LegalClassificationCode": _padded(value.class_code, 4),
            "LegalClassification": value.class_description,
            "AssessmentRatioPercentage": value.ratio,
            "AssessedFCV": _number(value.assessed_full_cash_value, width=12),
            "AssessedLPV": _number(value.assessed_limited_property_value, width=12),
            "ValuationSource": value.source,
            "PEPropUseDesc": parcel.head.use_description,
            "PropertyUseCode": parcel.head.use_code,
            "TaxAreaCode": parcel.head.block.tax_area_code,
            "NoticeOfChangeIndc": "Y" if value.is_pending_change else "N",
        }
        for value in parcel.valuations
    ]


def residential_details(parcel: Parcel) -> Json:
    """Return the 28 keys of the residential section; all empty where nothing is stated."""
    house = parcel.residence or _NOTHING
    block = parcel.head.block
    stalls = house.garage_stalls or house.carport_stalls
    patios = house.covered_patios + house.uncovered_patios
    return {
        "ConstructionYear": _text(house.construction_year),
        "OriginalConstructionYear": _text(house.original_construction_year),
        "LotSize": str(parcel.lot_size_sqft),
        "LivableSpace": _text(house.livable_area_sqft),
        "Detached_Livable_sqft": _text(house.detached_livable_area_sqft),
        "AssessorMarket": block.market_area,
        "AreaNeighborhood": block.neighborhood,
        "Pool": False if house.pool_area_sqft is None else str(house.pool_area_sqft),
        "PEImprovementQualityGrade": "Comparable" if house.livable_area_sqft else None,
        "ImprovementQualityGrade": house.quality_grade,
        "NumberOfCoveredPatios": _count(house.covered_patios),
        "NumberOfUncoveredPatios": _count(house.uncovered_patios),
        "NumberOfPatios": _count(patios),
        "PatioType": house.patio_type,
        "ExteriorWalls": house.exterior_walls,
        "RoofType": house.roof_type or "",
        "BathFixtures": _count(house.bath_fixtures),
        "Cooling": house.cooling,
        "Heating": house.heating,
        "NumberOfGarages": _text(house.garage_stalls),
        "NumberOfCarports": _count(house.carport_stalls),
        "ParkingDetails": (
            {"ParkingType": house.parking_type, "ParkingCount": str(stalls)}
            if house.parking_type
            else []
        ),
        "LocationalFactors": "Corner," if parcel.head.index % 9 == 0 else "",
        "OtherStructures": "",
        "ParkingType": house.parking_type,
        "CoveredParking": house.parking_type is not None,
        "LocationalCharacteristics": "",
        "PhysicalCondition": house.physical_condition,
    }


def improvements(parcel: Parcel) -> list[Json]:
    """Return the buildings of a commercial parcel; empty for houses."""
    return [
        {
            "CCI": built.cci,
            "EffectiveAge": str(built.effective_age_years),
            "ImprovementDescription": _padded(built.description, 30),
            "ImprovementNumber": built.improvement_number,
            "ImprovementSquareFootage": str(built.area_sqft),
            "QualityRank": built.quality_rank,
            "Model": built.model,
        }
        for built in parcel.improvements
    ]


def map_ids(head: Head) -> Json:
    """Return the map files by kind of map."""
    block = head.block
    files = [map_file(f"{block.book}{block.map_page:02d}0{page}01") for page in (1, 2)]
    return {
        "Parcel Maps": files[:1],
        "Subdivision Maps": files,
        "MCR Maps": files if block.mcr else [],
        "S/T/R Maps": files,
        "Book/Map Maps": files,
    }


def map_file(name: str) -> Json:
    """Return one map file, its date as the county writes it: "24-MAR-08"."""
    updated = date(2008, 3, 1 + int(name[-4:]) % 28).strftime("%d-%b-%y").upper()
    return {"FileName": name, "UpdateDate": updated, "Url": MAP_URL.format(name=name)}


def sketches(parcel: Parcel) -> Json:
    """Return the floor plan as a base64 PNG of some 10 kB, where there is a house."""
    if parcel.residence is None or parcel.residence.livable_area_sqft is None:
        return {"TotalPages": 0, "Pages": []}
    page = {"Sketch": _sketch_png(), "PageNum": 1, "APN": parcel.head.apn}
    return {"TotalPages": 1, "Pages": [page]}


def rental_details(head: Head, owner: str) -> Json | list[object]:
    """Return the registration of a rented house; an empty list for any other."""
    if not head.is_rental:
        return []
    return {
        "DateRegistered": "01/15/2019",
        "LastUpdate": "02/01/2024",
        "OwnerName": owner or head.owner.name or "",
        "OwnerPhone": "602-555-0100",
        "BusinessContactPhone": "",
        "AgentPhone": "602-555-0101",
    }


def similar_parcels(parcels: list[Parcel]) -> list[Json]:
    """Return up to five houses of the same plat."""
    rows: list[Json] = []
    for parcel in parcels[:5]:
        house = parcel.residence or _NOTHING
        when, price = _sale(parcel.sale, empty="n/a")
        rows.append(
            {
                "Parcel": dashed_apn(parcel.head.apn),
                "SalesPriceDate": f"{price}/{when}",
                "FullCashValue": _number(parcel.valuations[0].full_cash_value, width=0),
                "LandSize": str(parcel.lot_size_sqft),
                "LivableSqFootage": _text(house.livable_area_sqft),
                "ConstructionYear": _text(house.construction_year),
                "PoolArea": _text(house.pool_area_sqft),
                "ForeClosed": "R97" if parcel.head.index % 97 == 0 else "",
            }
        )
    return rows


def raw_property_type(head: Head) -> str:
    """Return the type as the API writes it: one of them ends with a blank."""
    kind = head.property_type
    return f"{kind} " if kind == "VACANT LAND COMMERCIAL" else kind


_NOTHING = Residence(
    None, None, None, None, None, None, 0, 0, None, None, None, 0, None, None, None, 0, None, None
)


def _padded(text: str, width: int) -> str:
    return text.ljust(width)


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)


def _count(value: int) -> int | str:
    # The API says the number 0 but the text "6".
    return str(value) if value else 0


def _number(value: int | None, *, width: int) -> str:
    return "na" if value is None else str(value).ljust(width)


def _us_date(day: date | None) -> str | None:
    return None if day is None else f"{day:%m/%d/%Y}"


def _sale(sale: Sale | None, *, empty: str | None) -> tuple[str | None, str | None]:
    if sale is None:
        return empty, empty
    return _us_date(sale.sold_on), empty if sale.price is None else str(sale.price)


def _full_mailing_address(owner: Owner) -> str:
    if owner.mailing_address_1 is None:
        return ""
    lines = [owner.mailing_address_1, owner.mailing_address_2 or ""]
    place = f"{owner.mailing_city}, {owner.mailing_state} {owner.mailing_zip}"
    return " ".join(line for line in (*lines, place) if line)


@lru_cache(maxsize=1)
def _sketch_png() -> str:
    noise = Random(1)
    side = 100
    rows = b"".join(b"\0" + noise.randbytes(side) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return base64.b64encode(png).decode()
