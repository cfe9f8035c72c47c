"""What parcels in the county look like: shares and quantiles from which the demo county is drawn.

The numbers describe 10,390 real houses (counts of words, quantiles of numbers); no row of
that set is kept, and every name of a person or a company is made of desert plants.
"""

from __future__ import annotations

from typing import Final

QUANTILE_LEVELS: Final = (
    0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0,
)  # fmt: skip
LOT_SIZE_SQFT: Final = (
    692, 907, 1720, 3036, 5106, 6055, 6670, 7320, 8102, 9059, 11096, 19812, 43454, 86845, 775699,
)  # fmt: skip
SALE_PRICE: Final = (
    6500, 50000, 95000, 125000, 165000, 200000, 235000, 266360, 300000, 349000, 440740, 709000,
    1149000, 2500000, 18000000,
)  # fmt: skip
CONSTRUCTION_YEAR: Final = (
    1900, 1941, 1958, 1966, 1976, 1983, 1991, 1997, 2000, 2002, 2006, 2016, 2019, 2021, 2021,
)  # fmt: skip
LIVABLE_AREA_SQFT: Final = (
    416, 761, 995, 1216, 1435, 1576, 1740, 1904, 2077, 2306, 2683, 3437, 4320, 6867, 21866,
)  # fmt: skip
DEED_YEAR: Final = (
    1958, 1986, 1998, 2003, 2008, 2012, 2015, 2017, 2018, 2019, 2020, 2021, 2021, 2021, 2021,
)  # fmt: skip
DAYS_FROM_SALE_TO_DEED: Final = (
    0, 1, 5, 9, 17, 23, 28, 34, 46, 57, 73, 186, 282, 505, 721,
)  # fmt: skip
LATITUDE: Final = (
    33.206553, 33.226642, 33.27481, 33.332653, 33.407915, 33.448547, 33.470904, 33.478267,
    33.514067, 33.57252, 33.60507, 33.672046, 33.73956, 33.862581, 33.986897,
)  # fmt: skip
LONGITUDE: Final = (
    -112.775209, -112.583287, -112.395299, -112.299671, -112.277412, -112.255574, -112.140799,
    -112.082913, -111.986786, -111.918639, -111.8645, -111.757091, -111.706167, -111.586954,
    -111.58364,
)  # fmt: skip

NO_CITY: Final = "NO CITY/TOWN"
JURISDICTIONS: Final = (
    ("PHOENIX", 3032), ("AVONDALE", 1105), ("SCOTTSDALE", 975), ("MESA", 774), (NO_CITY, 752),
    ("CHANDLER", 613), ("TOLLESON", 430), ("GLENDALE", 375), ("PEORIA", 373), ("GILBERT", 300),
    ("TEMPE", 296), ("FOUNTAIN HILLS", 274), ("PARADISE VALLEY", 235), ("SURPRISE", 223),
    ("BUCKEYE", 209), ("QUEEN CREEK", 150), ("GOODYEAR", 111), ("LITCHFIELD PARK", 69),
    ("CAVE CREEK", 45), ("WICKENBURG", 22), ("CAREFREE", 19), ("GUADALUPE", 8),
)  # fmt: skip
# Postal places of parcels that lie in no city or town.
POSTAL_PLACES: Final = (
    "SUN CITY", "SUN CITY WEST", "NEW RIVER", "WADDELL", "LAVEEN", "TONOPAH", "RIO VERDE", "ANTHEM",
)  # fmt: skip
FIRST_ZIP: Final = {
    "PHOENIX": 85003, "AVONDALE": 85323, "SCOTTSDALE": 85250, "MESA": 85201, "CHANDLER": 85224,
    "TOLLESON": 85353, "GLENDALE": 85301, "PEORIA": 85345, "GILBERT": 85233, "TEMPE": 85281,
    "FOUNTAIN HILLS": 85268, "PARADISE VALLEY": 85253, "SURPRISE": 85374, "BUCKEYE": 85326,
    "QUEEN CREEK": 85142, "GOODYEAR": 85338, "LITCHFIELD PARK": 85340, "CAVE CREEK": 85331,
    "WICKENBURG": 85390, "CAREFREE": 85377, "GUADALUPE": 85283, "SUN CITY": 85351,
    "SUN CITY WEST": 85375, "NEW RIVER": 85087, "WADDELL": 85355, "LAVEEN": 85339,
    "TONOPAH": 85354, "RIO VERDE": 85263, "ANTHEM": 85086,
}  # fmt: skip

# (covered patios, uncovered patios, patio type) and how often.
PATIOS: Final = (
    ((1, 0, "Covered"), 5734), ((0, 0, None), 1804), ((2, 0, "Covered"), 1155),
    ((0, 1, "Slab"), 574), ((2, 0, "Covered Slab"), 491), ((3, 0, "Covered Slab"), 230),
    ((3, 0, "Covered"), 122), ((0, 2, "Slab"), 83), ((4, 0, "Covered Slab"), 73),
    ((5, 0, "Covered Slab"), 37), ((4, 0, "Covered"), 34), ((6, 0, "Covered Slab"), 18),
    ((0, 3, "Slab"), 9), ((5, 0, "Covered"), 7), ((7, 0, "Covered Slab"), 6),
    ((12, 0, "Covered Slab"), 1),
)  # fmt: skip
EXTERIOR_WALLS: Final = (
    ("Fw - Frame Wood", 5127), ("Fs - Frame Stucco", 2644), ('8p - 8" Painted Block', 1381),
    ('8s - 8" Stucco', 900), ("Br - Brick", 143), ("Sb - Slump Block", 141), ("Ad - Adobe", 34),
    ("Ot - Other", 7), ("Fb - Frame Brick", 7), ("St - Stone", 4), ("Fm - Foam Block", 1),
)  # fmt: skip
ROOF_TYPES: Final = (
    ("Ct - Concrete Tile", 5948), ("As - Asphalt Shingle", 2554), ("Bu - Built Up", 1249),
    ("Ti - Tile", 387), ("Wd - Wood", 78), ("Me - Metal", 77), ("Ro - Roll", 75),
    ("Ab - Asbestos Shingle", 14), ("Ga - Galvanized", 3), ("Sl - Slate", 2), ("Cu - Copper", 1),
)  # fmt: skip
BATH_FIXTURES: Final = (
    (6, 2468), (8, 1733), (7, 1299), (10, 1056), (11, 874), (9, 866), (3, 596), (12, 321),
    (14, 254), (13, 220), (4, 132), (15, 112), (16, 93), (17, 70), (18, 57), (5, 46), (19, 43),
    (20, 38), (21, 30), (22, 19), (23, 15), (24, 8), (27, 8), (0, 7), (30, 6), (28, 5), (41, 1),
)  # fmt: skip
PARKING: Final = (("Garage", 8576), ("Carport", 1182), (None, 632))

# Property type -> how often, use code, use description.
PROPERTY_TYPES: Final = (
    (("RESIDENTIAL", "0131", "Single Family Residence"), 8400),
    (("TOWNHOUSE", "0741", "Townhouse"), 500),
    (("VACANT LAND RESIDENTIAL", "0012", "Vacant Residential"), 350),
    (("COMMERCIAL", "1520", "Office Building"), 350),
    (("VACANT LAND COMMERCIAL", "0021", "Vacant Commercial"), 150),
    (("WAREHOUSE", "3740", "Warehouses"), 100),
    (("PUBLIC FACILITY", "9600", "Municipal Property"), 50),
    (("STATUTORY SHOPPING CENTER", "1450", "Shopping Center"), 50),
    (("ASSOCIATED RESIDENTIAL PARCEL", "0191", "Associated Residential Parcel"), 50),
)
HOUSE_TYPES: Final = frozenset({"RESIDENTIAL", "TOWNHOUSE"})
BUSINESS_TYPES: Final = frozenset({"COMMERCIAL", "WAREHOUSE", "STATUTORY SHOPPING CENTER"})

# The assessor's word for a deed, the recorder's code for it, and how often.
DEED_TYPES: Final = (
    (("WARRANTY DEED", "WAR DEED"), 55), (("SPECIAL WARRANTY DEED", "SPEC/W D"), 18),
    (("QUIT CLAIM DEED", "Q/CL DEED"), 10), (("JOINT TENANCY DEED", "JNT DEED"), 8),
    (("TRUSTEES DEED", "TRST DEED"), 4), (("BENEFICIARY DEED", "BENE DEED"), 3),
    (("PROBATE DEED", "PROB DEED"), 2),
)  # fmt: skip
OTHER_CODES: Final = (
    "DEED TRST", "REL D/T", "PART REL", "SUB TRSTE", "ASSIGNMNT", "AFFIDAVIT", "DEATH CER",
    "LIS PEND", "JUDGMENT", "FED TAX L", "MED LIEN", "N/TR SALE", "EASEMENT", "POWER ATT",
    "MISC RCRD",
)  # fmt: skip
# The recorder's two-letter input codes; its long labels are no input codes and are ignored.
INPUT_CODES: Final = {
    "NS": "N/TR SALE", "FL": "FED TAX L", "SL": "LIEN", "DE": "DEATH CER", "HL": "MED LIEN",
    "WD": "WAR DEED", "DT": "DEED TRST", "QC": "Q/CL DEED", "LP": "LIS PEND",
}  # fmt: skip

# Commercial assessment ratios fall by statute; residential stays at a tenth.
BUSINESS_RATIOS: Final = {
    2020: "0.1800", 2021: "0.1800", 2022: "0.1750", 2023: "0.1700", 2024: "0.1650", 2025: "0.1600",
}  # fmt: skip

SURNAMES: Final = (
    "OCOTILLO", "SAGUARO", "CHOLLA", "AGAVE", "YUCCA", "MESQUITE", "PALO VERDE", "IRONWOOD",
    "CREOSOTE", "BRITTLEBUSH", "JOJOBA", "SOTOL", "BURSAGE", "MANZANITA", "JUNIPER", "PINYON",
    "COTTONWOOD", "SYCAMORE", "WILLOW", "TAMARISK", "LUPINE", "PENSTEMON", "MARIGOLD", "PRIMROSE",
    "VERBENA", "SAGE", "LAVENDER", "DATURA", "GLOBEMALLOW", "HOPBUSH", "SALTBUSH", "GREASEWOOD",
    "WOLFBERRY", "HACKBERRY", "ACACIA", "CATCLAW", "CLIFFROSE", "BARBERRY", "SUMAC", "TOBOSA",
    "GRAMA", "BUCKWHEAT", "CHUPAROSA", "SENITA", "HEDGEHOG", "STAGHORN", "O'LIVE", "ROSE-MALLOW",
)  # fmt: skip
FIRST_NAMES: Final = (
    "PAT", "LEE", "SAM", "DANA", "JO", "KIM", "ROBIN", "ALEX", "CHRIS", "TERRY", "JAMIE", "CASEY",
    "MORGAN", "RILEY", "JESSE", "KELLY", "LYNN", "MARION", "NOEL", "QUINN", "REESE", "SHAWN",
    "TAYLOR", "VAL", "BLAIR", "CAREY", "DREW", "FRANKIE", "GERRY", "HOLLIS",
)  # fmt: skip
COMPANY_WORDS: Final = (
    "HOLDINGS LLC", "PROPERTIES LLC", "RENTALS INC", "INVESTMENTS LP", "LAND CO", "HOMES LLC",
)  # fmt: skip
STREET_TYPES: Final = ("ST", "AVE", "DR", "RD", "LN", "WAY", "CT", "CIR", "PL", "BLVD", "TRL")
SUBDIVISION_WORDS: Final = ("ESTATES", "RANCH", "VILLAGE", "HEIGHTS", "MANOR", "COVE", "TERRACE")
