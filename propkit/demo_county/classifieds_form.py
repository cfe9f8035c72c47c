"""The classifieds site's details form: fields, tags, slow images, a location to be chosen."""

from __future__ import annotations

import json
from html import escape

from propkit.demo_county.classifieds_ads import (
    CONDITIONS,
    MOST_IMAGES,
    MOST_TAGS,
    SELLERS,
    Category,
)
from propkit.demo_county.classifieds_pages import ROOT, frame
from propkit.demo_county.classifieds_switches import ClassifiedsSwitches

_V2 = (
    ("PriceAmount", "AskingPrice"),
    ("Description:", "Tell buyers about it"),
    ("pstad-descrptn", "adBody"),
    ("location-options", "place-options"),
    ("id='location'", "id='place'"),
    ("getElementById('location')", "getElementById('place')"),
)
"""What the form of layout v2 calls otherwise."""

_SCRIPT = """
const form = document.getElementById('PostAdForm')
const hidden = (name, value) => {
  const made = Object.assign(document.createElement('input'), {type: 'hidden', name, value})
  form.append(made)
  return made
}
const tags = document.getElementById('tags')
document.getElementById('add-tag').onclick = () => {
  const text = tags.value.trim(), list = document.getElementById('tag-list')
  if (!text || list.children.length >= MOST_TAGS || DEAF.includes('tags')) return
  const chip = Object.assign(document.createElement('li'), {textContent: text})
  chip.dataset.testid = 'tag-chip'
  list.append(chip)
  hidden('tags', text)
  tags.value = ''
}
const files = document.querySelector('input[type=file]')
const shown = document.getElementById('thumbnails')
const upload = async file => {
  const item = document.createElement('li')
  item.textContent = 'Uploading…'
  shown.append(item)
  for (let attempt = 0; attempt < 3; attempt++) {
    const body = new FormData()
    body.append('file', file)
    const answer = await fetch('ROOT/p-upload-image.html', {method: 'POST', body})
      .catch(() => null)
    if (answer === null || !answer.ok) continue
    const {id, thumbnailUrl} = await answer.json()
    if (DEAF.includes('images')) break
    const picture = Object.assign(document.createElement('img'), {src: thumbnailUrl})
    picture.dataset.testid = 'image-thumbnail'
    item.replaceChildren(picture)
    hidden('images', id)
    return
  }
  item.textContent = 'This photo could not be uploaded.'
  item.className = 'error'
  item.dataset.testid = 'image-error'
}
files.onchange = async () => {
  for (const file of [...files.files].slice(0, MOST_IMAGES)) await upload(file)
}
const place = document.getElementById('location')
const options = document.getElementById('location-options')
const chosen = hidden('location', '')
let asked = 0
place.oninput = async () => {
  chosen.value = ''
  const number = ++asked
  const answer = await fetch('ROOT/locations?q=' + encodeURIComponent(place.value))
  const found = await answer.json()
  if (number !== asked) return
  options.replaceChildren(...found.map(text => {
    const option = Object.assign(document.createElement('li'), {textContent: text})
    option.setAttribute('role', 'option')
    option.onclick = () => {
      asked++  // an answer that is still to come opens the list no more
      options.replaceChildren()
      if (DEAF.includes('location')) return
      place.value = chosen.value = text
    }
    return option
  }))
}
if (DEAF.includes('title')) document.getElementById('postad-title').value = ''
for (const box of document.querySelectorAll('[data-field]'))
  if (DEAF.includes(box.dataset.field)) box.addEventListener(
    box.type === 'radio' ? 'click' : 'input',
    event => { if (box.type === 'radio') event.preventDefault(); else box.value = '' })
"""


def details_page(
    account: str, category: Category, title: str, token: str, switches: ClassifiedsSwitches
) -> str:
    """Return the form with every field of a listing."""
    conditions = "".join(f"<option>{escape(one)}</option>" for one in CONDITIONS)
    sellers = "".join(
        f"<input type='radio' id='seller-{one}' name='seller' value='{one}' data-field='seller'>"
        f"<label for='seller-{one}'>{one}</label> "
        for one in SELLERS
    )
    content = (
        "<h1>Post your ad</h1>"
        f"<form id='PostAdForm' method='post' action='{ROOT}/p-submit-ad.html'>"
        f"<input type='hidden' name='token' value='{token}'>"
        f"<input type='hidden' name='categoryId' value='{category.id}'>"
        f"<p>Category: <b data-testid='chosen-category'>{escape(category.name)}</b></p>"
        "<label for='postad-title'>Ad title</label><input type='text' id='postad-title' "
        f"name='postAdForm.title' data-field='title' value='{escape(title, quote=True)}'>"
        "<label for='pstad-descrptn'>Description:</label><textarea id='pstad-descrptn' rows='6' "
        "name='postAdForm.description' data-field='description'></textarea>"
        "<label for='PriceAmount'>Price:</label><input type='text' id='PriceAmount' "
        "name='postAdForm.priceAmount' data-field='price'>"
        "<label for='condition_s'>Condition:</label><select id='condition_s' "
        "name='postAdForm.attributeMap[condition_s]' data-field='condition'>"
        f"<option value=''>Select</option>{conditions}</select>"
        f"<fieldset><legend>For Sale By:</legend>{sellers}</fieldset>"
        "<label for='tags'>Tags: (optional)</label><input type='text' id='tags'>"
        "<button type='button' id='add-tag'>Add</button><ul id='tag-list'></ul>"
        "<label for='photos'>Photos:</label><input type='file' id='photos' multiple "
        "accept='image/jpeg,image/png'><ul id='thumbnails'></ul>"
        "<label for='location'>Location:</label><input type='text' id='location' "
        "autocomplete='off' role='combobox' aria-controls='location-options'>"
        "<ul id='location-options' role='listbox'></ul>"
        "<label for='PhoneNumber'>Phone number: (optional)</label><input type='text' "
        "id='PhoneNumber' name='postAdForm.phoneNumber' data-field='phone'>"
        f"<p>Total: <b data-testid='checkout-total'>${switches.package_cost}</b></p>"
        "<button type='submit' data-testid='checkout-post-btn'>Post Your Ad</button></form>"
    )
    script = (
        _SCRIPT.replace("DEAF", json.dumps(list(switches.deaf)))
        .replace("MOST_TAGS", str(MOST_TAGS))
        .replace("MOST_IMAGES", str(MOST_IMAGES))
        .replace("ROOT", ROOT)
    )
    page = frame("Post ad: details", content, account=account, script=script)
    if switches.layout == "v2":
        for old, new in _V2:
            page = page.replace(old, new)
    return page
