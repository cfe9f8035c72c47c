// A table of parcels that lives: only the rows in sight are drawn, only what changed is sent.
// All text is set as text, never as HTML: owners' names come from outside.

const ROW = 27; // pixels; as in status_grid.css
const SPARE = 6; // rows drawn above and below those in sight
const SORT_AFTER = 1000; // milliseconds; a sorted column that changes is sorted again so often
const BESIDE = 100; // pixels that must be left beside what stays in sight when the table is scrolled
const ASIDE = 80; // pixels that an arrow key scrolls to the side
const SIGN = 48; // pixels of a status whose word has no place

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function put(node, name, value) {
  if (node[name] !== value) node[name] = value;
}

function countRows(count) {
  return `${count.toLocaleString("en-US")} ${count === 1 ? "row" : "rows"}`;
}

function since(time, now) {
  const seconds = Math.max(0, (now - time) / 1000);
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return "just now";
}

function shown(value, column, statuses) {
  if (value === null || value === undefined) return "";
  if (column.kind === "status") return statuses[value] ? statuses[value].word : String(value);
  if (column.kind === "time") return since(value, Date.now());
  if (column.kind === "number") return value.toLocaleString("en-US");
  return String(value);
}

// What a spreadsheet would take as a formula is marked as text.
function copied(value, column, statuses) {
  if (value === null || value === undefined) return "";
  if (column.kind === "time") return new Date(value).toISOString();
  if (column.kind === "number") return String(value);
  const text = shown(value, column, statuses).replace(/[\t\r\n]+/g, " ");
  return /^[=+\-@]/.test(text) ? `'${text}` : text;
}

async function putOnClipboard(text, root) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea");
    area.value = text;
    root.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

class Grid {
  constructor(model, el) {
    this.model = model;
    this.order = []; // row numbers in the order shown
    this.places = new Map(); // row number → place in the order
    this.drawn = new Map(); // place → element
    this.cursor = -1; // a row number
    this.anchor = -1;
    this.tones = new Set(); // statuses that are filtered for
    this.build(el);
    this.takeColumns();
    this.arrange();
    this.followed = [];
    this.follow("change:rows", () => this.takeRows());
    this.follow("change:columns", () => { this.takeColumns(); this.arrange(); });
    this.follow("change:filter", () => this.takeFilter());
    this.follow("change:selection", () => this.redraw());
    this.follow("change:height", () => this.fit());
    this.follow("msg:custom", (message) => this.take(message));
    this.resized = new ResizeObserver(() => { this.pin(); this.draw(); });
    this.resized.observe(this.view);
    this.clock = setInterval(() => this.redraw(), 30000);
    this.tellHeard();
  }

  follow(event, call) {
    this.model.on(event, call);
    this.followed.push([event, call]);
  }

  end() {
    for (const [event, call] of this.followed) this.model.off(event, call);
    this.resized.disconnect();
    clearInterval(this.clock);
    clearTimeout(this.sorting);
    clearTimeout(this.telling);
  }

  get rows() { return this.model.get("rows").rows; }
  get statuses() { return this.model.get("statuses"); }

  build(el) {
    const root = make("div", "propkit-grid");
    root.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab's keys are not for here
    const tools = make("div", "propkit-grid-tools");
    this.filter = make("input", "propkit-grid-filter");
    this.filter.type = "search";
    this.filter.placeholder = "Filter rows";
    this.filter.setAttribute("aria-label", "Filter rows: all words must stand in a row");
    this.filter.value = this.model.get("filter");
    this.filter.addEventListener("input", () => {
      this.model.set("filter", this.filter.value);
      this.model.save_changes();
    });
    this.chips = make("div", "propkit-grid-chips");
    this.chips.setAttribute("role", "group");
    this.chips.setAttribute("aria-label", "Filter by status");
    const copy = make("button", "propkit-grid-copy", "Copy");
    copy.type = "button";
    copy.title = "Copy the selected rows, or all of them, as a table (Ctrl+C)";
    copy.addEventListener("click", () => this.copy());
    this.chooser = make("details", "propkit-grid-chooser");
    this.chooser.append(make("summary", "", "Columns"));
    this.boxes = make("div", "propkit-grid-boxes");
    this.chooser.append(this.boxes);
    this.chooser.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.chooser.open = false;
      this.chooser.firstChild.focus();
    });
    tools.append(this.filter, copy, this.chooser);

    this.view = make("div", "propkit-grid-view");
    this.view.tabIndex = 0;
    this.view.setAttribute("role", "grid");
    this.view.setAttribute("aria-multiselectable", "true");
    this.view.setAttribute("aria-label", this.model.get("label"));
    this.head = make("div", "propkit-grid-head");
    this.head.setAttribute("role", "row");
    this.head.addEventListener("focusin", ({ target }) => target.scrollIntoView({ block: "nearest", inline: "nearest" }));
    this.body = make("div", "propkit-grid-body");
    this.body.setAttribute("role", "rowgroup");
    this.empty = make("div", "propkit-grid-empty");
    this.empty.setAttribute("aria-hidden", "true"); // the status line says so
    this.view.append(this.head, this.body, this.empty);
    this.view.addEventListener("scroll", () => {
      if (this.waiting) return;
      this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.draw(); });
    });
    this.view.addEventListener("keydown", (event) => this.press(event));
    this.body.addEventListener("click", (event) => this.click(event));
    this.body.addEventListener("dblclick", (event) => this.open(this.rowAt(event)));
    this.says = make("div", "propkit-grid-says");
    this.says.setAttribute("role", "status");
    root.append(tools, this.chips, this.view, this.says);
    el.append(root);
    this.root = root;
    this.fit();
  }

  fit() { this.view.style.maxHeight = `${this.model.get("height")}px`; }

  takeColumns() {
    const all = this.model.get("columns");
    this.columns = all.map((column, place) => ({ ...column, place })).filter((one) => one.shown);
    this.status = all.findIndex((column) => column.kind === "status");
    this.head.replaceChildren(...this.columns.map((column, index) => {
      const cell = make("div", `propkit-grid-name${column.kind === "number" ? " propkit-number" : ""}`);
      this.hold(cell, column, index);
      cell.setAttribute("role", "columnheader");
      const button = make("button", "", column.label);
      button.type = "button";
      button.title = `Sort by ${column.label}`;
      button.addEventListener("click", () => this.sortBy(column.name));
      cell.append(button);
      return cell;
    }));
    this.pin();
    this.view.setAttribute("aria-colcount", this.columns.length);
    if (this.boxes.childElementCount !== all.length) {
      this.boxes.replaceChildren(...all.map((column, place) => {
        const label = make("label");
        const box = make("input");
        box.type = "checkbox";
        box.checked = column.shown;
        box.addEventListener("change", () => this.choose(place, box.checked));
        label.append(box, ` ${column.label}`);
        return label;
      }));
    }
    for (const node of this.drawn.values()) node.remove();
    this.drawn.clear();
  }

  // What a row is and how it stands is not to be scrolled out of sight: both stop at the edges.
  hold(cell, column, index) {
    if (index === 0) cell.classList.add("propkit-first");
    if (column.kind === "status") cell.classList.add("propkit-held");
  }

  // Where there is no room for both and something beside them, only the sign of the status stays.
  pin() {
    const space = this.view.clientWidth;
    const status = this.columns.find((one) => one.kind === "status");
    const first = this.columns[0] && this.columns[0] !== status ? this.columns[0].width : 0;
    const isNarrow = Boolean(status) && space > 0 && space < first + status.width + BESIDE;
    const widths = this.columns.map((one) => (isNarrow && one === status ? SIGN : one.width));
    const left = isNarrow ? 0 : first;
    const right = status ? widths[this.columns.indexOf(status)] : 0;
    const width = widths.reduce((sum, one) => sum + one, 0);
    const { style } = this.view;
    style.setProperty("--pk-columns", widths.map((one) => `minmax(${one}px, ${one}fr)`).join(" "));
    style.setProperty("--pk-width", `${width}px`);
    style.setProperty("--pk-left", `${left}px`);
    style.scrollPadding = `0 ${right}px 0 ${left + right}px`; // what has the focus is not behind them
    this.root.classList.toggle("propkit-narrow", isNarrow);
    this.root.classList.toggle("propkit-scrolls", space > 0 && width > space);
  }

  choose(place, isShown) {
    const columns = this.model.get("columns").map((one) => ({ ...one }));
    columns[place].shown = isShown;
    this.model.set("columns", columns);
    this.model.save_changes();
  }

  sortBy(name) {
    const [by, down] = this.model.get("sort");
    this.model.set("sort", by !== name ? [name, false] : down ? ["", false] : [name, true]);
    this.model.save_changes();
    this.arrange();
  }

  takeRows() {
    this.cursor = this.anchor = -1;
    this.view.scrollTop = 0;
    this.arrange();
  }

  takeFilter() {
    const text = this.model.get("filter");
    if (this.filter.value !== text) this.filter.value = text;
    this.arrange();
  }

  // Decide which rows are shown in which order; scrolling stays where it is.
  arrange() {
    clearTimeout(this.sorting);
    this.sorting = 0;
    const { rows, statuses } = this;
    const all = this.model.get("columns");
    const words = this.model.get("filter").toLowerCase().split(/\s+/).filter(Boolean);
    const order = [];
    for (let row = 0; row < rows.length; row += 1) {
      if (this.tones.size && !this.tones.has(rows[row][this.status])) continue;
      if (words.length) {
        const text = this.columns
          .map((column) => (column.kind === "time" ? "" : shown(rows[row][column.place], column, statuses)))
          .join("\n").toLowerCase();
        if (!words.every((word) => text.includes(word))) continue;
      }
      order.push(row);
    }
    const [by, down] = this.model.get("sort");
    const place = all.findIndex((column) => column.name === by);
    if (place >= 0) {
      const isStatus = all[place].kind === "status";
      const rank = (row) => {
        const value = rows[row][place];
        if (isStatus) return statuses[value] ? statuses[value].rank : null;
        return typeof value === "string" ? value.toLowerCase() : value;
      };
      const keys = new Map(order.map((row) => [row, rank(row)]));
      order.sort((one, two) => {
        const [a, b] = [keys.get(one), keys.get(two)];
        if (a === b) return one - two;
        if (a === null || a === undefined) return 1; // what is absent comes last, either way
        if (b === null || b === undefined) return -1;
        return (a < b ? -1 : 1) * (down ? -1 : 1);
      });
    }
    this.order = order;
    this.places = new Map(order.map((row, index) => [row, index]));
    this.body.style.height = `${order.length * ROW}px`;
    this.view.setAttribute("aria-rowcount", order.length + 1);
    this.columns.forEach((column, index) => {
      const cell = this.head.children[index];
      const isBy = column.name === by;
      cell.setAttribute("aria-sort", isBy ? (down ? "descending" : "ascending") : "none");
    });
    this.tell();
    this.count();
    this.redraw();
  }

  // What a button "for all visible rows" works with.
  tell() {
    clearTimeout(this.telling);
    const isAll = this.order.length === this.rows.length;
    this.telling = setTimeout(() => {
      const before = this.model.get("visible");
      const now = isAll ? null : this.order;
      if (JSON.stringify(before) === JSON.stringify(now)) return;
      this.model.set("visible", now);
      this.model.save_changes();
    }, 150);
  }

  count() {
    const counts = new Map();
    if (this.status >= 0) {
      for (const row of this.rows) {
        const code = row[this.status];
        counts.set(code, (counts.get(code) || 0) + 1);
      }
    }
    const codes = Object.keys(this.statuses).filter((code) => counts.has(code) || this.tones.has(code));
    const present = [...this.chips.children].map((chip) => chip.dataset.code);
    if (codes.join() !== present.join()) {
      const focused = this.chips.contains(document.activeElement) ? document.activeElement.dataset.code : null;
      this.chips.replaceChildren(...codes.map((code) => {
        const chip = make("button", `propkit-chip propkit-tone-${this.statuses[code].tone}`);
        chip.type = "button";
        chip.dataset.code = code;
        chip.append(this.mark(code), make("span"));
        chip.addEventListener("click", () => {
          if (!this.tones.delete(code)) this.tones.add(code);
          this.arrange();
        });
        return chip;
      }));
      if (focused) this.chips.querySelector(`[data-code="${focused}"]`)?.focus();
    }
    for (const chip of this.chips.children) {
      const { code } = chip.dataset;
      const text = `${this.statuses[code].word} ${(counts.get(code) || 0).toLocaleString("en-US")}`;
      if (chip.lastChild.textContent !== text) chip.lastChild.textContent = text;
      chip.setAttribute("aria-pressed", String(this.tones.has(code)));
      chip.title = `Show only: ${this.statuses[code].word}`;
    }
    this.say();
  }

  say() {
    const chosen = this.model.get("selection").length;
    const total = countRows(this.rows.length);
    const text = this.order.length === this.rows.length
      ? total
      : `${this.order.length.toLocaleString("en-US")} of ${total}`;
    put(this.empty, "textContent", this.rows.length ? "No row matches the filter." : "There is nothing to show yet.");
    this.empty.hidden = this.order.length > 0;
    const all = chosen ? `${text}, ${chosen.toLocaleString("en-US")} selected` : text;
    put(this.says, "textContent", all);
  }

  mark(code) {
    const sign = make("span", "propkit-sign", this.statuses[code].sign);
    sign.setAttribute("aria-hidden", "true");
    return sign;
  }

  take(message) {
    if (message.type !== "rows") return;
    const given = this.model.get("rows");
    const { rows } = given;
    // Each view hears each message, and all views have the same rows.
    if (message.number > given.messages + 1) this.tellHeard();
    else given.messages = Math.max(given.messages, message.number);
    const all = this.model.get("columns");
    const [by] = this.model.get("sort");
    let moves = this.tones.size > 0 || this.model.get("filter").trim() !== "";
    for (const [row, changes] of message.rows) {
      if (!rows[row]) continue; // of a table that was here before
      for (const [place, value] of changes) {
        rows[row][place] = value;
        if (all[place].name === by) moves = true;
      }
      const index = this.places.get(row);
      const node = index === undefined ? undefined : this.drawn.get(index);
      if (node) this.fill(node, row);
    }
    this.count();
    if (moves && !this.sorting) this.sorting = setTimeout(() => this.arrange(), SORT_AFTER);
  }

  // What was sent before this view was here, or while there was none, is not in the rows.
  tellHeard() {
    this.model.send({ type: "heard", number: this.model.get("rows").messages });
  }

  redraw() {
    this.chosen = new Set(this.model.get("selection"));
    for (const [index, node] of this.drawn) {
      if (index >= this.order.length) {
        node.remove();
        this.drawn.delete(index);
      } else {
        this.fill(node, this.order[index]);
      }
    }
    this.say();
    this.draw();
  }

  draw() {
    const top = Math.max(0, Math.floor(this.view.scrollTop / ROW) - SPARE);
    const end = Math.min(this.order.length, Math.ceil((this.view.scrollTop + this.view.clientHeight) / ROW) + SPARE);
    const free = [];
    for (const [index, node] of this.drawn) {
      if (index < top || index >= end) {
        this.drawn.delete(index);
        free.push(node);
      }
    }
    for (let index = top; index < end; index += 1) {
      if (this.drawn.has(index)) continue;
      const node = free.pop() || this.newRow();
      node.style.transform = `translateY(${index * ROW}px)`;
      node.setAttribute("aria-rowindex", index + 2);
      node.classList.toggle("propkit-odd", index % 2 === 1);
      this.drawn.set(index, node);
      this.fill(node, this.order[index]);
      if (!node.parentNode) this.body.append(node);
    }
    for (const node of free) node.remove();
    const active = this.drawn.get(this.places.get(this.cursor));
    if (active) this.view.setAttribute("aria-activedescendant", active.id);
    else this.view.removeAttribute("aria-activedescendant");
  }

  newRow() {
    const node = make("div", "propkit-grid-row");
    Grid.number = (Grid.number || 0) + 1;
    node.id = `propkit-row-${Grid.number}`;
    node.setAttribute("role", "row");
    this.columns.forEach((column, index) => {
      const cell = make("div", `propkit-cell propkit-kind-${column.kind}`);
      this.hold(cell, column, index);
      cell.setAttribute("role", "gridcell");
      node.append(cell);
    });
    return node;
  }

  fill(node, row) {
    node.dataset.row = row;
    const values = this.rows[row];
    const isChosen = this.chosen ? this.chosen.has(row) : false;
    node.setAttribute("aria-selected", String(isChosen));
    node.classList.toggle("propkit-cursor", row === this.cursor);
    this.columns.forEach((column, index) => {
      const cell = node.children[index];
      const value = values[column.place];
      if (column.kind === "status") {
        if (cell.dataset.code === String(value)) return;
        cell.dataset.code = String(value);
        const status = this.statuses[value];
        cell.replaceChildren();
        if (!status) return;
        const pill = make("span", `propkit-pill propkit-tone-${status.tone}`);
        pill.append(this.mark(value), make("span", "propkit-word", status.word));
        pill.title = status.title;
        cell.append(pill);
        return;
      }
      const text = shown(value, column, this.statuses);
      if (cell.textContent !== text) cell.textContent = text;
      const title = column.kind === "time" && value ? new Date(value).toLocaleString() : text;
      if (cell.title !== title) cell.title = title;
    });
  }

  rowAt(event) {
    const node = event.target.closest(".propkit-grid-row");
    return node ? Number(node.dataset.row) : -1;
  }

  click(event) {
    const row = this.rowAt(event);
    if (row < 0) return;
    this.view.focus({ preventScroll: true });
    if (event.shiftKey && this.anchor >= 0) this.chooseTo(row);
    else if (event.ctrlKey || event.metaKey) this.toggle(row);
    else this.select([row]);
    if (!event.shiftKey) this.anchor = row;
    this.cursor = row;
    this.redraw();
  }

  chooseTo(row) {
    const [a, b] = [this.places.get(this.anchor) ?? 0, this.places.get(row) ?? 0];
    this.select(this.order.slice(Math.min(a, b), Math.max(a, b) + 1));
  }

  toggle(row) {
    const chosen = new Set(this.model.get("selection"));
    if (!chosen.delete(row)) chosen.add(row);
    this.select([...chosen]);
  }

  select(rows) {
    this.model.set("selection", rows);
    this.model.save_changes();
  }

  open(row) {
    if (row >= 0) this.model.send({ type: "open", row });
  }

  press(event) {
    if (event.target !== this.view) return;
    const last = this.order.length - 1;
    const page = Math.max(1, Math.floor(this.view.clientHeight / ROW) - 2);
    const here = this.places.get(this.cursor) ?? -1;
    const targets = {
      ArrowDown: here + 1, ArrowUp: here - 1, PageDown: here + page, PageUp: here - page, Home: 0, End: last,
    };
    const isControl = event.ctrlKey || event.metaKey;
    if (event.key in targets && last >= 0) {
      const row = this.order[Math.min(last, Math.max(0, targets[event.key]))];
      if (event.shiftKey) {
        if (this.anchor < 0) this.anchor = row;
        this.chooseTo(row);
      } else {
        this.anchor = row;
      }
      this.cursor = row;
      this.reveal(this.places.get(row));
      this.redraw();
    } else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      this.view.scrollLeft += event.key === "ArrowLeft" ? -ASIDE : ASIDE;
    } else if (event.key === " " && this.cursor >= 0) {
      this.toggle(this.cursor);
    } else if (event.key === "Enter" && this.cursor >= 0) {
      this.open(this.cursor);
    } else if (event.key === "Escape") {
      this.select([]);
    } else if (isControl && event.key.toLowerCase() === "a") {
      this.select([...this.order]);
    } else if (isControl && event.key.toLowerCase() === "c") {
      this.copy();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  reveal(index) {
    const head = this.head.offsetHeight;
    const top = index * ROW;
    if (top < this.view.scrollTop) this.view.scrollTop = top;
    const bottom = top + ROW + head - this.view.clientHeight;
    if (bottom > this.view.scrollTop) this.view.scrollTop = bottom;
  }

  copy() {
    const chosen = new Set(this.model.get("selection"));
    const rows = chosen.size ? this.order.filter((row) => chosen.has(row)) : this.order;
    const lines = [this.columns.map((column) => column.label).join("\t")];
    for (const row of rows) {
      const cells = this.columns.map((one) => copied(this.rows[row][one.place], one, this.statuses));
      lines.push(cells.join("\t"));
    }
    const held = document.activeElement;
    putOnClipboard(`${lines.join("\n")}\n`, this.root).then(() => {
      held?.focus({ preventScroll: true });
      this.says.textContent = `${countRows(rows.length)} copied`;
    });
  }
}

export default {
  render({ model, el }) {
    const grid = new Grid(model, el);
    return () => grid.end();
  },
};
