// The strip chart: one mark per read on an axis that begins when the request was sent, as high as the silence before it.
// Knows marks and clocks of lanes. Must not know: the kernel, what a tab is.

/**
 * One read, or several: t (since the lane began), span (since the mark before) and gap in ms; sum: characters so far.
 * @typedef {{t: number, span: number, gap: number, chars: number, reads: number, kind: number, seq: number, sum: number}} Mark
 * @typedef {{list: Mark[], at: number, t: number, sum: number, longest: number, median: number, pace: number,
 *   merged: boolean}} Seen at: how far the marks were read; pace: the median but for the longest silence
 * @typedef {{seen: Seen, t0: number, end: number, top: number, floor: number, x(t: number): number, t(px: number): number}} Row
 */

const MARKS_KEPT = 2000;
const LAYERS = ["stall", "none", "thought", "text", "sum", "burst", "first", "now"];
const SIGNS = { text: "answer", thought: "reasoning", burst: "several events in one read", stall: "stall" };
/** @type {WeakMap<number[], Seen>} */
const MARKS_SEEN = new WeakMap();

/** Marks nearer to each other than a pixel become one, at the longest silence of them. @param {Mark[]} list */
function thinned(list) {
  const width = (2 * (list[list.length - 1].t - list[0].t)) / MARKS_KEPT;
  let [from, last] = [-Infinity, list[0]];
  return list.filter((mark) => {
    const apart = mark.t - from >= width;
    if (apart) [from, last] = [mark.t, mark];
    else {
      const { t, gap, span, chars, reads, kind, seq, sum } = last;
      const longer = mark.gap > gap ? mark : { t, gap };
      Object.assign(last, { t: longer.t, gap: longer.gap, seq: mark.seq, sum: mark.sum, kind: kind | mark.kind });
      Object.assign(last, { span: span + mark.span, chars: chars + mark.chars, reads: reads + mark.reads });
    }
    return apart;
  });
}

/** The middle silence; where reads were merged, their mean stands for each. @param {Mark[]} list */
function medianGap(list) {
  const gaps = list.filter(({ gap }) => gap).map(({ gap, span, reads }) => ({ gap: Math.min(gap, span / reads || gap), reads }));
  let left = gaps.reduce((sum, { reads }) => sum + reads, 0) / 2;
  return gaps.sort((a, b) => a.gap - b.gap).find(({ reads }) => (left -= reads) <= 0)?.gap || 0;
}

/** The marks of a lane, at most 2000. @param {Lane} lane */
function readMarks({ marks }) {
  const seen = MARKS_SEEN.get(marks) || { list: [], at: 0, t: 0, sum: 0, longest: 0, median: 0, pace: 0, merged: false };
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
  seen.pace = medianGap(seen.list.filter(({ gap }) => gap < seen.longest));
  return seen;
}

/** The least of 1, 2, 5, 10, ... that is not below: an end that grows by it stays for a while. @param {number} least */
function niceStep(least) {
  const ten = 10 ** Math.floor(Math.log10(least));
  return ten * ([1, 2, 5].find((n) => n * ten >= least * 0.999) || 10);
}

/** Height of a silence, 0..1, as strip.py has it. @param {number} gap @param {number} most ms */
const gapHeight = (gap, most) => Math.min(1, Math.log1p(gap) / Math.log1p(most));

/** A round time: `20 ms`, `1.5 s`, `2:30`. @param {number} ms */
function tickTime(ms) {
  if (ms < 1000) return ms ? `${+ms.toFixed(3)} ms` : "0";
  if (ms < 120000) return `${+(ms / 1000).toFixed(3)} s`;
  return `${Math.floor(ms / 60000)}:${String(Math.round(ms / 1000) % 60).padStart(2, "0")}`;
}

/** A, B, ... for the lanes of a race. @param {number} i */
const laneLetter = (i) => String.fromCharCode(65 + (i % 26));

/** @param {number} low @param {number} value @param {number} high */
const between = (low, value, high) => Math.max(low, Math.min(high, value));

/** @param {string} tag @param {string} name @param {Element[]} inside */
function shape(tag, name, ...inside) {
  const el = document.createElementNS("http://www.w3.org/2000/svg", tag);
  el.setAttribute("class", `snb-${name}`);
  el.append(...inside);
  return el;
}

/** What a mark says when one points at it. @param {Mark} mark @param {number} t0 */
function markWords({ t, gap, chars, reads, kind, seq }, t0) {
  return [
    `${((t - t0) / 1000).toFixed(4)} s`,
    gap && `${brief(gap)} of silence before`,
    kind & 3 ? `${counted(chars)} characters${kind & 1 ? "" : " of reasoning"}` : "no text",
    reads > 1 && `${counted(reads)} reads merged`,
    kind & 4 && SIGNS.burst,
    `chunk ${seq}`,
  ].filter(Boolean).join(" \u00b7 ");
}

/** The paths of one lane by layer, and its stalls. @param {Row} row @param {number} most ms @param {number} full characters @param {boolean} quiet */
function markPaths({ seen, top, floor, x, end }, most, full, quiet) {
  /** @type {Record<string, string[]>} */
  const d = Object.fromEntries(LAYERS.map((layer) => [layer, []]));
  const stalled = Math.max(1000, 5 * seen.pace); // as the table `stalls` has it
  /** @type {[number, number][]} */
  const stalls = [];
  let [spot, last] = [-9, -9];
  for (const { t, gap, kind, sum } of seen.list) {
    const at = x(t);
    const peak = Math.round(floor - Math.max(4, (floor - top) * gapHeight(gap, most)));
    if (gap > stalled) stalls.push([t - gap, t]);
    d[kind & 1 ? "text" : kind & 2 ? "thought" : "none"].push(kind & 3 ? `M${at} ${floor}V${peak}` : `M${at} ${floor + 1}v4`);
    if (kind & 4 && at - spot > 7) d.burst.push(`M${(spot = at)} ${peak}h0`);
    if (at !== last || sum === seen.sum) d.sum.push(`${d.sum.length ? "H" : `M${at} ${floor}H`}${at}V${Math.round(floor - ((floor - top) * sum) / full)}`);
    last = at;
  }
  const after = seen.list.findLast(({ kind }) => kind & 3);
  if (after) d.sum.push(`H${x(end)}`);
  if (after && quiet) stalls.push([after.t, end]);
  d.stall = stalls.map(([from, to]) => `M${x(from)} ${top}H${x(to)}V${floor}H${x(from)}z`);
  return { d, stalls };
}

/**
 * A chart of one lane, or of several below each other on one axis.
 * @param {HTMLElement} holder @param {() => Lane[]} pick @param {Store} store @param {boolean} [race]
 */
function drawStrip(holder, pick, store, race = false) {
  const [left, right, tall, apart] = race ? [28, 52, 40, 14] : [50, 52, 128, 20];
  const [grid, cursor, body, words] = [shape("path", "grid"), shape("path", "cursor"), shape("g", "rows"), shape("g", "words")];
  const svg = shape("svg", "strip", grid, body, words, cursor);
  const plot = node("div", "plot", { tabindex: 0, role: "slider", "aria-label": "reads", "aria-valuemin": 0 }, svg);
  const legend = node("div", "keys", {}, ...Object.entries(SIGNS).map(([name, word]) => element("span", `key snb-is${name}`, word)));
  const said = element("div", "said");
  const caption = node("div", "caption", {}, element("span", "name", "silence before each read"), element("span", "name", "characters"));
  holder.append(caption, plot, node("div", "readout", {}, legend, said));
  svg.setAttribute("aria-hidden", "true");
  /** What the pointer or the keys are at, whatever the marks become. @type {?{i: number, t: number}} */
  let aimed = null;
  /** @type {Row[]} */
  let rows = [];

  /** Show the mark nearest to what is aimed at; returns its place in the list. */
  const point = () => {
    const row = aimed && rows[aimed.i];
    const list = row ? row.seen.list : [];
    const t = aimed ? aimed.t : 0;
    let at = list.findIndex((mark) => mark.t >= t);
    if (at < 0) at = list.length - 1;
    else if (at && t - list[at - 1].t < list[at].t - t) at -= 1;
    const words = row && list.length ? markWords(list[at], row.t0) : "";
    legend.hidden = Boolean(words);
    setText(said, race && aimed && words ? `${laneLetter(aimed.i)} \u00b7 ${words}` : words);
    cursor.setAttribute("d", row && words ? `M${row.x(list[at].t)} ${row.top - 4}V${row.floor + 5}` : "");
    for (const [key, value] of Object.entries({ max: (row || rows[0])?.seen.list.length ?? 0, now: at + 1, text: said.textContent })) plot.setAttribute(`aria-value${key}`, String(value));
    return at;
  };
  const draw = () => {
    const lanes = pick();
    const width = plot.clientWidth;
    if (!width || !lanes.length) return;
    const room = width - left - right;
    const all = lanes.map((lane) => {
      const seen = readMarks(lane);
      return { seen, t0: lane.st.t0_ms ?? 0, end: Math.max(store.elapsed(lane), seen.t) };
    });
    const span = Math.max(200, ...all.map(({ end, t0 }) => end - t0));
    const step = niceStep(span / between(2, Math.floor(room / 64), 8));
    const axis = Math.ceil(span / step) * step;
    const most = niceStep(Math.max(100, ...all.map(({ seen }) => seen.longest)));
    const full = niceStep(Math.max(10, ...all.map(({ seen }) => seen.sum)));
    const deep = lanes.length * (tall + apart);
    let [lines, n] = ["", 0];
    const put = (/** @type {number} */ x, /** @type {number} */ y, /** @type {string} */ text, name = "middle") => {
      const label = words.children[n] || words.appendChild(shape("text", ""));
      n += 1;
      for (const [key, value] of Object.entries({ x, y, class: `snb-${name}` })) label.setAttribute(key, String(value));
      setText(label, text);
    };
    for (let t = 0; t < axis + step / 2; t += step) {
      const x = Math.round(left + (room * t) / axis) + 0.5;
      lines += `M${x} ${apart}V${deep + 5}`;
      put(x, deep + 18, tickTime(t));
    }
    for (let gap = 10; !race && gap <= most; gap *= 10) put(left - 8, deep - tall * gapHeight(gap, most) + 4, tickTime(gap), "end");
    rows = all.map(({ seen, t0, end }, i) => {
      const { st, live } = lanes[i];
      const floor = (i + 1) * (tall + apart);
      const x = (/** @type {number} */ t) => Math.round(left + (room * Math.max(0, t - t0)) / axis) + 0.5;
      const row = { seen, t0, end, floor, top: floor - tall, x, t: (/** @type {number} */ px) => t0 + ((px - left) / room) * axis };
      const { d, stalls } = markPaths(row, most, full, st.phase === "stalled");
      const first = [...new Set([st.ttft, st.ttfa])].flatMap((s) => (Number.isFinite(s ?? NaN) ? x(t0 + 1000 * Number(s)) : []));
      d.first = first.map((at) => `M${at} ${row.top - 4}V${floor}`);
      if (live) d.now.push(`M${x(end)} ${row.top}V${floor}`);
      const made = () => shape("g", race ? `lanerow snb-hue${i % 6}` : "alone", ...LAYERS.map((layer) => shape("path", `mark snb-is${layer}`)));
      const group = body.children[i] || body.appendChild(made());
      LAYERS.forEach((layer, k) => group.children[k].setAttribute("d", d[layer].join("")));
      lines += `M${left} ${floor + 0.5}H${left + room}`;
      for (const [from, to] of stalls) if (x(to) - x(from) > 44) put((x(from) + x(to)) / 2, row.top + 12, brief(to - from), "middle snb-length");
      if (seen.sum) put(left + room + 8, between(row.top + 8, floor + 4 - (tall * seen.sum) / full, floor), rough(seen.sum), "start");
      if (race) put(left - 10, floor - tall / 2 + 4, laneLetter(i), `end snb-lettertext snb-hue${i % 6}`);
      for (const [k, at] of race ? [] : first.entries()) {
        if (!k || at - first[0] > 110) put(at, 11, k ? `answer ${duration(st.ttfa)}` : `TTFT ${duration(st.ttft)}`, at > width - 120 ? "end" : "start");
      }
      return row;
    });
    while (body.children[rows.length]) body.children[rows.length].remove();
    while (words.children[n]) words.children[n].remove();
    grid.setAttribute("d", lines);
    svg.setAttribute("width", String(width));
    svg.setAttribute("height", String(deep + 24));
    point();
  };
  const aim = (/** @type {typeof aimed} */ to) => {
    aimed = to;
    point();
  };
  plot.addEventListener("pointermove", ({ clientX, clientY }) => {
    const box = svg.getBoundingClientRect();
    const i = between(0, Math.floor((clientY - box.top - apart / 2) / (tall + apart)), rows.length - 1);
    if (rows[i]) aim({ i, t: rows[i].t(clientX - box.left) });
  });
  for (const gone of ["pointerleave", "blur"]) plot.addEventListener(gone, () => aim(null));
  plot.addEventListener("focus", () => plot.matches(":focus-visible") && aim({ i: 0, t: Infinity }));
  plot.addEventListener("keydown", (event) => {
    /** @type {Record<string, number>} */
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity, ArrowUp: 0, ArrowDown: 0 };
    if (!Object.hasOwn(moves, event.key) || !rows.length) return;
    event.preventDefault();
    event.stopPropagation();
    const from = aimed || { i: 0, t: Infinity };
    const turn = Number(event.key === "ArrowDown") - Number(event.key === "ArrowUp");
    const { list } = rows[from.i].seen;
    const at = between(0, point() + moves[event.key], list.length - 1);
    aim(turn ? { ...from, i: between(0, from.i + turn, rows.length - 1) } : { ...from, t: list[at]?.t ?? 0 });
  });
  new ResizeObserver(draw).observe(plot);
  return { draw };
}
