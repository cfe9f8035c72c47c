"""The classifieds site's pages around the posting form: login, my ads, a listing, a captcha."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from propkit.demo_county.classifieds_ads import Ad, Category

ROOT = "/classifieds"

_STYLE = """
body { font: 15px/1.4 sans-serif; margin: 0; color: #22242a; background: #f4f4f6 }
header { background: #373373; color: #fff; padding: 10px 24px } header a { color: #fff }
main { max-width: 720px; margin: 16px auto; padding: 16px 24px; background: #fff }
label, legend { display: block; font-weight: 600; margin: 12px 0 4px }
input[type=text], input[type=password], textarea, select { width: 95%; padding: 6px }
button { padding: 7px 14px; margin: 8px 6px 8px 0 } .error { color: #b3261e; font-weight: 600 }
fieldset { border: 0; padding: 0 } fieldset label { display: inline; font-weight: 400 }
ul { list-style: none; padding: 0 } li { margin: 4px 0 } li img { height: 60px }
[role=option] { cursor: pointer; border: 1px solid #ccc; padding: 4px }
footer { text-align: center; color: #777 }
"""


def frame(title: str, content: str, *, account: str | None = None, script: str = "") -> str:
    """Return a page of the site; `content` is HTML."""
    who = f"{escape(account)} · " if account else ""
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f"</title><style>{_STYLE}</style></head><body><header><a href='{ROOT}/'>Classifieds</a> "
        f"{who}<a href='{ROOT}/m-my-ads/active/1'>My Ads</a> "
        f"<a data-testid='header-link-post-ad' href='{ROOT}/p-post-ad.html'>Post ad</a></header>"
        f"<main>{content}</main><footer>Demo county. Every person is synthetic.</footer>"
        f"{f'<script>{script}</script>' if script else ''}</body></html>"
    )


def home_page(account: str | None, ads: Sequence[Ad]) -> str:
    """Return the start page: the newest listings, and a drawer in front of them."""
    rows = "".join(f"<li><a href='{ROOT}{ad.url}'>{escape(ad.title)}</a></li>" for ad in ads)
    drawer = (
        "<aside id='drawer'>Welcome! <button data-testid='drawer-close-button' "
        "onclick='document.getElementById(\"drawer\").remove()'>Close</button></aside>"
    )
    return frame("Classifieds", f"{drawer}<h1>New today</h1><ul>{rows}</ul>", account=account)


def _box(label: str, name: str, kind: str = "text") -> str:
    return (
        f"<label for='{name}'>{label}</label><input id='{name}' name='{name}' type='{kind}' "
        "autocomplete='off'>"
    )


def _error(text: str | None) -> str:
    return f"<p class='error' role='alert'>{escape(text)}</p>" if text else ""


def login_page(service: str, error: str | None = None) -> str:
    """Return the page that asks for an address and a password."""
    return frame(
        "Sign in",
        f"<h1>Sign in</h1>{_error(error)}<form method='post' action='{ROOT}/id/login'>"
        f"<input type='hidden' name='service' value='{escape(service)}'>"
        f"{_box('Email Address', 'email')}{_box('Password', 'password', 'password')}"
        "<button type='submit'>Sign in</button></form>",
    )


def code_page(service: str, error: str | None = None) -> str:
    """Return the page that asks for the code of the second factor."""
    return frame(
        "Verify it's you",
        f"<h1>Verify it's you</h1><p>We sent a code to your phone.</p>{_error(error)}"
        f"<form method='post' action='{ROOT}/id/verify' data-testid='second-factor'>"
        f"<input type='hidden' name='service' value='{escape(service)}'>"
        "<label for='code'>Verification code</label>"
        "<input id='code' name='code' type='text' autocomplete='one-time-code'>"
        "<button type='submit'>Verify</button></form>",
    )


def captcha_page(back: str) -> str:
    """Return the page that asks for a human and then goes on where it was."""
    return frame(
        "Just a moment...",
        f"<h1>Verify you are human</h1><form method='post' action='{ROOT}/captcha'>"
        f"<input type='hidden' name='back' value='{escape(back)}'>"
        "<div class='g-recaptcha' data-sitekey='demo-county'><input id='human' type='checkbox' "
        "name='human' value='yes' onchange='this.form.submit()'>"
        "<label for='human'>I'm not a robot</label></div></form>",
    )


def title_page(account: str) -> str:
    """Return the first step: a title, and the categories that it suggests."""
    script = f"""
const title = document.getElementById('AdTitle'), found = document.getElementById('suggested')
const go = id => location.assign('{ROOT}/p-post-ad.html?categoryId=' + id
  + '&adTitle=' + encodeURIComponent(title.value))
document.getElementById('next').onclick = async () => {{
  if (!title.value) return
  const answer = await fetch('{ROOT}/suggest?title=' + encodeURIComponent(title.value))
  found.replaceChildren(...(await answer.json()).map(one => {{
    const button = document.createElement('button')
    button.dataset.testid = 'suggested-category-' + one.id
    button.textContent = one.name
    button.onclick = () => go(one.id)
    return button
  }}))
}}"""
    return frame(
        "Post ad",
        "<h1>Post your ad</h1><label for='AdTitle'>Ad title</label>"
        "<input id='AdTitle' type='text' maxlength='200'><button id='next'>Next</button>"
        "<div id='suggested'></div>"
        f"<a href='{ROOT}/p-select-category.html'>Choose a category</a>",
        account=account,
        script=script,
    )


def category_page(account: str, categories: Sequence[Category]) -> str:
    """Return the older way to a category: all of them in one list."""
    options = "".join(f"<option value='{one.id}'>{escape(one.name)}</option>" for one in categories)
    return frame(
        "Select a category",
        f"<h1>Select a category</h1><form action='{ROOT}/p-post-ad.html'>"
        "<label for='adTitle'>Ad title</label><input id='adTitle' name='adTitle' type='text'>"
        "<label for='categoryId'>Category</label><select id='categoryId' name='categoryId'>"
        f"{options}</select><button>Go</button></form>",
        account=account,
    )


def package_page(account: str, category: Category, title: str, cost: str) -> str:
    """Return the choice of packages: a free one and two that cost."""
    packages = (("Basic", cost), ("Lite", "9.99"), ("Plus", "24.99"))
    rows = "".join(
        f"<li><b>{name}</b> ${price} <form action='{ROOT}/p-post-ad.html' style='display:inline'>"
        f"<input type='hidden' name='categoryId' value='{category.id}'>"
        f"<input type='hidden' name='adTitle' value='{escape(title, quote=True)}'>"
        f"<input type='hidden' name='package' value='{number}'>"
        f"<button data-testid='package-{number}-bottom-select'>Select</button></form></li>"
        for number, (name, price) in enumerate(packages)
    )
    return frame("Choose a package", f"<h1>Choose a package</h1><ul>{rows}</ul>", account=account)


def posting_page(account: str, url: str, seconds: float) -> str:
    """Return the page between the post and the listing's own page."""
    script = f"setTimeout(() => location.assign('{ROOT}{url}'), {round(seconds * 1000)})"
    return frame("Posting", "<p>Your ad is being posted…</p>", account=account, script=script)


def refused_page(account: str, faults: Sequence[str]) -> str:
    """Return the page that stays where it is and says what is wrong with the form."""
    rows = "".join(f"<li class='error' role='alert'>{escape(one)}</li>" for one in faults)
    text = f"<h1>Your ad was not posted</h1><ul data-testid='form-errors'>{rows}</ul>"
    return frame("Post ad", text, account=account)


def listing_page(account: str | None, ad: Ad) -> str:
    """Return one listing's own page."""
    pictures = "".join(f"<img src='{ROOT}/img/{one}' alt='photo'>" for one in ad.images)
    return frame(
        ad.title,
        f"<h1>{escape(ad.title)}</h1><p data-testid='listing-price'>{price_text(ad)}</p>"
        f"<p>{escape(ad.location)} · {escape(ad.condition)}</p>{pictures}"
        f"<p data-testid='listing-description' style='white-space:pre-wrap'>"
        f"{escape(ad.description)}</p><p>Ad ID {ad.id}</p>",
        account=account,
    )


def gone_page() -> str:
    """Return the page of a listing that is not there."""
    return frame("Not found", "<h1>This ad is no longer available</h1>")


def my_ads_page(account: str, ads: Sequence[Ad], page: int, pages: int) -> str:
    """Return one page of the account's own listings, each with its delete dialog."""
    rows = "".join(
        f"<li data-testid='listing-id-{ad.id}'><a href='{ROOT}{ad.url}'>{escape(ad.title)}</a> "
        f"<span data-testid='listing-price'>{price_text(ad)}</span> "
        f"<button data-testid='delete-ad' data-id='{ad.id}'>Delete</button></li>"
        for ad in ads
    )
    following = (
        f"<a data-testid='next-page' href='{ROOT}/m-my-ads/active/{page + 1}'>Next</a>"
        if page < pages
        else ""
    )
    script = f"""
const dialog = document.querySelector('dialog')
let chosen = null
for (const button of document.querySelectorAll('[data-testid=delete-ad]'))
  button.onclick = () => {{
    chosen = button.dataset.id
    dialog.querySelector('#reasons').hidden = false
    dialog.querySelector('#deleted').hidden = true
    dialog.showModal()
  }}
dialog.querySelector('#delete').onclick = async () => {{
  const answer = await fetch('{ROOT}/m-delete-ad/' + chosen, {{method: 'POST'}})
  dialog.querySelector('#reasons').hidden = true
  dialog.querySelector('#deleted').hidden = false
  dialog.querySelector('#deleted p').textContent =
    answer.ok ? 'Your ad was deleted.' : 'Something went wrong.'
}}
dialog.querySelector('[data-testid=ModalCloseButton]').onclick = () => location.reload()
"""
    return frame(
        "My Ads",
        f"<h1>My Ads</h1><p data-testid='ads-page'>Page {page} of {pages}</p><ul>{rows}</ul>"
        f"{following}<dialog><div id='reasons'><p>Why do you delete it?</p>"
        "<label><input type='radio' name='reason'>I sold it</label>"
        "<label><input type='radio' name='reason'>Prefer not to say</label>"
        "<button id='delete'>Delete My Ad</button></div><div id='deleted' hidden>"
        "<p role='status'></p><button data-testid='ModalCloseButton'>Close</button></div></dialog>",
        account=account,
        script=script,
    )


def price_text(ad: Ad) -> str:
    """Return a price as the site writes it."""
    return f"${float(ad.price):,.2f}"
