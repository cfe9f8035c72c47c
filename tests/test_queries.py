"""Search texts from whatever holds them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from propkit.errors import IdentifierError
from propkit.queries import Queries, read_queries

FRAME = pd.DataFrame({"note": ["a", "b"], "Owner Name": ["SMITH", None]})


@pytest.mark.parametrize(
    ("given", "options", "texts"),
    [
        ("SMITH J.R", {}, ("SMITH J.R",)),
        (["SMITH", None, float("nan"), " ", 7], {}, ("SMITH", "", "", "", "7")),
        ({"b", "a"}, {}, ("a", "b")),
        (pd.Series(["SMITH", pd.NA]), {}, ("SMITH", "")),
        (FRAME, {}, ("SMITH", "")),
        (FRAME, {"column": "note"}, ("a", "b")),
        (FRAME, {"column": "NOTE"}, ("a", "b")),
        (pd.DataFrame({"anything": ["x"]}), {}, ("x",)),
        ([], {}, ()),
        (pd.DataFrame(), {}, ()),
        (Queries(("x",), "here"), {}, ("x",)),
    ],
)
def test_texts_are_read_in_their_order(given, options, texts):
    """Blank ones are kept, so that the plan can name them."""
    assert read_queries(given, **options).texts == texts


def test_a_file_is_read():
    """A text that ends like a table file is one."""
    Path("owners.csv").write_text("id,owner\n1,SMITH\n2,\n", "utf-8")
    FRAME.to_excel("owners.xlsx", sheet_name="List", index=False)

    assert read_queries("owners.csv") == Queries(("SMITH", ""), "owners.csv, column 'owner'")
    assert read_queries(Path("owners.xlsx"), sheet="List").texts == ("SMITH", "")


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        (FRAME, {"column": "x"}, "no column 'x' in DataFrame: columns"),
        (FRAME.rename(columns={"Owner Name": "x"}), {}, "not certain which column"),
        (["a"], {"column": "x"}, "need a table or a file"),
        ("none.csv", {}, "cannot read 'none.csv'"),
        (7, {}, "cannot read queries from int; expected a text"),
        ({"a": 1}, {}, "cannot read queries from dict"),
        (b"a", {}, "cannot read queries from bytes"),
    ],
)
def test_what_holds_no_texts_is_refused(given, options, said):
    """The message says what was expected."""
    with pytest.raises(IdentifierError, match=said):
        read_queries(given, **options)
