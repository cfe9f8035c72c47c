"""Settings: where they come from, who wins, and that a fault is named and a token is not."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from platformdirs import user_config_path
from pydantic import HttpUrl, SecretStr

from propkit.durations import NEVER, parse_duration
from propkit.errors import RequestError, SettingsError
from propkit.sections import CollectSettings, SourceSettings, StoreSettings
from propkit.settings import Settings, config_files
from propkit.sources import configure_sources

SECRET = "tok-5f2c-do-not-show"
ASSESSOR = "PROPKIT_SOURCES__MARICOPA_ASSESSOR__"


def write_here(text: str) -> Path:
    path = Path("propkit.toml")
    path.write_text(text, "utf-8")
    return path.resolve()


def write_for_user(text: str) -> Path:
    path = user_config_path("propkit") / "propkit.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text, "utf-8")
    return path


# ---------------------------------------------------------------- where they come from


def test_without_files_and_variables_the_defaults_hold():
    """Every default of the design, written out."""
    settings = Settings.load()

    assert settings.model_dump() == {
        "sources": {},
        "posters": {},
        "source_files": (),
        "collect": {
            "profile": "balanced",
            "workers": 3,
            "strategy": "parallel",
            "batch_size": None,
            "ageing_seconds": 30.0,
            "progress_seconds": 0.2,
            "request_timeout": 30.0,
            "retry_attempts": 4,
            "backoff_initial": 0.5,
            "backoff_max": 30.0,
            "retry_after_max": 300.0,
            "item_timeout": CollectSettings().item_timeout,
            "breaker_failures": 5,
            "breaker_seconds": 30.0,
            "breaker_seconds_max": 300.0,
            "breaker_probes": 3,
            "drift_guard": True,
            "stale_ok": False,
            "settle_seconds": 60.0,
            "auto_resume": False,
            "enhance": None,
            "enhance_top": 20,
        },
        "store": {
            "keep": None,
            "serve": True,
            "serve_address": "127.0.0.1",
            "tls_certificate": None,
            "tls_key": None,
            "files_in_sql": "owner",
        },
        "worker": {"batches": 4, "idle_seconds": 300.0, "notify": ()},
        "server": {
            "store": Path("propkit.duckdb"),
            "administrators": (),
            "requests_per_second": 100.0,
            "max_request_bytes": 1_048_576,
            "per_page": 50,
            "heartbeat_seconds": 15.0,
        },
        "notify": {
            "after_seconds": 60.0,
            "webhook": None,
            "mail_to": (),
            "mail_from": None,
            "smtp_host": "localhost",
            "smtp_port": 25,
            "smtp_security": "none",
            "smtp_user": None,
            "smtp_password": None,
        },
        "browsing": {
            "pages": 4,
            "browsers": 1,
            "items_per_page": 50,
            "items_per_browser": 1000,
            "page_memory_mb": 256,
            "memory_mb": 2048,
            "idle_seconds": 60.0,
            "headed": False,
            "block": ("image", "font", "media"),
        },
        "posting": {
            "columns": {},
            "store": None,
            "faulty": "stop",
            "workers": 1,
            "seconds_between": None,
            "jitter_seconds": None,
            "retry_attempts": 3,
            "backoff_initial": 2.0,
            "backoff_max": 60.0,
            "row_timeout": 900.0,
            "grace_seconds": 30.0,
            "save_seconds": 30.0,
            "save_share": 0.1,
        },
        "contact": None,
        "browser": None,
        "counties": None,
    }
    assert config_files() == []


def test_a_file_beside_the_notebook_is_read():
    """Every kind of value that TOML has for a setting."""
    path = write_here(f"""
        contact = "me@example.org"
        browser = "/opt/chrome"
        [sources.maricopa_assessor]
        base_url = "http://localhost:8900/assessor"
        token = "{SECRET}"
        requests_per_second = 5
        max_in_flight = 2
        max_age = "7d"
        user_agent = "me"
        obey_robots = false
        [collect]
        workers = 1
        request_timeout = 2.5
    """)

    settings = Settings.load()

    assert config_files() == [path]
    assert (settings.contact, settings.browser) == ("me@example.org", Path("/opt/chrome"))
    assert settings.collect == CollectSettings(workers=1, request_timeout=2.5)
    assert settings.sources == {
        "maricopa_assessor": SourceSettings(
            base_url=HttpUrl("http://localhost:8900/assessor"),
            token=SecretStr(SECRET),
            requests_per_second=5.0,
            max_in_flight=2,
            max_age=timedelta(days=7),
            user_agent="me",
            obey_robots=False,
        )
    }


def test_the_file_in_the_users_folder_is_read_and_the_nearer_one_wins():
    """Setting by setting: what the nearer file leaves out is taken from the user's."""
    far = write_for_user(
        'contact = "far"\n[collect]\nworkers = 7\nretry_attempts = 9\n'
        '[sources.maricopa_assessor]\ntoken = "far"\nmax_in_flight = 4\n'
    )
    alone = Settings.load()
    near = write_here(
        '[collect]\nworkers = 8\n[sources.maricopa_assessor]\ntoken = "near"\n'
        "[sources.maricopa_treasurer]\nmax_age = 0\n"
    )

    both = Settings.load()

    assert (alone.contact, alone.collect) == ("far", CollectSettings(workers=7, retry_attempts=9))
    assert config_files() == [near, far]
    assert (both.contact, both.collect) == ("far", CollectSettings(workers=8, retry_attempts=9))
    assert both.sources == {
        "maricopa_assessor": SourceSettings(token=SecretStr("near"), max_in_flight=4),
        "maricopa_treasurer": SourceSettings(max_age=timedelta(0)),
    }


def test_variables_win_over_files_and_what_is_given_wins_over_both(monkeypatch):
    """Keyword over variable over file over default, each for its own setting."""
    write_here(
        "[collect]\nworkers = 2\nretry_attempts = 2\nrequest_timeout = 2\n"
        '[sources.maricopa_assessor]\ntoken = "file"\nmax_in_flight = 2\n'
    )
    monkeypatch.setenv("PROPKIT_COLLECT__RETRY_ATTEMPTS", "3")
    monkeypatch.setenv("PROPKIT_COLLECT__REQUEST_TIMEOUT", "3")
    monkeypatch.setenv(f"{ASSESSOR}TOKEN", "variable")

    settings = Settings.load(collect={"request_timeout": 4})

    assert settings.collect == CollectSettings(workers=2, retry_attempts=3, request_timeout=4)
    assert settings.sources == {
        "maricopa_assessor": SourceSettings(token=SecretStr("variable"), max_in_flight=2)
    }


def test_variables_name_every_level(monkeypatch):
    """``__`` goes down a level; the case of a variable does not matter."""
    for name, value in {
        f"{ASSESSOR}BASE_URL": "http://127.0.0.1:9/a",
        f"{ASSESSOR}REQUESTS_PER_SECOND": "0.5",
        f"{ASSESSOR}MAX_IN_FLIGHT": "1",
        f"{ASSESSOR}MAX_AGE": "0",
        f"{ASSESSOR}OBEY_ROBOTS": "false",
        "PROPKIT_SOURCES__MARICOPA_TREASURER__MAX_AGE": "never",
        "PROPKIT_COLLECT__WORKERS": "5",
        "propkit_contact": "https://example.org",
        "PROPKIT_BROWSER": "/usr/bin/chromium",
    }.items():
        monkeypatch.setenv(name, value)

    assert Settings.load() == Settings.model_construct(
        sources={
            "maricopa_assessor": SourceSettings(
                base_url=HttpUrl("http://127.0.0.1:9/a"),
                requests_per_second=0.5,
                max_in_flight=1,
                max_age=timedelta(0),
                obey_robots=False,
            ),
            "maricopa_treasurer": SourceSettings(max_age=NEVER),
        },
        collect=CollectSettings(workers=5),
        contact="https://example.org",
        browser=Path("/usr/bin/chromium"),
    )


@pytest.mark.parametrize("token", ["1234567890", "1e5", "null", "true", '{"a": 1}', '"quoted"'])
def test_a_token_that_looks_like_json_stays_as_it_is(monkeypatch, token):
    """Variables of deeper levels may be read as JSON: never a token."""
    monkeypatch.setenv(f"{ASSESSOR}TOKEN", token)

    found = Settings.load().sources["maricopa_assessor"].token

    assert found is not None
    assert found.get_secret_value() == token


@pytest.mark.parametrize("blank", ["", "   "])
def test_a_blank_token_is_no_token(monkeypatch, blank):
    """An empty variable, as a script leaves it behind, unsets."""
    monkeypatch.setenv(f"{ASSESSOR}TOKEN", blank)
    monkeypatch.setenv(f"{ASSESSOR}USER_AGENT", blank)

    assert Settings.load().sources == {"maricopa_assessor": SourceSettings()}


PROFILES = [
    ({}, (3, "parallel", 1.0)),
    ({"profile": "conservative"}, (1, "hybrid", 0.5)),
    ({"profile": "fast"}, (8, "parallel", 1.0)),
    ({"profile": "fast", "workers": None, "strategy": None}, (8, "parallel", 1.0)),
    ({"profile": "fast", "workers": 2, "strategy": "sequential"}, (2, "sequential", 1.0)),
    ({"profile": "auto"}, (1, "hybrid", 0.5)),
]


@pytest.mark.parametrize(("given", "expected"), PROFILES)
def test_a_profile_gives_what_is_not_given(monkeypatch, given, expected):
    """Workers and strategy; the share of the pace is the profile's alone."""
    monkeypatch.setattr("propkit.sections.machine", lambda: (1, 1))

    collect = CollectSettings(**given)

    assert (collect.workers, collect.strategy, collect.pace_share) == expected


def test_a_profile_is_read_from_a_variable_and_what_the_file_says_stays(monkeypatch):
    """Setting by setting, whatever place it comes from."""
    write_here('[collect]\nworkers = 2\n[store]\nkeep = "365d"\n')
    monkeypatch.setenv("PROPKIT_COLLECT__PROFILE", "conservative")

    settings = Settings.load()

    assert (settings.collect.workers, settings.collect.strategy) == (2, "hybrid")
    assert settings.store == StoreSettings(keep="365d")
    assert settings.store.keep == timedelta(days=365)


@pytest.mark.parametrize("profile", ["Fast", "", None, 3, ["fast"]])
def test_an_unknown_profile_is_a_settings_error(profile):
    """The message lists the profiles."""
    with pytest.raises(
        SettingsError, match=r"collect\.profile.*'conservative', 'balanced', 'fast'"
    ):
        Settings.load(collect={"profile": profile})


# ---------------------------------------------------------------- faults

FAULTS = [
    ("PROPKIT_COLLECT__WORKERS", "many", "'many'"),
    ("PROPKIT_COLLECT__WORKERS", "0", "'0'"),
    ("PROPKIT_COLLECT__WORKERS", "-1", "'-1'"),
    ("PROPKIT_COLLECT__WORKERS", "", "''"),
    ("PROPKIT_COLLECT__WORKERS", "1.5", "'1.5'"),
    ("PROPKIT_COLLECT__RETRY_ATTEMPTS", "0", "'0'"),
    ("PROPKIT_COLLECT__REQUEST_TIMEOUT", "0", "'0'"),
    ("PROPKIT_COLLECT__REQUEST_TIMEOUT", "-3", "'-3'"),
    ("PROPKIT_COLLECT__REQUEST_TIMEOUT", "nan", "'nan'"),
    ("PROPKIT_COLLECT__BACKOFF_INITIAL", "-0.1", "'-0.1'"),
    ("PROPKIT_COLLECT__BACKOFF_MAX", "-1", "'-1'"),
    ("PROPKIT_COLLECT__RETRY_AFTER_MAX", "-1", "'-1'"),
    ("PROPKIT_COLLECT__ITEM_TIMEOUT", "0", "'0'"),
    ("PROPKIT_COLLECT__PROFILE", "turbo", "'turbo'"),
    ("PROPKIT_COLLECT__STRATEGY", "serial", "'serial'"),
    ("PROPKIT_COLLECT__BATCH_SIZE", "0", "'0'"),
    ("PROPKIT_COLLECT__AGEING_SECONDS", "0", "'0'"),
    ("PROPKIT_COLLECT__PROGRESS_SECONDS", "-1", "'-1'"),
    ("PROPKIT_COLLECT__BREAKER_FAILURES", "0", "'0'"),
    ("PROPKIT_COLLECT__BREAKER_SECONDS", "0", "'0'"),
    ("PROPKIT_COLLECT__BREAKER_PROBES", "0", "'0'"),
    ("PROPKIT_COLLECT__ENHANCE_TOP", "0", "'0'"),
    ("PROPKIT_COLLECT__STALE_OK", "perhaps", "'perhaps'"),
    ("PROPKIT_STORE__KEEP", "1y", "'1y'"),
    (f"{ASSESSOR}MAX_REQUESTS", "0", "'0'"),
    (f"{ASSESSOR}REQUESTS_PER_SECOND", "0", "'0'"),
    (f"{ASSESSOR}REQUESTS_PER_SECOND", "-2", "'-2'"),
    (f"{ASSESSOR}REQUESTS_PER_SECOND", "fast", "'fast'"),
    (f"{ASSESSOR}MAX_IN_FLIGHT", "0", "'0'"),
    (f"{ASSESSOR}MAX_AGE", "1y", "'1y'"),
    (f"{ASSESSOR}MAX_AGE", "-1h", "'-1h'"),
    (f"{ASSESSOR}BASE_URL", "ftp://h/", "'ftp://h/'"),
    (f"{ASSESSOR}BASE_URL", "h:80", "'h:80'"),
    (f"{ASSESSOR}OBEY_ROBOTS", "perhaps", "'perhaps'"),
]


@pytest.mark.parametrize(("name", "value", "shown"), FAULTS)
def test_a_wrong_variable_is_named_with_its_value(monkeypatch, name, value, shown):
    """Wrong types, numbers out of range, no duration, no address."""
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as caught:
        Settings.load()

    assert str(caught.value).startswith(f"settings are wrong: {name} {shown}: ")


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("[collect]\nworkers = -1", "collect.workers -1: "),
        ("[collect]\nworkers = 'x'", "collect.workers 'x': "),
        ("collect = 3", "collect: "),
        ("sources = 3", "sources: "),
        ("[sources]\nmaricopa_assessor = 3", "sources.maricopa_assessor: "),
        ("[sources.maricopa_assessor]\nmax_age = true", "sources.maricopa_assessor.max_age True: "),
    ],
)
def test_a_wrong_setting_in_the_file_is_named_by_its_path(line, named):
    """The path is the one that stands in the file."""
    write_here(line)

    with pytest.raises(SettingsError) as caught:
        Settings.load()

    assert str(caught.value).startswith(f"settings are wrong: {named}")


@pytest.mark.parametrize(
    "name",
    [
        "PROPKIT_COLLECT_WORKERS",
        "PROPKIT_COLLECTS__WORKERS",
        "PROPKIT_COLLECT__WORKRS",
        f"{ASSESSOR}TOKN",
        "propkit_collect_workers",
    ],
)
def test_an_unknown_variable_is_named(monkeypatch, name):
    """A name with a typing error would do nothing, and the run would be other than meant."""
    monkeypatch.setenv(name, "1")

    with pytest.raises(SettingsError) as caught:
        Settings.load()

    assert str(caught.value).startswith(f"settings are wrong: {name}: ")


def test_a_variable_that_resembles_no_setting_is_left_alone(monkeypatch):
    """Somebody else's script may use the prefix for its own."""
    monkeypatch.setenv("PROPKIT_HOME", "/somewhere")

    assert Settings.load() == Settings()


def test_an_unknown_name_in_the_file_is_named():
    """As a variable is."""
    write_here("[collect]\nworkrs = 3\n[sources.x]\ntokn = 1\n[colect]\nworkers = 1")

    with pytest.raises(SettingsError) as caught:
        Settings.load()

    assert str(caught.value).replace("Extra inputs are not permitted", "-") == (
        "settings are wrong: sources.x.tokn: -; collect.workrs: -; colect: -"
    )


def test_all_faults_stand_in_one_message(monkeypatch):
    """Nobody mends one setting to be told of the next."""
    write_here("[collect]\nworkers = 'x'\nretry_attempts = 0\n")
    monkeypatch.setenv("PROPKIT_COLLECT__REQUEST_TIMEOUT", "-1")
    monkeypatch.setenv("PROPKIT_COLLECT_WORKERS", "1")

    with pytest.raises(SettingsError) as caught:
        Settings.load(sources={"a": {"max_age": "1y"}})

    named = [
        "PROPKIT_COLLECT_WORKERS: ",
        "sources.a.max_age '1y': ",
        "PROPKIT_COLLECT__REQUEST_TIMEOUT '-1': ",
        "collect.workers 'x': ",
        "collect.retry_attempts 0: ",
    ]
    assert [part for part in named if part not in str(caught.value)] == []


@pytest.mark.parametrize("content", [b"contact = \n", b"\xff\xfe[\x00", b'contact = "\xe9"\n'])
def test_a_broken_file_is_named(content):
    """No TOML, or not in UTF-8: the message says which file."""
    path = Path("propkit.toml").resolve()
    path.write_bytes(content)

    with pytest.raises(SettingsError) as caught:
        Settings.load()

    assert str(caught.value).startswith(f"{path} is no TOML file: ")


@pytest.mark.parametrize("name", ["SOURCES", "COLLECT"])
def test_a_variable_in_the_place_of_a_table_is_a_settings_error(monkeypatch, name):
    """A table as one variable has to be JSON."""
    monkeypatch.setenv(f"PROPKIT_{name}", SECRET)

    with pytest.raises(SettingsError, match=name.lower()) as caught:
        Settings.load()

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f'[sources.a]\ntoken = "{SECRET}"',
        f'[sources.a]\ntoken = "{SECRET}"\nmax_in_flight = 0',
        f'[sources.a]\ntoken = ["{SECRET}"]',
        f'[sources.a]\ntoken = {{value = "{SECRET}"}}',
        f'[sources.a]\ntoekn = "{SECRET}"',
        f'[sources]\na = "{SECRET}"',
        f'sources = "{SECRET}"',
        f'token = "{SECRET}"',
        f'[sources.a]\ntoken = "{SECRET}',
    ],
)
def test_a_token_is_never_shown(text):
    """Not in repr, str or dump, nor in an error, wherever it was written by mistake."""
    write_here(text)

    try:
        settings = Settings.load()
        said = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    except SettingsError as error:
        said = f"{error!r} {error} {error.__cause__!r}"

    assert "sources" in said or "token" in said or "TOML" in said
    assert SECRET not in said


def test_the_address_of_a_webhook_is_not_shown():
    """Whoever knows it can write into the chat behind it."""
    settings = Settings.load(notify={"webhook": f"https://hooks.example/{SECRET}"})

    assert str(settings.notify.webhook).endswith(SECRET)
    assert SECRET not in f"{settings!r} {settings}"


# ---------------------------------------------------------------- durations

DURATIONS = [
    ("24h", timedelta(hours=24)),
    ("7d", timedelta(days=7)),
    ("90s", timedelta(seconds=90)),
    ("90", timedelta(seconds=90)),
    ("1.5h", timedelta(minutes=90)),
    ("15m", timedelta(minutes=15)),
    ("15min", timedelta(minutes=15)),
    ("2w", timedelta(weeks=2)),
    (" 24 H ", timedelta(hours=24)),
    ("0", timedelta(0)),
    (0, timedelta(0)),
    (90, timedelta(seconds=90)),
    (0.25, timedelta(milliseconds=250)),
    (timedelta(days=2), timedelta(days=2)),
    (None, NEVER),
    ("never", NEVER),
    (NEVER, NEVER),
]


@pytest.mark.parametrize(("value", "expected"), DURATIONS)
def test_a_duration_is_read(value, expected):
    """Units, bare seconds, numbers, timedeltas, and the two ways to say never."""
    assert parse_duration(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "-1h", "abc", "1y", "", " ", "h", "1h30m", "24 hours", "1e3", "inf", "nan", True, False,
        math.nan, math.inf, -math.inf, -1, -0.5, timedelta(seconds=-1), 1e20, "9" * 400, [], b"1h",
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_duration_is_refused_with_its_value(value):
    """Also what is negative, endless or too long for a timedelta."""
    with pytest.raises(RequestError) as caught:
        parse_duration(value)

    assert str(caught.value).startswith(f"{value!r} is no duration; ")


UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}


@given(st.integers(0, 10**6), st.sampled_from(list(UNITS)), st.sampled_from(["", " ", "\t"]))
def test_a_written_duration_is_its_number_times_its_unit(number, unit, gap):
    """In either case of the letters, and again when it is read a second time."""
    expected = timedelta(seconds=number * UNITS[unit])

    assert parse_duration(f"{number}{gap}{unit}") == expected
    assert parse_duration(f"{number}{gap}{unit.upper()}") == expected
    assert parse_duration(parse_duration(expected)) == expected


@given(st.one_of(st.text(max_size=8), st.floats(), st.integers(), st.timedeltas(), st.none()))
def test_reading_a_duration_gives_one_or_a_request_error(value):
    """Nothing else comes out, and never a negative one."""
    try:
        found = parse_duration(value)
    except RequestError:
        return

    assert timedelta(0) <= found <= NEVER


@pytest.mark.parametrize("name", ["MARICOPA_ASSESSOR", "MARICOPA_TREASURER"])
def test_a_pace_can_be_learned(monkeypatch, name):
    """It begins with the source's own rate; nothing else spaces the items."""
    monkeypatch.setenv(f"PROPKIT_SOURCES__{name}__REQUESTS_PER_SECOND", "learn")

    config = configure_sources(Settings.load())[name.lower()]

    assert config.is_pace_learned
    assert config.requests_per_second == config.source.requests_per_second
    assert config.seconds_per_item == 0
