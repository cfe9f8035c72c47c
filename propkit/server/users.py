"""Whose request it is, and what is whose.

Jupyter's own login knows no persons: whoever brings the token gets a new random name with each
request. So all of them are one owner, the user of the operating system who runs the server, who
is also the owner of what notebooks start. Names are told apart where an identity provider is
configured (JupyterHub's, or another).
"""

from __future__ import annotations

import getpass
from collections.abc import Collection

from jupyter_server.auth import IdentityProvider, User
from jupyter_server.auth.identity import LegacyIdentityProvider, PasswordIdentityProvider

_NAMELESS = (IdentityProvider, PasswordIdentityProvider, LegacyIdentityProvider)
_SOMEBODY = "token holder"


def token_holder() -> str:
    """Return the name of everybody who has the token: the user who runs the server."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user name
        return _SOMEBODY


def name_user(user: User, provider: IdentityProvider) -> str:
    """Return the name by which a request's user owns jobs."""
    return token_holder() if type(provider) in _NAMELESS else user.username


def may_change(user: str, created_by: str | None, administrators: Collection[str]) -> bool:
    """Whether a user may cancel, retry or delete a job; one of nobody is the token holder's."""
    return user in administrators or user == (created_by or token_holder())
