// The tab Timing: phases of the request, the strip chart, the figures under it.
// Knows a lane's phases, marks and status. Must not know: the kernel, how a mark is drawn.

/**
 * An element with attributes and what is in it.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {string} name @param {Record<string, any>} [attributes] @param {(Node|string)[]} inside
 */
function node(tag, name, attributes = {}, ...inside) {
  const el = element(tag, name);
  for (const [key, value] of Object.entries(attributes)) el.setAttribute(key, value);
  el.append(...inside);
  return el;
}

/** A duration as people read it, by the rule of figures.py: `152 ms` below a second, else `1.43 s`. @param {number} ms */
const brief = (ms) => (ms < 999.5 ? `${digits(ms)} ms` : digits(Math.max(1, ms / 1000)) + (ms ? " s" : ""));

/** The same from seconds; a dash alone where there are none. @param {?number|undefined} s */
const duration = (s) => brief(1000 * (s ?? NaN));

/** A phase has its colour also where others did not happen. */
const REQUEST_PHASES = ["DNS", "connect", "TLS", "request", "headers", "first byte"];

/** @param {number} n */
const counted = (n) => (n || 0).toLocaleString("en-US");

/** @param {number} n */
const rough = (n) => (n < 1e5 ? counted(n) : n.toLocaleString("en-US", { notation: "compact", maximumSignificantDigits: 3 }));

/**
 * Draw ten times a second while something lives and is on the page; call the result whenever it may live again.
 * @param {Element} el @param {() => boolean} lives @param {() => void} draw
 */
function ticking(el, lives, draw) {
  let timer = 0;
  const step = () => {
    timer = 0;
    if (!el.isConnected) return;
    if (!document.hidden) draw();
    if (lives() || document.hidden) wake();
  };
  const wake = () => {
    timer ||= setTimeout(step, 100);
  };
  return wake;
}

/** The phases of the request as one bar with a legend. */
function buildPhases() {
  const bar = node("div", "phasebar", { "aria-hidden": true });
  const list = node("ul", "keys", { "aria-label": "phases of the request" });
  const el = node("div", "phases", {}, bar, list);
  let shown = "";
  return {
    el,
    paint(/** @type {Phase[]} */ phases) {
      el.hidden = !phases.length;
      if (shown === (shown = JSON.stringify(phases))) return;
      bar.replaceChildren();
      list.replaceChildren();
      phases.forEach(([name, seconds, title]) => {
        const i = Math.max(0, REQUEST_PHASES.indexOf(name));
        const part = node("span", `part snb-hue${i}`, { title });
        part.style.flexGrow = String(1000 * seconds + 0.01);
        bar.append(part);
        list.append(node("li", `key snb-hue${i}`, { title }, `${name} `, element("b", "amount", brief(seconds * 1000))));
      });
    },
  };
}

/** Label, meaning and text of the figures under the chart. @type {[string, string, (lane: Lane, seen: Seen) => string][]} */
const NUMBERS = [
  ["TTFT", "first piece of text minus the moment the request was sent", ({ st }) => duration(st.ttft)],
  ["to answer", "first piece of the answer itself minus the moment the request was sent", ({ st }) => duration(st.ttfa)],
  ["longest gap", "longest silence between two reads that carried text", (_, { longest }) => brief(longest || NaN)],
  ["median gap", "between reads that carried text; \u2248 where reads were merged on their way here",
    (_, { median, merged }) => (merged && median ? "\u2248 " : "") + brief(median || NaN)],
  ["reads", "socket reads that brought a piece of the body", ({ st }) => counted(st.chunks)],
  ["characters", "characters of streamed text", ({ st }) => counted(st.chars)],
];

/** @param {Store} store @param {Lane} lane @returns {Tab} */
function buildTiming(store, lane) {
  const phases = buildPhases();
  const holder = element("div", "chart");
  const amounts = NUMBERS.map(() => element("dd", "amount"));
  const boxes = NUMBERS.map(([label, title], i) => node("div", "number", { title }, element("dt", "name", label), amounts[i]));
  const el = node("div", "timing", {}, phases.el, holder, node("dl", "numbers", {}, ...boxes));
  const strip = drawStrip(holder, () => [lane], store);
  let visible = false;
  const draw = () => {
    if (!visible) return;
    phases.paint(lane.phases);
    const seen = readMarks(lane);
    holder.hidden = !lane.live && !seen.sum; // no text came: there is nothing to draw
    strip.draw();
    NUMBERS.forEach(([, , say], i) => setText(amounts[i], say(lane, seen)));
  };
  const wake = ticking(el, () => visible && lane.live, draw);
  return {
    el,
    shown(now) {
      visible = now;
      draw();
      wake();
    },
    part: wake,
    reset: draw,
  };
}
