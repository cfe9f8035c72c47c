"""The recorder's portal: pages that a script fills from the recorder's own API."""

from __future__ import annotations

SEARCH = "/recording/document-search.html"
RESULTS = "/recording/document-search-results.html"
DETAILS = "/recording/document-details.html"

_FRAME = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title} | Maricopa County Recorder</title></head>
<body><header><a href="document-search.html">Document Search</a></header>
<main id="root">{content}</main>
<footer>Demo county. Every person is synthetic.</footer>{script}</body></html>
"""

_HELPERS = """
const root = document.getElementById('root')
const asked = new URLSearchParams(location.search)
const element = (name, text, cls) => {
  const made = document.createElement(name)
  if (text !== undefined) made.textContent = text
  if (cls) made.className = cls
  return made
}
const say = text => root.replaceChildren(element('p', text, 'no-record'))
"""

_FILL_DETAILS = """<script>
const number = asked.get('recordingNumber') || ''
const row = (label, value) => {
  const line = element('tr')
  const cell = element('td')
  if (Array.isArray(value)) {
    const list = element('ul')
    list.append(...value.map(one => element('li', one)))
    cell.append(list)
  } else cell.textContent = value
  line.append(element('th', label), cell)
  return line
}
fetch(`../documents/${encodeURIComponent(number)}?suffix=${asked.get('suffix') || ''}`)
  .then(answer => answer.ok ? answer.json() : Promise.reject(answer.status))
  .then(found => {
    const table = element('table', undefined, 'table')
    table.append(
      row('Recording Number', found.recordingNumber),
      row('Recording Date', found.recordingDate),
      row('Document Code(s)', found.documentCodes),
      row('Name(s)', found.names),
      row('Page Amount', found.pageAmount),
      row('Docket Book', found.docketBook),
      row('Page Map', found.pageMap),
      row('Restricted', found.restricted ? 'Yes' : 'No'))
    const details = element('div')
    details.id = 'documentDetails'
    details.append(element('h1', `Document ${number}`), table)
    root.replaceChildren(details)
  })
  .catch(status => status === 404 || status === 400
    ? say(`No document was found for recording number ${number}.`)
    : root.replaceChildren(element('p', 'Something went wrong. Try again.', 'error')))
</script>"""

_FILL_RESULTS = """<script>
const SIZE = 20
const show = (rows, total, page) => {
  const table = element('table', undefined, 'table')
  const head = element('tr')
  for (const label of ['Recording Number', 'Recording Date', 'Document Code(s)'])
    head.append(element('th', label))
  table.append(head)
  for (const one of rows.slice(page * SIZE, (page + 1) * SIZE)) {
    const line = element('tr')
    const link = element('a', one.recordingNumber)
    link.href = `document-details.html?recordingNumber=${one.recordingNumber}&suffix=${one.recordingSuffix}`
    const cell = element('td')
    cell.append(link)
    line.append(cell, element('td', one.recordingDate), element('td', one.documentCode))
    table.append(line)
  }
  const results = element('div')
  results.id = 'searchResults'
  const next = element('button', 'Next')
  next.disabled = (page + 1) * SIZE >= rows.length
  next.onclick = () => show(rows, total, page + 1)
  results.append(element('p', `${total > 500 ? '500+' : total} results`), table, next)
  root.replaceChildren(results)
}
asked.delete('documentTypeSelector')
asked.delete('page')  // read by nobody: the script turns the pages
asked.set('pageSize', '200')
fetch(`../documents/search?${asked}`)
  .then(answer => answer.ok ? answer.json() : Promise.reject(answer.status))
  .then(found => found.totalResults
    ? show(found.searchResults, found.totalResults, 0) : say('No records found.'))
  .catch(() => root.replaceChildren(element('p', 'Something went wrong. Try again.', 'error')))
</script>"""

_FORM = """<form action="document-search-results.html"><label>Last name
<input name="lastNames" id="txtLastNames"></label><label>First name
<input name="firstNames"></label><button id="btnSearch">Search</button></form>"""


def portal_page(path: str) -> str | None:
    """Return the page at a path as it comes, before its script has run; None: no such page."""
    if path == SEARCH:
        return _FRAME.format(title="Document Search", content=_FORM, script="")
    fill = {RESULTS: _FILL_RESULTS, DETAILS: _FILL_DETAILS}.get(path)
    if fill is None:
        return None
    script = fill.replace("<script>", f"<script>{_HELPERS}")
    title = "Search Results" if path == RESULTS else "Document Details"
    return _FRAME.format(title=title, content="<p>Loading …</p>", script=script)
