// The tab Timing: phases of the request, the strip chart, the figures under it.
// Knows a lane's phases, marks and status. Must not know: the kernel, how a mark is drawn.

/** A button that cannot submit anything. @param {string} name @param {string} text @param {() => void} act */
function pressable(name, text, act) {
  const button = element("button", `press snb-${name}`, text);
  button.type = "button";
  button.addEventListener("click", act);
  return button;
}

/** Milliseconds in a unit people read. @param {?number} ms */
function brief(ms) {
  return ms !== null && ms < 1000 ? `${digits(ms)} ms` : `${digits(ms && ms / 1000)} s`;
}

/**
 * Draws ten times a second while something lives and is on the page; call the result whenever it may live again.
 * @param {HTMLElement} el @param {() => boolean} lives @param {() => void} draw
 */
function ticking(el, lives, draw) {
  let timer = 0;
  const step = () => {
    timer = 0;
    if (!el.isConnected) return;
    if (!document.hidden) draw();
    if (lives()) timer = setTimeout(step, 100);
  };
  return () => {
    timer ||= setTimeout(step, 100);
  };
}

/** Figures with a label each. @param {[string, string, string][]} named name, label, meaning */
function figureRow(named) {
  const el = element("dl", "numbers");
  const values = new Map();
  for (const [name, label, meaning] of named) {
    const box = element("div", "number");
    box.title = meaning;
    values.set(name, element("dd", "amount", "\u2013"));
    box.append(element("dt", "name", label), values.get(name));
    el.append(box);
  }
  return { el, set: (/** @type {string} */ name, /** @type {string} */ text) => (values.get(name).textContent = text) };
}

/** The phases of the request as one bar with a legend. */
function buildPhases() {
  const el = element("div", "phases");
  const bar = element("div", "phasebar");
  bar.setAttribute("aria-hidden", "true");
  const list = element("ul", "legend");
  el.append(bar, list);
  let shown = "";
  return {
    el,
    /** @param {[string, number, string][]} phases */
    paint(phases) {
      el.hidden = !phases.length;
      if (shown === (shown = JSON.stringify(phases))) return;
      bar.replaceChildren();
      list.replaceChildren();
      phases.forEach(([name, seconds, meaning], i) => {
        const part = element("span", `part snb-hue${i % 6}`);
        part.style.flexGrow = String(Math.max(seconds, 1e-6));
        const item = element("li", `key snb-hue${i % 6}`);
        part.title = item.title = meaning;
        item.append(element("span", "name", name), element("span", "amount", brief(seconds * 1000)));
        bar.append(part);
        list.append(item);
      });
    },
  };
}

function buildTiming(store, lane) {
  const { id } = lane;
  const el = element("div", "timing");
  const phases = buildPhases();
  const holder = element("div", "chart");
  const numbers = figureRow([
    ["ttft", "TTFT", "first piece of text minus the moment the request was sent"],
    ["ttfa", "to answer", "first piece of the answer itself minus the moment the request was sent"],
    ["longest", "longest gap", "longest silence between two reads that carried text"],
    ["median", "median gap", "between reads that carried text; \u2248 where reads were merged on their way to the page"],
    ["reads", "reads", "socket reads that brought a piece of the body"],
    ["chars", "characters", "characters of text that arrived"],
  ]);
  el.append(phases.el, holder, numbers.el);
  const strip = drawStrip(holder, () => [store.lane(id)].filter(Boolean), store);
  let visible = false;
  const draw = () => {
    const now = store.lane(id);
    if (!visible || !now) return;
    const { st } = now;
    const seen = readMarks(now);
    const seconds = (/** @type {?number} */ s) => brief((s ?? null) && s * 1000);
    phases.paint(now.phases);
    strip.draw();
    numbers.set("ttft", seconds(st.ttft));
    numbers.set("ttfa", seconds(st.ttfa));
    numbers.set("longest", brief(seen.longest || null));
    numbers.set("median", (seen.merged && seen.median ? "\u2248 " : "") + brief(seen.median || null));
    numbers.set("reads", (st.chunks || 0).toLocaleString("en-US"));
    numbers.set("chars", (st.chars || 0).toLocaleString("en-US"));
  };
  const wake = ticking(el, () => visible && store.lane(id)?.live, draw);
  return {
    el,
    shown(/** @type {boolean} */ now) {
      visible = now;
      draw();
      wake();
    },
    part: wake,
    reset() {
      draw();
      wake();
    },
  };
}
