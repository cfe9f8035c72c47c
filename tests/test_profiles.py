"""Profiles: what each means, and which one fits a machine."""

from __future__ import annotations

import os

import pytest

from propkit.errors import RequestError
from propkit.profiles import GIB, PROFILES, Profile, choose_profile, machine


def test_the_profiles_are_those_of_the_design():
    """Conservative is polite, fast is for a machine of one's own."""
    assert list(PROFILES.values()) == [
        Profile(name="conservative", workers=1, strategy="hybrid", pace_share=0.5),
        Profile(name="balanced", workers=3, strategy="parallel", pace_share=1.0),
        Profile(name="fast", workers=8, strategy="parallel", pace_share=1.0),
    ]


@pytest.mark.parametrize(
    ("cores", "gib", "name"),
    [
        (1, 64, "conservative"),
        (64, 1.9, "conservative"),
        (2, 2, "balanced"),
        (7, 64, "balanced"),
        (8, 15.9, "balanced"),
        (8, 16, "fast"),
    ],
)
def test_auto_fits_the_machine(cores, gib, name):
    """Both cores and memory must do."""
    assert choose_profile("auto", cores, int(gib * GIB)).name == name


@pytest.mark.parametrize("name", list(PROFILES))
def test_a_profile_that_is_named_is_taken_whatever_the_machine(name):
    """A person knows better."""
    assert choose_profile(name, 1, 1) == PROFILES[name]


@pytest.mark.parametrize("name", ["", "Fast", "turbo"])
def test_an_unknown_profile_is_refused_with_the_choices(name):
    """The message names it."""
    with pytest.raises(RequestError) as caught:
        choose_profile(name, 4, 8 * GIB)

    assert str(caught.value) == (
        f"no profile {name!r}; expected one of conservative, balanced, fast, auto"
    )


def test_this_machine_has_cores_and_memory():
    """As the system tells them."""
    cores, memory_bytes = machine()

    assert 1 <= cores <= (os.cpu_count() or 1)
    assert memory_bytes > GIB // 4


def test_a_system_that_tells_nothing_is_taken_for_a_small_one(monkeypatch):
    """As on Windows: no affinity, no memory, perhaps not even a count."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(os, "sysconf", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)

    assert machine() == (1, 4 * GIB)
