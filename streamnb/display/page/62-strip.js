// The strip chart: one mark per read on an axis that begins when the request was sent, the silence before it as height.
// Knows marks and clocks of lanes. Must not know: the kernel, what a tab is.

/**
 * @typedef {{t: number, span: number, gap: number, chars: number, reads: number, kind: number, seq: number,
 *   sum: number}} Mark t (since the lane began), span, gap in ms; sum: characters so far
 * @typedef {{list: Mark[], at: number, t: number, sum: number, longest: number, median: number, merged: boolean}} Seen
 */

const MARKS_KEPT = 2000;
/** What was read of an array of marks so far. @type {WeakMap<number[], Seen>} */
const MARKS_SEEN = new WeakMap();

/** Marks nearer to each other than a pixel become one, with the longest silence of them. @param {Mark[]} list */
function thinned(list) {
  const width = ((list[list.length - 1].t - list[0].t) * 2) / MARKS_KEPT;
  /** @type {Mark[]} */
  const out = [];
  let from = -Infinity;
  for (const mark of list) {
    if (mark.t - from >= width) {
      from = mark.t;
      out.push(mark);
      continue;
    }
    const to = out[out.length - 1];
    const longer = mark.gap > to.gap ? { t: mark.t, gap: mark.gap } : {};
    const { span, chars, reads, kind, seq, sum } = mark;
    Object.assign(to, longer, { seq, sum, span: to.span + span, chars: to.chars + chars, reads: to.reads + reads, kind: to.kind | kind });
  }
  return out;
}

/** The middle silence; where reads were merged, their mean stands for each. @param {Mark[]} list */
function medianGap(list) {
  const gaps = list.filter((m) => m.gap).map((m) => (m.reads > 1 ? [Math.min(m.gap, m.span / m.reads), m.reads] : [m.gap, 1]));
  gaps.sort((a, b) => a[0] - b[0]);
  let left = gaps.reduce((n, [, weight]) => n + weight, 0) / 2;
  return gaps.find(([, weight]) => (left -= weight) <= 0)?.[0] || 0;
}

/** The marks of a lane, at most 2000 of them. @returns {Seen} */
function readMarks({ marks }) {
  const seen = MARKS_SEEN.get(marks) || { list: [], at: 0, t: 0, sum: 0, longest: 0, median: 0, merged: false };
  MARKS_SEEN.set(marks, seen);
  if (seen.at === marks.length) return seen;
  for (; seen.at < marks.length; seen.at += 6) {
    const [dt, gap, chars, reads, kind, seq] = marks.slice(seen.at, seen.at + 6);
    seen.t += dt / 10;
    seen.sum += chars;
    seen.longest = Math.max(seen.longest, gap / 10);
    seen.merged ||= reads > 1;
    seen.list.push({ t: seen.t, span: dt / 10, gap: gap / 10, chars, reads, kind, seq, sum: seen.sum });
    if (seen.list.length > MARKS_KEPT) seen.list = thinned(seen.list);
  }
  seen.median = medianGap(seen.list);
  return seen;
}

/** The least of 1, 2, 5, 10, ... that is not below. @param {number} least */
function niceStep(least) {
  const ten = 10 ** Math.floor(Math.log10(least));
  return ten * ([1, 2, 5].find((n) => n * ten >= least * 0.999) || 10);
}

/** Height of a silence, 0..1. @param {number} gap @param {number} most ms */
const gapHeight = (gap, most) => Math.log1p(gap) / Math.log1p(most);

/** @param {number} ms */
function axisTime(ms) {
  if (ms < 120000) return ms ? `${+(ms / 1000).toFixed(3)} s` : "0";
  return `${Math.floor(ms / 60000)}:${String(Math.round(ms / 1000) % 60).padStart(2, "0")}`;
}

const STRIP_WORDS = { text: "answer", thought: "reasoning", burst: "several events in one read", stall: "stall" };

/** A, B, ... for the lanes of a race. @param {number} i */
const laneLetter = (i) => String.fromCharCode(65 + (i % 26));

/** @param {string} tag @param {string} name */
function shape(tag, name) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  node.setAttribute("class", `snb-${name}`);
  return node;
}

/** What a mark says when one points at it. @param {Mark} mark @param {number} t0 */
function markWords({ t, gap, chars, reads, kind, seq }, t0) {
  return [
    `${((t - t0) / 1000).toFixed(4)} s`,
    gap ? `${brief(gap)} of silence before` : "",
    chars ? `${chars.toLocaleString("en-US")} characters${kind & 1 ? "" : " of reasoning"}` : "no text",
    reads > 1 ? `${reads.toLocaleString("en-US")} reads merged` : "",
    kind & 4 ? "several events in one read" : "",
    `#${seq}`,
  ].filter(Boolean).join(" \u00b7 ");
}

/** One lane of the chart. @param {number} i @param {boolean} race */
function buildRow(i, race) {
  const el = shape("g", race ? `row snb-hue${i % 6}` : "row");
  const layers = ["stall", "sum", "quiet", "thought", "text", "burst", "first", "now"];
  const paths = layers.map((name) => shape("path", `mark snb-${name}`));
  el.append(...paths);
  return {
    el,
    /**
     * @param {Seen} seen
     * @param {{x(t: number): number, top: number, floor: number, most: number, first: number[], now: ?number, end: number,
     *   quiet: boolean}} at times since the lane began, ms
     * @returns {{x: number, text: string}[]} lengths of the stalls there is room for
     */
    paint(seen, { x, top, floor, most, first, now, end, quiet }) {
      const [stall, sum, none, thought, text, burst] = layers.map(() => /** @type {string[]} */ ([]));
      const labels = [];
      const shade = (/** @type {number} */ from, /** @type {number} */ to) => {
        stall.push(`M${x(from)} ${top}H${x(to)}V${floor}H${x(from)}z`);
        if (x(to) - x(from) > 44) labels.push({ x: (x(from) + x(to)) / 2, text: brief(to - from) });
      };
      const stalled = Math.max(1000, 5 * seen.median); // as the table `stalls` has it
      let spot = -9;
      let last = NaN;
      for (const mark of seen.list) {
        const at = x(mark.t);
        const up = Math.round(Math.max(4, (floor - top) * gapHeight(mark.gap, most)));
        if (mark.gap > stalled) shade(mark.t - mark.gap, mark.t);
        if (mark.kind & 3) (mark.kind & 1 ? text : thought).push(`M${at} ${floor}v${-up}`);
        else none.push(`M${at} ${floor + 1}v4`);
        if (mark.kind & 4 && at - spot > 4) burst.push(`M${(spot = at)} ${floor - up}h0`);
        if (at !== last || mark.sum === seen.sum) sum.push(`H${at}V${Math.round(floor - ((floor - top) * mark.sum) / (seen.sum || 1))}`);
        last = at;
      }
      const after = seen.list.findLast((mark) => mark.kind & 3);
      if (after && quiet && now !== null) shade(after.t, now);
      if (sum.length) sum.unshift(`M${x(seen.list[0].t)} ${floor}`);
      if (sum.length) sum.push(`H${x(now ?? end)}`);
      const lines = [first.map((t) => `M${x(t)} ${top - 4}V${floor}`), now === null ? [] : [`M${x(now)} ${top}V${floor}`]];
      [stall, sum, none, thought, text, burst, ...lines].forEach((d, i) => paths[i].setAttribute("d", d.join("")));
      return labels;
    },
  };
}

/**
 * A chart of one lane, or of several on one axis.
 * @param {HTMLElement} holder @param {() => Lane[]} pick @param {Store} store @param {boolean} [race]
 */
function drawStrip(holder, pick, store, race = false) {
  const [left, right, tall, apart] = race ? [28, 64, 40, 14] : [50, 64, 128, 20];
  const caption = element("div", "caption");
  caption.append(element("span", "name", race ? "reads since each request was sent" : "silence before each read"), element("span", "name", "characters"));
  const plot = element("div", "plot");
  plot.tabIndex = 0;
  plot.setAttribute("role", "slider");
  plot.setAttribute("aria-label", "reads");
  const svg = shape("svg", "strip");
  svg.setAttribute("aria-hidden", "true");
  const [grid, body, words, cursor] = [shape("path", "grid"), shape("g", "rows"), shape("g", "words"), shape("path", "cursor")];
  svg.append(grid, body, words, cursor);
  plot.append(svg);
  const foot = element("div", "readout");
  const legend = element("div", "legend");
  for (const name of ["text", "thought", "burst", "stall"]) legend.append(element("span", `key snb-sign snb-${name}`, STRIP_WORDS[name]));
  const readout = element("div", "said");
  foot.append(legend, readout);
  holder.append(caption, plot, foot);

  /** @type {ReturnType<typeof buildRow>[]} */
  const rows = [];
  /** @type {?{row: number, t: number}} */
  let pointed = null;
  /** @type {{x(t: number): number, seen: Seen, t0: number, top: number, floor: number, t(px: number): number}[]} */
  let drawn = [];

  const point = () => {
    const at = pointed && drawn[Math.min(pointed.row, drawn.length - 1)];
    const list = at ? at.seen.list : [];
    const next = list.findIndex((mark) => mark.t >= pointed.t);
    const before = next < 0 ? list.length - 1 : Math.max(0, next - 1);
    const i = next >= 0 && list[next].t - pointed.t <= pointed.t - list[before].t ? next : before;
    legend.hidden = Boolean(list.length);
    cursor.setAttribute("d", list.length ? `M${at.x(list[i].t)} ${at.top - 4}V${at.floor + 5}` : "");
    readout.textContent = list.length ? markWords(list[i], at.t0) : "";
    if (!list.length) return;
    plot.setAttribute("aria-valuemax", String(list.length));
    plot.setAttribute("aria-valuenow", String(i + 1));
    plot.setAttribute("aria-valuetext", readout.textContent);
    return i;
  };
  const draw = () => {
    const lanes = pick();
    const width = plot.clientWidth;
    if (!width || !lanes.length) return;
    while (rows.length > lanes.length) rows.pop()?.el.remove();
    while (rows.length < lanes.length) body.append(rows[rows.push(buildRow(rows.length, race)) - 1].el);
    const all = lanes.map((lane) => {
      const seen = readMarks(lane);
      const now = lane.live ? store.elapsed(lane) : null;
      return { lane, seen, t0: lane.st.t0_ms ?? 0, now, end: now ?? Math.max(lane.st.ms, seen.t) };
    });
    const room = width - left - right;
    const span = Math.max(200, ...all.map(({ end, t0 }) => end - t0));
    const step = niceStep(span / Math.max(2, Math.min(8, Math.floor(room / 64))));
    const axis = Math.ceil(span / step) * step;
    const most = niceStep(Math.max(100, ...all.map(({ seen }) => seen.longest)));
    const deep = lanes.length * (tall + apart);
    svg.setAttribute("width", String(width));
    svg.setAttribute("height", String(deep + 26));
    /** @type {{x: number, y: number, text: string, name: string}[]} */
    const texts = [];
    const lines = [];
    const put = (/** @type {number} */ x, /** @type {number} */ y, /** @type {string} */ text, name = "middle") => texts.push({ x, y, text, name });
    for (let t = 0; t <= axis + step / 2; t += step) {
      const x = Math.round(left + (room * t) / axis) + 0.5;
      lines.push(`M${x} ${apart}V${deep + 5}`);
      put(x, deep + 20, axisTime(t));
    }
    drawn = all.map(({ lane, seen, t0, now, end }, i) => {
      const top = i * (tall + apart) + apart;
      const floor = top + tall;
      const x = (/** @type {number} */ t) => Math.round(left + (room * Math.max(0, t - t0)) / axis) + 0.5;
      const { st } = lane;
      const first = [...new Set([st.ttft, st.ttfa])].filter((s) => Number.isFinite(s)).map((s) => t0 + s * 1000);
      const stalls = rows[i].paint(seen, { x, top, floor, most, first, now, end, quiet: st.phase === "stalled" });
      lines.push(`M${left} ${floor + 0.5}H${left + room}`);
      for (const { x: at, text } of stalls) put(at, top + 12, text, "middle snb-stalled");
      if (seen.sum) put(left + room + 8, top + 5, seen.sum.toLocaleString("en-US"), "start");
      if (race) put(left - 10, floor - tall / 2 + 4, laneLetter(i), `end snb-letter snb-hue${i % 6}`);
      else first.forEach((t, n) => (!n || x(t) - x(first[0]) > 110) && put(x(t), 11, `${n ? "answer" : "TTFT"} ${brief(t - t0)}`, x(t) > width - 120 ? "end" : "start"));
      for (let gap = 10; !race && gap <= most; gap *= 10) put(left - 8, floor - tall * gapHeight(gap, most) + 4, brief(gap), "end");
      return { x, seen, t0, top, floor, t: (/** @type {number} */ px) => t0 + ((px - left) / room) * axis };
    });
    grid.setAttribute("d", lines.join(""));
    while (words.childNodes.length > texts.length) words.lastChild?.remove();
    texts.forEach(({ x, y, text, name }, i) => {
      const node = words.childNodes[i] || words.appendChild(shape("text", ""));
      node.setAttribute("class", `snb-${name}`);
      node.setAttribute("x", String(x));
      node.setAttribute("y", String(y));
      if (node.textContent !== text) node.textContent = text;
    });
    point();
  };
  const aim = (/** @type {?{row: number, t: number}} */ to) => {
    pointed = to;
    point();
  };
  plot.addEventListener("pointermove", (event) => {
    if (!drawn.length) return;
    const box = svg.getBoundingClientRect();
    const row = Math.max(0, Math.min(drawn.length - 1, Math.floor((event.clientY - box.top) / (tall + apart))));
    aim({ row, t: drawn[row].t(event.clientX - box.left) });
  });
  plot.addEventListener("pointerleave", () => aim(null));
  plot.addEventListener("blur", () => aim(null));
  plot.addEventListener("focus", () => plot.matches(":focus-visible") && aim({ row: 0, t: Infinity }));
  plot.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -1e9, End: 1e9 }[event.key];
    const turn = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if ((!move && !turn) || !drawn.length) return;
    event.preventDefault();
    event.stopPropagation();
    pointed ||= { row: 0, t: Infinity };
    const row = Math.max(0, Math.min(drawn.length - 1, pointed.row + (turn || 0)));
    const { list } = drawn[row].seen;
    const i = (point() ?? 0) + (move || 0);
    aim({ row, t: turn ? pointed.t : (list[Math.max(0, Math.min(list.length - 1, i))]?.t ?? 0) });
  });
  new ResizeObserver(draw).observe(plot);
  return { draw };
}
