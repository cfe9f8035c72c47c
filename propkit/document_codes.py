"""The recorder's document codes: what each means, and whether it is a deed or secures a loan.

Labels are as the recorder shows them; the two-letter input codes are those that its search takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from propkit.errors import RequestError

DocumentKind = Literal["deed", "deed_of_trust", "release", "lien", "notice", "other"]


@dataclass(frozen=True, slots=True)
class DocumentCode:
    """One code: its label, what it stands for, its kind, and the search's code where known."""

    label: str
    meaning: str
    kind: DocumentKind
    input_code: str | None = None


_ROWS: Final[tuple[DocumentCode, ...]] = (
    DocumentCode("WAR DEED", "warranty deed", "deed", "WD"),
    DocumentCode("SPEC/W D", "special warranty deed", "deed"),
    DocumentCode("Q/CL DEED", "quit claim deed", "deed", "QC"),
    DocumentCode("JNT DEED", "joint tenancy deed", "deed"),
    DocumentCode("TRST DEED", "trustee's deed", "deed"),
    DocumentCode("BENE DEED", "beneficiary deed", "deed"),
    DocumentCode("PROB DEED", "probate deed", "deed"),
    DocumentCode("DEED TRST", "deed of trust", "deed_of_trust", "DT"),
    DocumentCode("MORTGAGE", "mortgage", "deed_of_trust"),
    DocumentCode("CORR D/T", "correction of a deed of trust", "deed_of_trust"),
    DocumentCode("C/N D/T", "change of a deed of trust", "deed_of_trust"),
    DocumentCode("SUB TRSTE", "substitution of a trustee", "deed_of_trust"),
    DocumentCode("ASSIGNMNT", "assignment", "deed_of_trust"),
    DocumentCode("REL D/T", "release of a deed of trust", "release"),
    DocumentCode("PART REL", "partial release", "release"),
    DocumentCode("REL MTG", "release of a mortgage", "release"),
    DocumentCode("RE FED TX", "release of a federal tax lien", "release"),
    DocumentCode("LIEN", "lien", "lien", "SL"),
    DocumentCode("MED LIEN", "medical lien", "lien", "HL"),
    DocumentCode("AHCCCS LN", "lien of the state's health plan", "lien"),
    DocumentCode("FED TAX L", "federal tax lien", "lien", "FL"),
    DocumentCode("JUDGMENT", "judgment", "lien"),
    DocumentCode("RENW JDG", "renewal of a judgment", "lien"),
    DocumentCode("N/TR SALE", "notice of a trustee's sale", "notice", "NS"),
    DocumentCode("LIS PEND", "lis pendens", "notice", "LP"),
    DocumentCode("AFFIDAVIT", "affidavit", "other"),
    DocumentCode("AF DISCLS", "affidavit of disclosure", "other"),
    DocumentCode("DEATH CER", "death certificate", "other", "DE"),
    DocumentCode("FIN STATE", "financing statement", "other"),
    DocumentCode("T FIN ST", "termination of a financing statement", "other"),
    DocumentCode("PLAT MAP", "plat map", "other"),
    DocumentCode("BIG MAP", "large map", "other"),
    DocumentCode("EASEMENT", "easement", "other"),
    DocumentCode("POWER ATT", "power of attorney", "other"),
    DocumentCode("PROP RSTR", "property restriction", "other"),
    DocumentCode("MISC RCRD", "miscellaneous record", "other"),
)

DOCUMENT_CODES: Final = {row.label: row for row in _ROWS}
"""Every code that is known, by its label. A code that is not here is of no known kind."""

DEED_LABELS: Final = tuple(row.label for row in _ROWS if row.kind == "deed")
"""The codes of documents that convey; a deed of trust only secures a loan."""


def document_kind(label: str | None) -> DocumentKind | None:
    """Return the kind of a code; None for one that is not known."""
    found = DOCUMENT_CODES.get((label or "").removesuffix("+").strip())
    return None if found is None else found.kind


def find_code(text: str) -> DocumentCode:
    """Return a code by its label or its two-letter input code; it must be one that can be asked.

    Raises
    ------
    RequestError
        It is not known, or the search takes no code for it (and would ignore the label).
    """
    wanted = " ".join(text.upper().split())
    found = DOCUMENT_CODES.get(wanted)
    if found is None:
        found = next((row for row in _ROWS if row.input_code == wanted), None)
    if found is None or found.input_code is None:
        able = ", ".join(f"{row.input_code} ({row.label})" for row in _ROWS if row.input_code)
        raise RequestError(f"the recorder cannot be asked for documents {text!r}; only for {able}")
    return found
