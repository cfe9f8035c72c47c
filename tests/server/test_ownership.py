"""Whose job it is: with persons who have names, and with Jupyter's own token, which has none."""

from __future__ import annotations

import getpass
import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_server.auth import IdentityProvider, User
from jupyter_server.auth.identity import PasswordIdentityProvider

from propkit.server import users
from propkit.server.users import may_change, name_user, token_holder
from tests.server.serving import JOBS, jupyter
from tests.server.team import TOKENS, TeamIdentity

if TYPE_CHECKING:
    from pathlib import Path

    from propkit.demo_county import County


def test_persons_have_jobs_of_their_own(county: County, tmp_path: Path):
    """Others may look, and not change; an administrator may; Jupyter's authorizer goes first."""
    with jupyter(
        tmp_path / "notebooks",
        county,
        "--ServerApp.identity_provider_class=team.TeamIdentity",
        "--ServerApp.authorizer_class=team.TeamAuthorizer",
        administrators=["root-of-all", "ben"],
        requests_per_second=2,
    ) as server:
        ana, ben, eve = (server.client_of(f"{name}") for name in (
            "ana-secret-1f", "ben-secret-2e", "eve-secret-3d"
        ))  # fmt: skip
        own = ana.create(county.apns(2), datasets=["parcels"])
        bens = ben.create(county.apns(2, skip=2), datasets=["parcels"])
        path, bens_path = f"{JOBS}/{own['id']}", f"{JOBS}/{bens['id']}"
        assert (own["created_by"], bens["created_by"]) == ("ana", "ben")

        for method, place in [("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")]:
            assert ana.ask(method, bens_path + place).problem() == {
                "type": "about:blank",
                "title": "Forbidden",
                "status": 403,
                "detail": "The job is somebody else's: only who created it may change it.",
                "instance": bens_path + place,
            }
        assert [one["id"] for one in eve.get(f"{JOBS}?created_by=ana").json["jobs"]] == [own["id"]]
        refused = eve.post(JOBS, {"identifiers": county.apns(1)}).problem()
        assert refused["status"] == 403
        assert refused["detail"] == "Refused: User is not authorized to write on resource: propkit."
        assert eve.ask("DELETE", path).status == 403
        ben.wait(own["id"])
        assert ben.ask("DELETE", path).status == 204

        # Each has a measure of requests of its own.
        refused = next(said for _ in range(1000) if (said := ana.get(JOBS).status) != 200)
        assert refused == 429
        assert eve.get(JOBS).status == 200
        assert not [token for token in TOKENS if token in server.log]


def test_who_has_the_token_is_one_owner():
    """Jupyter gives another random name each time: all of them are who runs the server."""
    handler: Any = SimpleNamespace(log=logging.getLogger("test"))
    for provider in (IdentityProvider(), PasswordIdentityProvider()):
        given = [provider.generate_anonymous_user(handler) for _ in range(3)]
        assert len({user.username for user in given}) == 3
        assert {name_user(user, provider) for user in given} == {getpass.getuser()}
    assert name_user(User(username="ana"), TeamIdentity()) == "ana"


@pytest.mark.parametrize(
    ("user", "created_by", "may"),
    [
        ("ana", "ana", True),
        ("ana", "ben", False),
        ("chief", "ben", True),
        ("ana", None, False),
        (token_holder(), None, True),
    ],
)
def test_who_may_change_a_job(user: str, created_by: str | None, *, may: bool):
    """Who made it, or an administrator; one of nobody is the token holder's."""
    assert may_change(user, created_by, ["chief"]) is may


def test_in_a_container_without_users_the_token_holder_has_a_name(monkeypatch: pytest.MonkeyPatch):
    """Its jobs, which are stored as nobody's, are its own all the same."""

    def nobody() -> str:
        raise OSError("no such user")

    monkeypatch.setattr(users.getpass, "getuser", nobody)

    assert token_holder() == "token holder"
    assert may_change("token holder", None, [])
