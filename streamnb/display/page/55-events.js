// The tab Events: the typed events of a lane as a list that scrolls, filtered by kind; a drawer with a frame's bytes.
// Knows the answers `rows` and `raw`. Must not know: how events are kept, what a kind means.

/** @typedef {[seq: number, ms: ?number, kind: string, text: string, name: ?string, chunk: number, coalesced: number]} EventRow */

const ROW_PX = 24;
const PAGE = 100; // rows of one question
const PAGES_KEPT = 60;
const ROWS_MOST = 650000; // what browsers allow an element in height
const ASKED_MS = 2000; // after that a question may be asked again
const COLUMNS = ["#", "time, s", "kind", "text", ""];

/** @param {?number} ms */
const exact = (ms) => (ms === null ? "\u2013" : (ms / 1000).toFixed(4));

/** Chips that switch kinds on and off. @param {() => void} changed */
function buildKinds(changed) {
  /** @type {Set<string>} */
  const off = new Set();
  /** @type {Map<string, {chip: HTMLElement, count: HTMLElement}>} */
  const chips = new Map();
  const turn = (/** @type {() => void} */ act) => {
    act();
    chips.forEach(({ chip }, kind) => chip.setAttribute("aria-pressed", String(!off.has(kind))));
    changed();
  };
  const all = buttonElement("all", { text: "all" }, () => turn(() => off.clear()));
  const none = buttonElement("all", { text: "none" }, () => turn(() => chips.forEach((_, kind) => off.add(kind))));
  const el = node("div", "kinds", { role: "group", "aria-label": "kinds of events to show" }, all, none);
  const add = (/** @type {string} */ kind) => {
    const chip = buttonElement("kind", { text: kind }, () => turn(() => off.delete(kind) || off.add(kind)));
    const count = element("span", "count");
    chip.dataset.kind = kind;
    chip.setAttribute("aria-pressed", "true");
    chip.prepend(element("span", "dot"));
    chip.append(count);
    all.before(chip);
    chips.set(kind, { chip, count });
  };
  return {
    el,
    /** The kinds to ask for; null: all. */
    wanted: () => (off.size ? [...chips.keys()].filter((kind) => !off.has(kind)) : null),
    /** Show how many there are of each; returns how many are to be shown. @param {Record<string, number>} kinds */
    count(kinds) {
      let total = 0;
      for (const [kind, n] of Object.entries(kinds)) {
        if (!chips.has(kind)) add(kind);
        setText(/** @type {HTMLElement} */ (chips.get(kind)?.count), counted(n));
        if (!off.has(kind)) total += n;
      }
      return total;
    },
  };
}

/** One row of the list, used for many events. @param {string} id */
function buildEventRow(id) {
  const cells = ["seq", "at", "kindname", "text", "shared"].map((name) => node("span", `cell snb-${name}`, { role: "gridcell" }));
  const el = node("div", "row", { id, role: "row" }, ...cells);
  let [at, row] = [-2, /** @type {?EventRow} */ (null)];
  return {
    el,
    paint(/** @type {number} */ i, /** @type {?EventRow} */ next, /** @type {boolean} */ chosen) {
      el.setAttribute("aria-selected", String(chosen));
      if (i === at && next === row) return;
      [at, row] = [i, next];
      el.hidden = i < 0;
      el.style.transform = `translateY(${i * ROW_PX}px)`;
      el.setAttribute("aria-rowindex", String(i + 2));
      const [seq, ms, kind, text, name, , coalesced] = next || ["", null, "", "\u00b7\u00b7\u00b7", "", 0, 0];
      el.dataset.kind = kind;
      const said = [name, text].filter(Boolean).join("  ");
      [seq, next && exact(ms), kind, said, coalesced ? "\u25cf" : ""].forEach((value, c) => setText(cells[c], String(value ?? "")));
      cells[4].title = coalesced ? "came in one read with other events" : "";
    },
  };
}

/** @param {Store} store @param {Lane} lane @returns {Tab} */
function buildEvents(store, lane) {
  const { id } = lane;
  const uid = `snb-events-${(counter.n += 1)}`;
  const titles = COLUMNS.map((name) => node("span", "cell", { role: "columnheader" }, name));
  const sizer = node("div", "sizer", { role: "rowgroup" });
  const head = node("div", "row snb-rowhead", { role: "row" }, ...titles);
  const list = node("div", "list", { tabindex: 0, role: "grid", "aria-label": "events", "aria-readonly": true }, head, sizer);
  const note = node("div", "quiet", { role: "status" });
  const jump = buttonElement("jump", { text: "\u2193 latest" }, () => {
    following = true;
    paint();
    list.focus();
  });
  /** @type {Map<number, {rows: EventRow[], of: number}>} of: how long the list was then */
  const pages = new Map();
  /** @type {ReturnType<typeof buildEventRow>[]} */
  const slots = [];
  let [total, at, filter, askedAt, opened, timer, top] = [0, -1, 0, -Infinity, -1, 0, 0];
  let [visible, following] = [false, lane.live];
  const kinds = buildKinds(() => {
    pages.clear();
    [at, filter, askedAt, list.scrollTop] = [-1, filter + 1, -Infinity, 0];
    refresh();
  });
  const title = element("span", "name");
  const raw = node("pre", "raw", { tabindex: 0 });
  const copy = buttonElement("copy", { icon: "copy", label: "Copy" }, () => copyFrom(copy, raw.textContent || ""));
  const bar = node("div", "drawerbar", {}, title, copy, buttonElement("close", { icon: "cross", label: "Close (Esc)" }, () => open(false)));
  const drawer = node("div", "drawer", { role: "region", "aria-label": "bytes of the frame" }, bar, raw);
  const split = node("div", "split", {}, list, note, jump, drawer);
  drawer.hidden = true;
  const el = node("div", "events", {}, kinds.el, split);

  const rowAt = (/** @type {number} */ i) => pages.get(Math.floor(i / PAGE))?.rows[i % PAGE] || null;
  /** How long the list is: where it follows its end, as far as its rows are here. */
  const length = () => {
    const here = following ? Math.max(...[...pages].map(([page, { rows }]) => page * PAGE + rows.length), 0) : 0;
    return here ? Math.min(here, total) : total;
  };
  const inSight = () => {
    const first = Math.floor(list.scrollTop / ROW_PX);
    return [first, Math.min(length(), first + Math.ceil(list.clientHeight / ROW_PX))];
  };
  const want = () => {
    if (!total || performance.now() - askedAt < ASKED_MS) return;
    const [first, last] = inSight();
    const near = [following ? total : first, first, last - 1, first - PAGE / 2, last + PAGE / 2].map((i) => Math.floor(between(0, i, total - 1) / PAGE));
    const page = near.find((p) => (pages.get(p)?.rows.length || 0) < PAGE && (pages.get(p)?.of || 0) < total);
    if (page === undefined) return;
    const [of, mine] = [total, filter];
    askedAt = performance.now();
    store.ask({ k: "rows", lane: id, from: page * PAGE, count: PAGE, kinds: kinds.wanted() }, (answer, why) => {
      setText(note, answer ? "" : why);
      askedAt += answer ? -Infinity : 4 * ASKED_MS; // what comes late comes here too
      if (!answer || mine !== filter) return;
      pages.set(answer.from / PAGE, { rows: answer.rows, of });
      if (pages.size > PAGES_KEPT) pages.delete([...pages.keys()][0]);
      paint();
    });
  };
  const paint = () => {
    if (!visible) return;
    sizer.style.height = `${Math.min(length(), ROWS_MOST) * ROW_PX}px`;
    if (following) list.scrollTop = list.scrollHeight;
    jump.hidden = following || !lane.live;
    list.setAttribute("aria-rowcount", String(total + 1));
    const [first, last] = inSight();
    const from = Math.max(0, first - 8);
    const to = Math.min(length(), last + 8);
    while (slots.length < to - from) sizer.append(slots[slots.push(buildEventRow(`${uid}-${slots.length}`)) - 1].el);
    slots.forEach((slot, s) => {
      const i = from + ((s - (from % slots.length) + slots.length) % slots.length); // a row keeps its slot while it is in sight
      slot.paint(i < to ? i : -1, rowAt(i), i === at);
      if (i === at && i < to) list.setAttribute("aria-activedescendant", slot.el.id);
    });
    showRaw();
    want();
  };
  const refresh = () => {
    timer = 0;
    total = kinds.count(lane.st.kinds || {});
    paint();
  };
  const showRaw = () => {
    const row = drawer.hidden ? null : rowAt(at);
    if (!row || row[0] === opened) return;
    opened = row[0];
    const name = `#${row[0]} \u00b7 ${row[2]} \u00b7 ${exact(row[1])} s`;
    store.ask({ k: "raw", lane: id, seq: opened }, (answer, why) => {
      if (answer && answer.seq !== opened) return;
      const size = answer?.n_bytes ? ` \u00b7 ${counted(answer.n_bytes)} bytes${answer.cut ? ", cut" : ""}` : "";
      setText(title, name + size);
      setText(raw, answer ? answer.text || "It has no frame of its own." : why);
    });
  };
  const open = (/** @type {boolean} */ now) => {
    drawer.hidden = !now;
    opened = -1;
    if (now) select(at); // the list is lower now: the row stays in sight
    else paint();
    if (!now) list.focus();
  };
  const select = (/** @type {number} */ i) => {
    at = between(0, i, total - 1);
    following = false;
    list.scrollTop = between((at + 2) * ROW_PX - list.clientHeight, list.scrollTop, at * ROW_PX);
    paint();
  };
  list.addEventListener("scroll", () => {
    const end = list.scrollHeight - list.scrollTop - list.clientHeight < FOLLOW_PX;
    if (end || list.scrollTop < top) following = end && lane.live;
    top = list.scrollTop;
    requestAnimationFrame(paint);
  });
  sizer.addEventListener("click", ({ target }) => {
    const i = slots.findIndex((slot) => slot.el.contains(/** @type {Node} */ (target)));
    if (i < 0) return;
    select(Number(slots[i].el.getAttribute("aria-rowindex")) - 2);
    open(true);
  });
  split.addEventListener("keydown", (event) => {
    const { key, target } = event;
    const page = Math.floor(list.clientHeight / ROW_PX) - 2;
    /** @type {Record<string, number>} */
    const moves = { ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page, Home: -total, End: total };
    if (key === "Escape" && !drawer.hidden) open(false);
    else if (target === list && total && Object.hasOwn(moves, key)) select((at < 0 ? inSight()[0] - Math.sign(moves[key]) : at) + moves[key]);
    else if (target === list && at >= 0 && (key === "Enter" || key === " ")) open(true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  new ResizeObserver(paint).observe(list);
  return {
    el,
    shown(now) {
      visible = now;
      if (now) refresh();
    },
    part() {
      timer ||= setTimeout(refresh, 200);
    },
    reset: refresh,
  };
}
