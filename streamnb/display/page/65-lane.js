// One lane whole: its header, its tabs, what went wrong, its last line. Only the tab that is shown is kept up to date.
// Knows which builder makes which tab. Must not know: other lanes.

/** @type {Record<string, {title: string, build: (store: Store, lane: Lane) => Tab}>} */
const TABS = {
  answer: { title: "Answer", build: buildAnswer },
  timing: { title: "Timing", build: buildTiming },
  events: { title: "Events", build: buildEvents },
  request: { title: "Request", build: buildRequest },
};

/**
 * A row of tabs, one of which is chosen, by click or arrow keys.
 * @param {string[]} names of TABS @param {(name: string) => void} chosen
 */
function buildTabBar(names, chosen) {
  const serial = (counter.n += 1);
  const tabs = names.map((name) => {
    const tab = element("button", "tab", TABS[name].title);
    tab.addEventListener("click", () => choose(name));
    return Object.assign(tab, { type: "button", id: `snb-tab-${serial}-${name}`, role: "tab" });
  });
  const el = Object.assign(element("div", "tabs", ...tabs), { role: "tablist" });
  const choose = (/** @type {string} */ name) => {
    tabs.forEach((tab, i) => {
      tab.tabIndex = names[i] === name ? 0 : -1;
      tab.ariaSelected = String(names[i] === name);
    });
    chosen(name);
  };
  el.addEventListener("keydown", (event) => {
    const at = tabs.findIndex((tab) => tab.tabIndex === 0);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const i = (to + tabs.length) % tabs.length;
    choose(names[i]);
    tabs[i].focus();
  });
  return { el, choose, tab: (/** @type {string} */ name) => tabs[names.indexOf(name)] };
}

/**
 * @param {Store} store @param {Lane} lane
 * @param {{compact?: boolean, tabs?: string[]}} [look] compact: a small header; tabs: names of TABS, others are ignored
 */
function buildLane(store, lane, { compact = false, tabs = ["answer"] } = {}) {
  const el = element("div", compact ? "lane snb-compact" : "lane");
  const head = buildHead(el, store, lane, { compact });
  const names = tabs.filter((name) => Object.hasOwn(TABS, name));
  const bar = element("div", "bar");
  const body = element("div", "body");
  const errors = Object.assign(element("div", "errors"), { role: "alert" });
  const offers = element("div", "offers");
  const foot = element("div", "foot");
  el.append(bar, body, offers, errors, foot);

  /** @type {Map<string, Tab>} as far as they were looked at */
  const built = new Map();
  let current = "";
  const copy = buttonElement("copyall", { icon: "copy", text: "Copy", label: "copy the answer" }, () => {
    copyFrom(copy, /** @type {ReturnType<typeof buildAnswer>} */ (built.get("answer")).text());
  });
  const show = (/** @type {string} */ name) => {
    if (name === current) return;
    const before = built.get(current);
    const height = body.offsetHeight;
    if (before) before.el.hidden = true;
    before?.shown(false);
    current = name;
    let tab = built.get(name);
    if (!tab) {
      built.set(name, (tab = TABS[name].build(store, lane)));
      body.append(tab.el);
      if (names.length > 1) {
        tab.el.role = "tabpanel";
        tab.el.setAttribute("aria-labelledby", tabBar.tab(name).id);
      }
    }
    tab.el.hidden = false;
    body.style.minHeight = name === "answer" ? "" : `min(${height}px, var(--snb-height))`; // what is below stays there
    tab.shown(true);
    paint();
  };
  let request = 0;
  const paint = () => {
    request = 0;
    head.paint();
    const { e, out, note, st, doc, live, choices } = lane;
    if (count) setText(count, total(st).toLocaleString("en-US"));
    copy.hidden = current !== "answer" || !doc.length || (compact && live);
    offers.hidden = !choices.length || store.state.layout === "chat"; // there they can be pressed
    setText(offers, `choices: ${choices.map(({ label }) => label).join(" \u00b7 ")}`);
    errors.hidden = !e.length;
    if (errors.textContent !== e.join("")) errors.replaceChildren(...e.map((line) => element("div", "error", line)));
    setText(
      foot,
      [store.stopping(lane.id) && store.hint, out ? out.line : "", compact ? "" : note]
        .filter(Boolean)
        .join(" \u00b7 "),
    );
    foot.hidden = !foot.textContent;
  };
  const total = (/** @type {Status} */ { kinds }) => Object.values(kinds || {}).reduce((sum, n) => sum + n, 0);
  const soon = () => (request ||= requestAnimationFrame(paint));
  const tabBar = buildTabBar(names, show);
  const count = names.includes("events") && names.length > 1 ? element("span", "badge") : null;
  if (count) tabBar.tab("events").append(" ", count);
  bar.append(tabBar.el);
  bar.hidden = names.length < 2;
  (bar.hidden ? body : bar).append(copy);
  if (names.length) tabBar.choose(names[0]);
  return {
    el,
    tick: head.tick,
    status: soon,
    reset() {
      built.get(current)?.reset();
      soon();
    },
    /** @param {Part} part */
    part(part) {
      built.get(current)?.part(part);
      soon();
    },
  };
}
