"""Whether a site's robots.txt lets a poster in, as it has to let in every source."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from propkit.asking import Host
from propkit.errors import PersonNeededError, SourceBlockedError
from propkit.http_client import HttpClient
from propkit.items import RetryPolicy
from propkit.pace import Pace
from propkit.usage import Usage

_REQUESTS_PER_SECOND: Final = 5.0


async def check_robots(site: str, paths: Iterable[str], seconds: float) -> None:
    """See that the pages which a poster opens by itself may be opened by a robot.

    Raises
    ------
    PersonNeededError
        One may not; the message names it and the setting with which a person decides otherwise.
    SourceError
        The site does not say: it cannot be reached, or it answers 5xx.
    """
    host = Host(base_url=site, pace=Pace(_REQUESTS_PER_SECOND, 1))
    async with HttpClient(retry=RetryPolicy(), request_timeout=seconds) as client:
        ask = client.ask(host, Usage())
        for path in paths:
            try:
                await ask.allowed(path, None)
            except SourceBlockedError as error:
                raise PersonNeededError(
                    f"the robots.txt of {site} forbids {path} to robots: ask the site, or, where "
                    "you may post there so, set posters.<name>.obey_robots = false"
                ) from error
