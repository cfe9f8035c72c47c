"""Parcels as map layers write them: six counties, each with its own fields and its own nothing.

The counties' parcels are the demo county's own; only the clothes differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from propkit.demo_county.parcel import Parcel
from propkit.demo_county.places import dashed_apn
from propkit.demo_county.tables import parcel_row

Attributes = dict[str, Any]
Rings = list[list[list[float]]]

_STREET = re.compile(r"(\d+) ([NSEW]) (.+) (\w+?)(?: (UNIT \d+))?")
_SIDE = 0.0001


@dataclass(frozen=True, slots=True)
class MapLayer:
    """A layer: its fields with their types, and how it writes a parcel.

    `prefix` stands before the number's own name too, where the layer is a join.
    """

    title: str
    fields: Mapping[str, str]
    write: Callable[[Parcel], Attributes]
    object_id: str = "OBJECTID"
    can_page: bool = True
    licence: str = ""

    def attributes(self, parcel: Parcel) -> Attributes:
        """Return a parcel's attributes, numbered."""
        return {self.object_id: parcel.head.index + 1, **self.write(parcel)}


def outline(parcel: Parcel) -> Rings | None:
    """Return a parcel's rings, outer ones clockwise: a square, sometimes with a hole or in two."""
    if parcel.longitude is None or parcel.latitude is None:
        return None
    x, y, index = parcel.longitude, parcel.latitude, parcel.head.index
    if index % 53 == 7:
        return [_square(x - _SIDE, y, _SIDE / 2), _square(x + _SIDE, y, _SIDE / 2)]
    if index % 97 == 11:
        return [_square(x, y, _SIDE), _square(x, y, _SIDE / 4)[::-1]]
    return [_square(x, y, _SIDE)]


def _square(x: float, y: float, side: float) -> list[list[float]]:
    west, east = round(x - side, 9), round(x + side, 9)
    south, north = round(y - side, 9), round(y + side, 9)
    return [[west, south], [west, north], [east, north], [east, south], [west, south]]


# --- what counties write ----------------------------------------------------------------------


def _street(parcel: Parcel) -> tuple[str | None, ...]:
    """Return number, direction, name, type and unit of the situs address."""
    match = _STREET.fullmatch(parcel.head.situs_address or "")
    return match.groups() if match else (None,) * 5


def _epoch(day: date | None) -> int | None:
    if day is None:
        return None
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def _padded(number: int | None) -> str | None:
    return None if number is None else f"{number:>12,}"


def _maricopa(parcel: Parcel) -> Attributes:
    head, owner, block, deed = parcel.head, parcel.head.owner, parcel.head.block, parcel.deed
    number, direction, name, kind, unit = _street(parcel)
    value, house, sale = parcel.valuations[0], parcel.residence, parcel.sale
    joined = f"{head.situs_address}   {block.city}  {block.zip_code}" if head.situs_address else ""
    return {
        "APN": head.apn,
        "APN_DASH": dashed_apn(head.apn),
        "BOOK": head.apn[:3],
        "MAP": head.apn[3:5],
        "ITEM": head.apn[5:],
        "OWNER_NAME": owner.name,
        "INCAREOF": owner.in_care_of,
        "MAIL_ADDR1": owner.mailing_address_1,
        "MAIL_ADDR2": owner.mailing_address_2 or "",
        "MAIL_CITY": owner.mailing_city,
        "MAIL_STATE": owner.mailing_state,
        "MAIL_ZIP": owner.mailing_zip,
        "PHYSICAL_STREET_NUM": number,
        "PHYSICAL_STREET_DIR": direction,
        "PHYSICAL_STREET_NAME": name,
        "PHYSICAL_STREET_TYPE": kind,
        "PHYSICAL_STREET_SUFFIX": "",
        "PHYSICAL_STREET_POSTDIR": None,
        "PHYSICAL_SUITE": unit,
        "PHYSICAL_CITY": head.situs_city or "",
        "PHYSICAL_ZIP": head.situs_zip or "",
        "PHYSICAL_ADDRESS": joined,
        "LONGITUDE": parcel.longitude,
        "LATITUDE": parcel.latitude,
        "DEED_NUMBER": deed.number or "",
        "DEED_DATE": _epoch(deed.dated),
        "SALE_DATE": f"{sale.sold_on:%m/%d/%Y}" if sale else None,
        "SALE_PRICE": str(sale.price) if sale and sale.price is not None else None,
        "MCRNUM": block.mcr,
        "SUBNAME": block.subdivision or "",
        "LOT_NUM": None,
        "STR": f"{block.section} {block.township} {block.range_}",
        "LAND_SIZE": parcel.lot_size_sqft,
        "CONST_YEAR": str(house.construction_year or "") if house else "",
        "LIVING_SPACE": _padded(house.livable_area_sqft) if house else None,
        "TAX_YR_CUR": str(value.tax_year),
        "FCV_CUR": _padded(value.full_cash_value),
        "LPV_CUR": _padded(value.limited_property_value),
        "LC_CUR": value.class_code,
        "PUC": head.use_code,
        "JURISDICTION": block.jurisdiction,
    }


def _mail(parcel: Parcel) -> str | None:
    address = parcel_row(parcel)["mailing_address"]
    return None if address is None else str(address)


def _bexar(parcel: Parcel) -> Attributes:
    head, owner = parcel.head, parcel.head.owner
    texts = {
        "Owner": owner.name,
        "Situs": head.situs_address,
        "AddrLn1": _mail(parcel),
        "AddrCity": owner.mailing_city,
        "Zip": owner.mailing_zip,
    }
    written = {name: "NULL" if text is None else text for name, text in texts.items()}
    value = parcel.valuations[0].full_cash_value
    return {"PropID": int(head.apn[:8]), **written, "TotVal": value}


def _miami_dade(parcel: Parcel) -> Attributes:
    head, owner = parcel.head, parcel.head.owner
    texts = {
        "TRUE_OWNER1": owner.name,
        "TRUE_SITE_ADDR": head.situs_address,
        "TRUE_SITE_CITY": head.situs_city,
        "TRUE_SITE_ZIP_CODE": head.situs_zip,
        "TRUE_MAILING_ADDR1": _mail(parcel),
    }
    return {"FOLIO": head.apn, **{name: f"{text or '':<30}" for name, text in texts.items()}}


def _wake(parcel: Parcel) -> Attributes:
    head = parcel.head
    return {
        "PIN_NUM": head.apn,
        "OWNER": head.owner.name,
        "SITE_ADDRESS": head.situs_address,
        "CITY": head.situs_city,
        "ADDR1": _mail(parcel),
    }


_JOIN: Final = "CAGIS.AUDREAL_VW."


def _hamilton(parcel: Parcel) -> Attributes:
    head, owner = parcel.head, parcel.head.owner
    number, *rest = _street(parcel)
    direction, name, *behind = rest
    said = {
        "PARCEL": head.apn,
        "OWNER48": owner.name,
        "ADDRNO": number,
        "ADDRST": " ".join(filter(None, (direction, name))) or None,
        "ADDRSF": " ".join(filter(None, behind)) or None,
        "OWNAD1": _mail(parcel),
        "MLTOWN": owner.mailing_city,
        "OWNADZIP": owner.mailing_zip,
    }
    return {f"{_JOIN}{name}": value for name, value in said.items()}


def _hennepin(parcel: Parcel) -> Attributes:
    head = parcel.head
    number, *rest = _street(parcel)
    return {
        "PID_TEXT": head.apn,
        "OWNER_NM": head.owner.name,
        "HOUSE_NO": None if number is None else int(number),
        "STREET_NM": " ".join(filter(None, rest)) or None,
        "MUNIC_NM": head.situs_city,
        "ZIP_CD": head.situs_zip,
    }


_NUMBERS: Final = {
    "LONGITUDE": "Double",
    "LATITUDE": "Double",
    "DEED_DATE": "Date",
    "LAND_SIZE": "Integer",
    "PropID": "Integer",
    "TotVal": "Double",
    "HOUSE_NO": "Integer",
}


def _layer(title: str, write: Callable[[Parcel], Attributes], names: str, **more: Any) -> MapLayer:
    fields = {name: f"esriFieldType{_NUMBERS.get(name, 'String')}" for name in names.split()}
    return MapLayer(title, fields, write, **more)


LAYERS: Final[dict[str, MapLayer]] = {
    "maricopa": _layer(
        "Parcels",
        _maricopa,
        "APN APN_DASH BOOK MAP ITEM OWNER_NAME INCAREOF MAIL_ADDR1 MAIL_ADDR2 MAIL_CITY"
        " MAIL_STATE MAIL_ZIP PHYSICAL_STREET_NUM PHYSICAL_STREET_DIR PHYSICAL_STREET_NAME"
        " PHYSICAL_STREET_TYPE PHYSICAL_STREET_SUFFIX PHYSICAL_STREET_POSTDIR PHYSICAL_SUITE"
        " PHYSICAL_CITY PHYSICAL_ZIP PHYSICAL_ADDRESS LONGITUDE LATITUDE DEED_NUMBER DEED_DATE"
        " SALE_DATE SALE_PRICE MCRNUM SUBNAME LOT_NUM STR LAND_SIZE CONST_YEAR LIVING_SPACE"
        " TAX_YR_CUR FCV_CUR LPV_CUR LC_CUR PUC JURISDICTION",
        licence="Demo county: synthetic, free for every use.",
    ),
    "bexar_tx": _layer("Parcels", _bexar, "PropID Owner Situs AddrLn1 AddrCity Zip TotVal"),
    "miami_dade_fl": _layer(
        "PaParcelView",
        _miami_dade,
        "FOLIO TRUE_OWNER1 TRUE_SITE_ADDR TRUE_SITE_CITY TRUE_SITE_ZIP_CODE TRUE_MAILING_ADDR1",
    ),
    "wake_nc": _layer("Parcels", _wake, "PIN_NUM OWNER SITE_ADDRESS CITY ADDR1"),
    "hamilton_oh": _layer(
        "HCE Parcels With Auditor Data",
        _hamilton,
        " ".join(
            f"{_JOIN}{name}"
            for name in ("PARCEL", "OWNER48", "ADDRNO", "ADDRST", "ADDRSF", "OWNAD1", "MLTOWN",
                         "OWNADZIP")
        ),
        object_id="CAGIS.PARCELS.OBJECTID",
        can_page=False,
    ),
    "hennepin_mn": _layer(
        "County Parcels", _hennepin, "PID_TEXT OWNER_NM HOUSE_NO STREET_NM MUNIC_NM ZIP_CD"
    ),
}  # fmt: skip
"""The layers that are served, by county."""
