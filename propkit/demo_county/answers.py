"""Plain answers that more than one of the county's systems gives."""

from __future__ import annotations

import json

from aiohttp import web

FRAME_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<title>Page not found: Maricopa County Assessor's Office</title></head>
<body class="frame"><header class="site-header"><a href="/">Assessor's Office</a>
<form action="/mcs/" method="get"><input id="query" name="q" type="search"></form></header>
<main><h1>Page not found</h1><p>The page you are looking for might have been moved.</p></main>
<footer class="site-footer">Demo county. Every person is synthetic.</footer></body></html>
"""

CAPTCHA_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Just a moment...</title></head>
<body><div id="challenge-running"><h2>Verify you are human</h2>
<div class="g-recaptcha" data-sitekey="demo-county"></div>
<p>Enable JavaScript and complete the captcha to continue.</p></div></body></html>
"""


def as_json(body: object, *, status: int = 200) -> web.Response:
    """Return a JSON answer, without the spaces that Python likes."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return web.Response(text=text, status=status, content_type="application/json", charset="utf-8")


def as_page(text: str, *, status: int = 200) -> web.Response:
    """Return an HTML page."""
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")


def frame_page() -> web.Response:
    """Return the site's frame page, which has status 200 although nothing was found."""
    return as_page(FRAME_PAGE)


def leaking(page: str, megabytes: float) -> str:
    """Return a page with a script that takes so many megabytes and lets nothing go; 0: as it is."""
    if not megabytes:
        return page
    script = (
        "<script>window.kept = []; for (let i = 0; i < 10; i++)"
        f" window.kept.push(new Uint8Array({round(megabytes * 1e5)}).fill(7))</script></body>"
    )
    return page.replace("</body>", script)
