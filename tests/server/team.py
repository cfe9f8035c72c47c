"""An identity provider as an office may have: each person has a token and a name of its own."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth import Authorizer, IdentityProvider, User

TOKENS = {"ana-secret-1f": "ana", "ben-secret-2e": "ben", "eve-secret-3d": "eve"}


class TeamIdentity(IdentityProvider):
    """Knows who brings which token."""

    async def get_user_token(self, handler: Any) -> User | None:
        """Return whose token it is."""
        name = TOKENS.get(self.get_token(handler) or "")
        return User(username=name) if name else None


class TeamAuthorizer(Authorizer):
    """Lets Eve look, and nothing else."""

    def is_authorized(self, handler: Any, user: User, action: str, resource: str) -> bool:
        """Whether somebody may do something."""
        return user.username != "eve" or (action, resource) == ("read", "propkit")
