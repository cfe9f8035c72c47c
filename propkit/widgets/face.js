// Draws what Python describes in blocks (faces.py) and sends back what a person presses.
// All text is set as text, never as HTML; a link only leads where Python has checked it.

const LONG = 48; // characters; a longer text of a table is told in several lines
const ANSWER_WITHIN = 1500; // milliseconds; a kernel that takes longer is busy with a cell

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function put(node, name, value) {
  if (node[name] !== value) node[name] = value;
}

// Names of things that stand side by side; the second of a name is another.
function nameAll(things, name) {
  const seen = new Map();
  return things.map((thing, index) => {
    const plain = name(thing, index);
    const before = seen.get(plain) || 0;
    seen.set(plain, before + 1);
    return before ? `${plain} (${before})` : plain;
  });
}

// Take away what has none of the names.
function keep(drawn, names) {
  const kept = new Set(names);
  for (const [name, entry] of drawn) {
    if (kept.has(name)) continue;
    entry.node.remove();
    drawn.delete(name);
  }
}

// Jupyter's own address and its guard against forged requests.
async function askServer({ method, path }) {
  const config = document.getElementById("jupyter-config-data");
  const base = config ? JSON.parse(config.textContent).baseUrl || "/" : "/";
  const guard = /(?:^|; )_xsrf=([^;]*)/.exec(document.cookie);
  const answer = await fetch(`${base}${path}`, {
    method,
    credentials: "same-origin",
    headers: guard ? { "X-XSRFToken": decodeURIComponent(guard[1]) } : {},
  });
  return answer.status;
}

class Face {
  constructor(model, el) {
    this.model = model;
    this.form = {};
    this.unanswered = new Map();
    this.drawn = new Map();
    this.root = make("div", "propkit-face");
    this.root.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab's keys are not for here
    this.root.setAttribute("role", "region");
    this.notice = make("div", "propkit-notice");
    this.notice.setAttribute("role", "alert");
    this.notice.hidden = true;
    this.fields = make("fieldset", "propkit-fields");
    this.root.append(this.notice, this.fields);
    el.append(this.root);
    this.beatAt = Date.now();
    this.followed = [];
    this.follow("change:view", () => this.draw());
    this.follow("msg:custom", (message) => this.take(message));
    this.clock = setInterval(() => this.look(), 500);
    this.draw();
  }

  follow(event, call) {
    this.model.on(event, call);
    this.followed.push([event, call]);
  }

  end() {
    for (const [event, call] of this.followed) this.model.off(event, call);
    clearInterval(this.clock);
    for (const timer of this.unanswered.values()) clearTimeout(timer);
  }

  take(message) {
    if (message.type === "beat") {
      this.beatAt = Date.now();
      if (this.isStale) this.look();
    } else if (message.type === "answered") {
      clearTimeout(this.unanswered.get(message.number));
      this.unanswered.delete(message.number);
      this.say("");
    } else if (message.type === "notify" && window.Notification?.permission === "granted") {
      // eslint-disable-next-line no-new
      new Notification(message.title, { body: message.text });
    }
  }

  // A panel whose kernel is gone says so, and offers no buttons.
  look() {
    const { is_over: isOver, stale_seconds: seconds } = this.model.get("view");
    const isStale = !isOver && Date.now() - this.beatAt > seconds * 1000;
    if (isStale === this.isStale) return;
    this.isStale = isStale;
    this.fields.disabled = Boolean(isStale || isOver);
    this.root.classList.toggle("propkit-stale", isStale);
    this.say(isStale
      ? "No sign of life from the kernel: this is how it was. Run the cell again to go on; what was collected is kept."
      : "");
  }

  say(text) {
    if (this.isStale && !text) return;
    put(this.notice, "textContent", text);
    this.notice.hidden = !text;
  }

  draw() {
    const view = this.model.get("view");
    this.beatAt = Math.max(this.beatAt, this.drawn.size ? Date.now() : 0);
    const held = document.activeElement;
    const hadFocus = this.fields.contains(held);
    this.fresh = null; // a dialog that is new
    this.root.setAttribute("aria-label", view.label || "propkit");
    this.patch(this.fields, view.blocks || [], this.drawn);
    this.fields.disabled = Boolean(this.isStale || view.is_over);
    if (hadFocus && this.fresh) {
      (this.fresh.querySelector(".propkit-primary:enabled") || this.fresh.querySelector("button:enabled"))?.focus();
    } else if (hadFocus && (!this.fields.contains(document.activeElement) || document.activeElement.disabled)) {
      this.fields.querySelector(".propkit-danger:enabled, .propkit-primary:enabled, button:enabled")?.focus();
    }
  }

  // Bring the children of a node to what the blocks say; what has not changed is not touched, and
  // what stays is not moved: it would lose the focus, and a click that has begun on it.
  patch(parent, blocks, drawn) {
    const keys = nameAll(blocks, (block, index) => block.key || (block.action ? `do ${block.action}` : `${index}`));
    keep(drawn, keys);
    let next = parent.firstChild;
    blocks.forEach((block, index) => {
      const key = keys[index];
      const text = JSON.stringify(block);
      let entry = drawn.get(key);
      if (entry && entry.kind !== block.kind) {
        if (next === entry.node) next = next.nextSibling;
        entry.node.remove();
        entry = undefined;
      }
      if (!entry) {
        entry = { kind: block.kind, drawn: new Map(), node: null, text: null };
        entry.node = this[`make_${block.kind}`](block, entry);
        drawn.set(key, entry);
      }
      if (entry.text !== text) {
        entry.text = text;
        entry.block = block;
        this[`show_${block.kind}`](entry.node, block, entry);
      }
      if (entry.node === next) next = next.nextSibling;
      else parent.insertBefore(entry.node, next);
    });
  }

  send(block) {
    this.number = (this.number || 0) + 1;
    const { number } = this;
    this.unanswered.set(number, setTimeout(() => this.goAround(block, number), ANSWER_WITHIN));
    this.model.send({ type: "action", number, action: block.action, args: block.args || {}, form: this.form });
  }

  // The kernel is busy: what the server can do for it is done there.
  async goAround(block, number) {
    this.unanswered.delete(number);
    this.say("The kernel is busy with a cell; it answers when the cell ends.");
    if (!block.rest) return;
    try {
      const status = await askServer(block.rest);
      if (status < 300) this.say("The kernel is busy; Jupyter's server has passed it on.");
    } catch (error) {
      this.say(`The kernel is busy, and Jupyter's server does not answer: ${error.message}`);
    }
  }

  make_row() { return make("div", "propkit-row"); }
  show_row(node, block, entry) { this.patch(node, block.blocks, entry.drawn); }

  make_box() {
    const node = make("section", "propkit-box");
    node.append(make("h4"), make("div", "propkit-inside"));
    node.addEventListener("keydown", (event) => {
      const escape = node.dataset.escape;
      if (event.key !== "Escape" || !escape) return;
      event.stopPropagation();
      this.send({ action: escape });
    });
    return node;
  }

  show_box(node, block, entry) {
    node.className = `propkit-box propkit-tone-${block.tone || "grey"} ${block.css || ""}`;
    if (block.role) {
      if (!node.hasAttribute("role") && block.role === "dialog") this.fresh = node;
      node.setAttribute("role", block.role);
      node.setAttribute("aria-label", block.title);
    }
    if (block.escape) node.dataset.escape = block.escape;
    put(node.firstChild, "textContent", block.title || "");
    node.firstChild.hidden = !block.title;
    this.patch(node.lastChild, block.blocks, entry.drawn);
  }

  make_details() {
    const node = make("details", "propkit-details");
    node.append(make("summary"), make("div", "propkit-inside"));
    return node;
  }

  show_details(node, block, entry) {
    put(node.firstChild, "textContent", block.title);
    this.patch(node.lastChild, block.blocks, entry.drawn);
  }

  make_text() { return make("div"); }
  show_text(node, block) {
    node.className = `propkit-text propkit-tone-${block.tone || "plain"} ${block.look || ""} ${block.css || ""}`;
    if (block.is_live) node.setAttribute("role", "status");
    put(node, "textContent", block.text);
  }

  make_link() {
    const node = make("a", "propkit-link");
    node.target = "_blank";
    node.rel = "noopener noreferrer";
    return node;
  }

  show_link(node, block) {
    if (/^https?:\/\//.test(block.url)) node.href = block.url;
    else node.removeAttribute("href");
    put(node, "textContent", block.text);
  }

  make_button(block, entry) {
    const node = make("button");
    node.type = "button";
    node.addEventListener("click", () => this.send(entry.block));
    return node;
  }

  show_button(node, block) {
    node.className = `propkit-button propkit-${block.look || "plain"} ${block.css || ""}`;
    node.disabled = Boolean(block.is_disabled);
    node.title = block.title || "";
    node.setAttribute("aria-label", block.label_long || block.label);
    put(node, "textContent", block.label);
  }

  field(block, control) {
    const node = make("label", "propkit-field");
    node.append(make("span", "", block.label), control);
    return node;
  }

  make_input(block, entry) {
    const control = make("input");
    control.type = "search";
    control.addEventListener("input", () => { this.form[entry.block.name] = control.value; });
    control.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !entry.block.action) return;
      event.preventDefault();
      this.send(entry.block);
    });
    return this.field(block, control);
  }

  show_input(node, block) {
    const control = node.lastChild;
    control.placeholder = block.placeholder || "";
    control.className = block.css || "";
    put(control, "value", block.value);
    this.form[block.name] = block.value;
  }

  make_select(block, entry) {
    const control = make("select");
    control.addEventListener("change", () => {
      this.form[entry.block.name] = control.value;
      if (entry.block.action) this.send(entry.block);
    });
    return this.field(block, control);
  }

  show_select(node, block) {
    const control = node.lastChild;
    control.replaceChildren(...block.options.map(([value, text]) => {
      const option = make("option", "", text);
      option.value = value;
      return option;
    }));
    control.value = block.value;
    this.form[block.name] = block.value;
  }

  make_check(block, entry) {
    const node = make("label", "propkit-check");
    const control = make("input");
    control.type = "checkbox";
    control.addEventListener("change", () => {
      this.form[entry.block.name] = control.checked;
      if (entry.block.action) this.send(entry.block);
    });
    node.append(control, make("span", "", block.label));
    return node;
  }

  show_check(node, block) {
    node.title = block.title || "";
    node.firstChild.checked = block.value;
    this.form[block.name] = block.value;
  }

  make_notify() {
    const node = make("button", "propkit-button propkit-plain");
    node.type = "button";
    node.addEventListener("click", async () => {
      await window.Notification?.requestPermission();
      this.show_notify(node);
    });
    return node;
  }

  show_notify(node) {
    const state = window.Notification ? Notification.permission : "denied";
    const words = { granted: "You will be told", denied: "Telling you is not allowed here", default: "Tell me at the end" };
    node.disabled = state !== "default";
    node.title = "A notification of the browser when a batch of more than a minute ends";
    put(node, "textContent", words[state]);
  }

  make_bar() {
    const node = make("div", "propkit-bar");
    const line = make("div", "propkit-track");
    line.append(make("div", "propkit-fill"));
    line.setAttribute("role", "progressbar");
    line.setAttribute("aria-valuemin", "0");
    node.append(make("span", "propkit-bar-name"), line, make("span", "propkit-bar-word"), make("span", "propkit-bar-numbers"));
    return node;
  }

  show_bar(node, block) {
    const [name, line, word, numbers] = node.children;
    node.className = `propkit-bar propkit-tone-${block.tone} ${block.css || ""}`;
    const share = block.max ? Math.min(1, block.value / block.max) : 0;
    line.firstChild.style.width = `${(100 * share).toFixed(1)}%`;
    line.setAttribute("aria-valuemax", block.max);
    line.setAttribute("aria-valuenow", block.value);
    line.setAttribute("aria-label", `${block.label}: ${block.word}`);
    put(name, "textContent", block.label);
    put(name, "title", block.label);
    put(word, "textContent", block.word);
    put(numbers, "textContent", block.numbers);
  }

  make_facts() { return make("dl", "propkit-facts"); }
  show_facts(node, block) {
    node.replaceChildren(...block.facts.flatMap(([name, value]) => [make("dt", "", name), make("dd", "", value)]));
  }

  make_table() {
    const node = make("div", "propkit-scroll");
    node.tabIndex = 0;
    node.append(make("table"));
    return node;
  }

  // A row is known by its first cell, so that what a button does never changes under the pointer.
  show_table(node, block, entry) {
    const table = node.firstChild;
    node.setAttribute("aria-label", block.label);
    const columns = JSON.stringify([block.columns, block.numbers]);
    if (entry.columns !== columns) {
      entry.columns = columns;
      entry.lines = new Map();
      const head = make("tr");
      for (const column of block.columns) {
        const cell = make("th", "", column);
        cell.scope = "col";
        head.append(cell);
      }
      for (const place of block.numbers) head.children[place].className = "propkit-number";
      table.replaceChildren(make("thead"), make("tbody"));
      table.firstChild.append(head);
    }
    const body = table.lastChild;
    const keys = nameAll(block.rows, (row) => `${row[0]}`);
    keep(entry.lines, keys);
    let next = body.firstChild;
    block.rows.forEach((row, index) => {
      let line = entry.lines.get(keys[index]);
      if (!line) {
        line = { node: make("tr"), drawn: row.map(() => new Map()) };
        line.node.append(...row.map(() => make("td")));
        for (const place of block.numbers) line.node.children[place].className = "propkit-number";
        entry.lines.set(keys[index], line);
      }
      row.forEach((value, place) => this.fill(line.node.children[place], value, line.drawn[place]));
      if (line.node === next) next = next.nextSibling;
      else body.insertBefore(line.node, next);
    });
  }

  fill(cell, value, drawn) {
    if (value !== null && typeof value === "object") {
      if (!drawn.size) cell.replaceChildren();
      cell.className = "propkit-buttons";
      cell.title = "";
      this.patch(cell, [].concat(value), drawn);
      return;
    }
    drawn.clear();
    put(cell, "textContent", value ?? "");
    put(cell, "title", value ?? "");
    cell.classList.toggle("propkit-long", `${value ?? ""}`.length > LONG);
  }
}

export default {
  render({ model, el }) {
    const face = new Face(model, el);
    return () => face.end();
  },
};
