"""The switches of the classifieds site: who is let in, how it posts, and what its form refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

ACCOUNTS = {"seller@example.org": "demo-password", "dealer@example.org": "demo-password"}
"""Who may log in, and with what; all of them synthetic."""
SECOND_FACTOR = "246810"

FORM_FIELDS = (
    "title", "description", "price", "condition", "seller", "tags", "images", "location", "phone",
)  # fmt: skip
"""The fields of the posting form, as `deaf` names them."""

_WORDS = {
    "layout": ("v1", "v2"),
    "captcha": ("never", "login", "post"),
    "duplicates": ("refused", "accepted"),
    "form_token": ("once", "ignored"),
}
_NUMBERS = {
    "upload_seconds": 0.0,
    "upload_fails": 0,
    "redirect_seconds": 0.0,
    "appear_seconds": 0.0,
    "least_images": 0,
    "page_size": 1,
}


@dataclass(frozen=True, slots=True)
class ClassifiedsSwitches:
    """One state of the classifieds site's switches.

    `layout` "v2" is the posting form by other ids and labels. `captcha` bars the way at the login
    or at the last step until somebody ticks the box; `second_factor` asks for a code at the
    login. The fields in `deaf` do not keep what they are given. `package_cost` (USD as text) is
    what even the free package costs. An image takes `upload_seconds`; the first `upload_fails`
    tries of each fail. `redirect_seconds` after the post comes the listing's own page, and after
    `appear_seconds` it is among the account's listings. `refusal` is an error that every post
    gets. `form_token` "once": the same form sent twice makes one listing; `duplicates`
    "accepted": two forms with the same text make two.

    A listing that is kept while the connection is cut is the fault `drop` at `^/p-submit-ad`.
    """

    layout: str = "v1"
    captcha: str = "never"
    second_factor: bool = False
    deaf: tuple[str, ...] = ()
    package_cost: str = "0.00"
    upload_seconds: float = 0.02
    upload_fails: int = 0
    redirect_seconds: float = 0.05
    appear_seconds: float = 0.0
    refusal: str | None = None
    form_token: str = "once"  # noqa: S105
    duplicates: str = "refused"
    least_images: int = 0
    page_size: int = 20

    def changed(self, changes: object) -> ClassifiedsSwitches:
        """Return these switches with some changed; raise ValueError for what cannot be."""
        if not isinstance(changes, Mapping):
            text = f"the switches of classifieds are an object, not {changes!r}"
            raise ValueError(text)  # noqa: TRY004
        names = [item.name for item in fields(self)]
        if unknown := sorted(set(changes) - set(names)):
            known = ", ".join(names)
            raise ValueError(f"unknown switches {unknown} of classifieds; there are {known}")
        for name, value in changes.items():
            _check(name, value)
        given = dict(changes)
        if "deaf" in given:
            given["deaf"] = tuple(given["deaf"])
        return replace(self, **given)


def _check(name: str, value: Any) -> None:
    if name in _WORDS and value not in _WORDS[name]:
        raise ValueError(f"{name} is one of {', '.join(_WORDS[name])}, not {value!r}")
    if name in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, int | float) or value < _NUMBERS[name]:
            raise ValueError(f"{name} is a number from {_NUMBERS[name]} up, not {value!r}")
    elif name == "second_factor" and not isinstance(value, bool):
        raise ValueError(f"second_factor is true or false, not {value!r}")
    elif name == "deaf":
        if not isinstance(value, list | tuple) or set(value) - set(FORM_FIELDS):
            raise ValueError(f"deaf fields are some of {', '.join(FORM_FIELDS)}, not {value!r}")
    elif name == "package_cost" and not isinstance(value, str):
        raise ValueError(f"package_cost is a text, not {value!r}")
    elif name == "refusal" and not (value is None or (isinstance(value, str) and value)):
        raise ValueError(f"refusal is a text, or null for none, not {value!r}")
