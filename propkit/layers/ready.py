"""Layers whose fields are known: Maricopa's, and those of other counties that publish their own.

The names of the fields were read in programs that ran against these layers in 2026; the layers
themselves were not asked. A layer that lacks one of them says so before anything is collected.
"""

from __future__ import annotations

from typing import Final

from propkit.layers.layer import Layer, make_layer

_ACRES: Final = 43560.0

_MARICOPA = make_layer(
    "maricopa_parcels",
    "maricopa",
    "https://gis.mcassessor.maricopa.gov/arcgis/rest/services/Parcels/MapServer/0",
    {
        "apn": "APN",
        "situs_address": [
            "PHYSICAL_STREET_NUM",
            "PHYSICAL_STREET_DIR",
            "PHYSICAL_STREET_NAME",
            "PHYSICAL_STREET_TYPE",
            "PHYSICAL_STREET_SUFFIX",
            "PHYSICAL_STREET_POSTDIR",
            "PHYSICAL_SUITE",
        ],
        "situs_city": "PHYSICAL_CITY",
        "situs_zip": "PHYSICAL_ZIP",
        "owner_name": "OWNER_NAME",
        "in_care_of": "INCAREOF",
        "mailing_address": ["MAIL_ADDR1", "MAIL_ADDR2"],
        "mailing_city": "MAIL_CITY",
        "mailing_state": "MAIL_STATE",
        "mailing_zip": "MAIL_ZIP",
        "subdivision": "SUBNAME",
        "lot_number": "LOT_NUM",
        "mcr": "MCRNUM",
        # The assessor's API writes it without blanks: 232S6E.
        "section_township_range": {"field": "STR", "pattern": r"\s+"},
        "lot_size_sqft": "LAND_SIZE",
        "jurisdiction": "JURISDICTION",
        "use_code": "PUC",
        "latitude": "LATITUDE",
        "longitude": "LONGITUDE",
        "deed_number": "DEED_NUMBER",
        "deed_date": "DEED_DATE",
    },
)

_NY = "https://gisservices.its.ny.gov/arcgis/rest/services/NYS_Tax_Parcels_Public/MapServer/1"
_NY_FIELDS = {
    "apn": "SWIS_SBL_ID",
    "owner_name": "PRIMARY_OWNER",
    "situs_address": ["LOC_ST_NBR", "LOC_STREET"],
    "situs_city": "MUNI_NAME",
    "situs_zip": "LOC_ZIP",
    "mailing_address": "MAIL_ADDR",
    "use_code": "PROP_CLASS",
}
_AUDITOR = "CAGIS.AUDREAL_VW."

_OTHERS: Final = (
    make_layer(
        "bexar_tx_parcels",
        "bexar_tx",
        "https://maps.bexar.org/arcgis/rest/services/Parcels/MapServer/0",
        {
            "apn": "PropID",
            "owner_name": "Owner",
            "situs_address": "Situs",
            "mailing_address": "AddrLn1",
            "mailing_city": "AddrCity",
            "mailing_zip": "Zip",
        },
    ),
    make_layer(
        "franklin_oh_parcels",
        "franklin_oh",
        "https://gis.franklincountyohio.gov/hosting/rest/services/ParcelFeatures/Parcel_Features"
        "/MapServer/0",
        {
            "apn": "PARCELID",
            "owner_name": "OWNERNME1",
            "situs_address": "SITEADDRESS",
            "situs_zip": "ZIPCD",
            "mailing_address": "PSTLADDRES",
        },
    ),
    make_layer(
        "miami_dade_fl_parcels",
        "miami_dade_fl",
        "https://services.arcgis.com/8Pc9XBTAsYuxx9Ny/arcgis/rest/services/PaParcelView_gdb"
        "/FeatureServer/0",
        {
            "apn": "FOLIO",
            "owner_name": "TRUE_OWNER1",
            "situs_address": "TRUE_SITE_ADDR",
            "situs_city": "TRUE_SITE_CITY",
            "situs_zip": "TRUE_SITE_ZIP_CODE",
            "mailing_address": "TRUE_MAILING_ADDR1",
        },
    ),
    make_layer(
        "davidson_tn_parcels",
        "davidson_tn",
        "https://services2.arcgis.com/HdTo6HJqh92wn4D8/arcgis/rest/services/Parcels_view"
        "/FeatureServer/0",
        {
            "apn": "ParID",
            "owner_name": "Owner",
            "situs_address": "PropAddr",
            "situs_city": "PropCity",
            "situs_zip": "PropZip",
            "mailing_address": "OwnAddr1",
            "lot_size_sqft": {"field": "Acres", "factor": _ACRES},
        },
    ),
    make_layer(
        "hillsborough_fl_parcels",
        "hillsborough_fl",
        "https://arcgis.tampagov.net/arcgis/rest/services/Parcels/TaxParcel/FeatureServer/0",
        {
            "apn": "FOLIO",
            "owner_name": "OWNER",
            "situs_address": "SITE_ADDR",
            "situs_city": "SITE_CITY",
            "situs_zip": "SITE_ZIP",
            "mailing_address": "ADDR_1",
        },
    ),
    make_layer(
        "broward_fl_parcels",
        "broward_fl",
        "https://services.arcgis.com/JMAJrTsHNLrSsWf5/arcgis/rest/services"
        "/PARCEL_POLY_BCPA_TAXROLL/FeatureServer/0",
        {
            "apn": "FOLIO",
            "owner_name": "NAME_LINE_1",
            "situs_address": [
                "SITUS_STREET_NUMBER",
                "SITUS_STREET_DIRECTION",
                "SITUS_STREET_NAME",
                "SITUS_STREET_TYPE",
            ],
            "situs_city": "SITUS_CITY",
            "situs_zip": "SITUS_ZIP_CODE",
            "mailing_address": "ADDRESS_LINE_1",
        },
    ),
    make_layer(
        "wake_nc_parcels",
        "wake_nc",
        "https://maps.wakegov.com/arcgis/rest/services/Property/Parcels/FeatureServer/0",
        {
            "apn": "PIN_NUM",
            "owner_name": "OWNER",
            "situs_address": "SITE_ADDRESS",
            "situs_city": "CITY",
            "mailing_address": "ADDR1",
        },
    ),
    make_layer(
        "hamilton_oh_parcels",
        "hamilton_oh",
        "https://cagisonline.hamilton-co.org/arcgis/rest/services/Hamilton"
        "/HCE_Parcels_With_Auditor_Data/MapServer/0",
        {
            "apn": f"{_AUDITOR}PARCEL",
            "owner_name": f"{_AUDITOR}OWNER48",
            "situs_address": [f"{_AUDITOR}ADDRNO", f"{_AUDITOR}ADDRST", f"{_AUDITOR}ADDRSF"],
            "mailing_address": f"{_AUDITOR}OWNAD1",
            "mailing_city": f"{_AUDITOR}MLTOWN",
            "mailing_zip": f"{_AUDITOR}OWNADZIP",
        },
    ),
    make_layer("erie_ny_parcels", "erie_ny", _NY, _NY_FIELDS, where="COUNTY_NAME = 'Erie'"),
    make_layer(
        "onondaga_ny_parcels", "onondaga_ny", _NY, _NY_FIELDS, where="COUNTY_NAME = 'Onondaga'"
    ),
    make_layer(
        "travis_tx_parcels",
        "travis_tx",
        "https://services1.arcgis.com/HGcSYZ5bvjRswoCb/arcgis/rest/services/TCAD_Parcels_Dec_2025"
        "/FeatureServer/0",
        {
            "apn": "PROP_ID",
            "owner_name": "py_owner_name",
            "situs_address": "situs_address",
            "situs_zip": "situs_zip",
            "mailing_address": "py_address",
        },
    ),
    make_layer(
        "clark_nv_parcels",
        "clark_nv",
        "https://maps.clarkcountynv.gov/arcgis/rest/services/Accela/AccelaPoints/MapServer/0",
        {
            "apn": "parcelNumber",
            "owner_name": "ownerFullName",
            "situs_address": "address",
            "situs_city": "city",
            "situs_zip": "zip",
            "mailing_address": "mailAddress1",
        },
        where="primaryParcelFlag = 'Y'",
    ),
    make_layer(
        "hennepin_mn_parcels",
        "hennepin_mn",
        "https://gis.hennepin.us/arcgis/rest/services/HennepinData/LAND_PROPERTY/MapServer/1",
        {
            "apn": "PID_TEXT",
            "owner_name": "OWNER_NM",
            "situs_address": ["HOUSE_NO", "STREET_NM"],
            "situs_city": "MUNIC_NM",
            "situs_zip": "ZIP_CD",
        },
    ),
    make_layer(
        "cuyahoga_oh_parcels",
        "cuyahoga_oh",
        "https://gis.cuyahogacounty.us/server/rest/services/CCGIS/Parcels_CAMA_Real_Property"
        "/MapServer/3",
        {
            "apn": "parcel_id",
            "owner_name": "parcel_owner",
            "situs_address": "par_addr_all",
            "situs_city": "par_city",
            "situs_zip": "par_zip",
            "mailing_address": "mail_addr_street",
        },
    ),
    make_layer(
        "pima_az_parcels",
        "pima_az",
        "https://gisdata.pima.gov/arcgis1/rest/services/GISOpenData/LandRecords/MapServer/12",
        {"apn": "PARCEL"},
    ),
    make_layer(
        "pinal_az_parcels",
        "pinal_az",
        "https://gis.pinal.gov/mapping/rest/services/TaxParcels/FeatureServer/3",
        {"apn": "PARCELID"},
    ),
    make_layer(
        "cook_il_parcels",
        "cook_il",
        "https://datacatalog.cookcountyil.gov/resource/3723-97qp",
        {
            "apn": "pin",
            "owner_name": "owner_address_name",
            "situs_address": "prop_address_full",
            "situs_city": "prop_address_city_name",
            "situs_zip": "prop_address_zipcode_1",
            "mailing_address": "mail_address_full",
        },
        kind="socrata",
        where="year = '2025'",
    ),
    make_layer(
        "new_york_ny_parcels",
        "new_york_ny",
        "https://data.cityofnewyork.us/resource/64uk-42ks",
        {
            "apn": "bbl",
            "owner_name": "ownername",
            "situs_address": "address",
            "situs_zip": "zipcode",
        },
        kind="socrata",
    ),
)

READY: Final[dict[str, Layer]] = {layer.name: layer for layer in (_MARICOPA, *_OTHERS)}
"""Every layer that propkit knows by itself, by the name of its source."""
