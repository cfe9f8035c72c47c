"""The errors: the tree that is drawn is the tree that is caught, and each failure has its word."""

from __future__ import annotations

import re

import pytest

from propkit import errors
from propkit.errors import (
    BrowserLostError,
    BudgetSpentError,
    CollectionCancelledError,
    InvalidAnswerError,
    LayoutChangedError,
    PropkitError,
    PurchaseUnsettledError,
    SessionLostError,
    SourceBlockedError,
    SourceError,
    SourceRejectedError,
    SourceTimeoutError,
    SourceUnavailableError,
)

# The failure classes of the design.
FAILURE_CLASSES = {
    SourceError: "unavailable",
    SourceUnavailableError: "unavailable",
    SourceTimeoutError: "timeout",
    BrowserLostError: "unavailable",
    SourceBlockedError: "blocked",
    SourceRejectedError: "rejected",
    InvalidAnswerError: "invalid_answer",
    SessionLostError: "invalid_answer",
    LayoutChangedError: "layout_changed",
    PurchaseUnsettledError: "unsettled",
    BudgetSpentError: "budget",
    CollectionCancelledError: "cancelled",
}


def drawn_tree() -> dict[str, tuple[str, ...]]:
    """Read the bases of each class from the drawing in the module's docstring."""
    tree: dict[str, tuple[str, ...]] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ([│├└─ ]*)([A-Z]\w*Error)\b\s*(?:\((\w+)\))?", line)
        if match:
            depth = len(match[1])
            above = [(d, name) for d, name in above if d < depth]
            parent = above[-1][1] if above else "Exception"
            tree[match[2]] = (parent, match[3]) if match[3] else (parent,)
            above.append((depth, match[2]))
    return tree


def defined_classes() -> list[type[Exception]]:
    return [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ]


def test_the_drawn_tree_is_the_tree():
    """Who reads the drawing to decide what to catch is not misled."""
    assert drawn_tree() == {
        kind.__name__: tuple(base.__name__ for base in kind.__bases__) for kind in defined_classes()
    }


def test_every_error_of_propkit_can_be_caught_at_one_place():
    """No class stands beside the tree."""
    assert [kind for kind in defined_classes() if not issubclass(kind, PropkitError)] == []


def test_every_source_error_has_a_failure_class_of_the_design():
    """The column ``failure_class`` holds one of the agreed words, whatever went wrong."""
    words = {
        kind: kind.failure_class for kind in defined_classes() if issubclass(kind, SourceError)
    }

    assert words == FAILURE_CLASSES
    assert set(errors.FAILURE_CLASSES) == set(FAILURE_CLASSES.values())


@pytest.mark.parametrize(
    ("url", "text"), [(None, "it is away"), ("http://h/x", "it is away (http://h/x)")]
)
def test_a_source_error_says_what_and_where(url, text):
    """The address stands behind the message, and nothing does when there was none."""
    error = SourceUnavailableError("it is away", url=url)

    assert (str(error), error.url, error.args) == (text, url, ("it is away",))


def test_a_long_address_is_cut_in_the_message_and_kept_whole():
    """A page of leads names fifty fields in its address."""
    url = f"http://h/{'x' * 200}"

    error = SourceUnavailableError("it is away", url=url)

    assert str(error) == f"it is away ({url[:150]}…)"
    assert error.url == url
