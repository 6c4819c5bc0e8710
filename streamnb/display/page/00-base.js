// What every part of the page uses: the protocol's types, elements, figures, text that grows, boxes that follow it.
// Knows the DOM only. Must not know: stores, layouts, hosts.

/**
 * @typedef {{phase: string, ms: number, data_ms?: ?number, t0_ms?: ?number, ttft?: ?number, ttfa?: ?number, rate?: ?number,
 *   unit: string, source: string, chunks: number, chars: number, stop: boolean, kinds: Record<string, number>}} Status
 * @typedef {{p: number, k: "md"|"pre"|"msg"|"fold"|"note", h?: string, t?: string, s?: string, w?: number}} Block
 * @typedef {["set", Block]|["splice", number, number, string]|["text", number, string]|["drop", number]|["clear"]} Op
 * @typedef {{n: number, title: string, url: string, host: string, source: string}} Cite
 * @typedef {[name: string, seconds: number, meaning: string]} Phase
 * @typedef {{placeholder: string, kind: "text"|"email"|"number"|"url"|"phone"|"date"}} Input
 * @typedef {{id: number, names: string, host: string, note: string, said: ?string, live: boolean, at: number, st: Status,
 *   out: ?{verdict: "ok"|"halted"|"failed", outcome: string, line: string}, doc: Block[], r: string, e: string[],
 *   cites: Cite[], marks: number[], phases: Phase[], choices: {label: string}[], input: ?Input}} Lane
 * @typedef {{i: number, st: Status, ops?: Op[], r?: string, e?: string[], cites?: Cite[], marks?: number[],
 *   phases?: Phase[], choices?: {label: string}[], input?: ?Input}} Part
 * @typedef {{round: number, rounds: number, targets: number[], order: string,
 *   leaders: {metric: string, lane: ?number, value: string, ahead: string}[]}} Race
 * @typedef {{name: string, label: string, kind: "str"|"int"|"float"|"bool"|"choice"|"json"|"url", value: any,
 *   choices: string[], help: string, placeholder: string}} Field
 * @typedef {{targets: {name: string, help: string}[], target: string, fields: Field[], busy: boolean, over: ?string,
 *   hint: string, error: ?string, placeholder: string, start: boolean, heard: number}} Chat
 * @typedef {{n: number, layout: "one"|"race"|"chat", kernel_id: string, grace_ms: number, hears: boolean, how: string,
 *   tabs: string[], height: ?number, motion: boolean, lanes: Lane[], race: ?Race, chat: ?Chat}} Board
 * @typedef {{get(name: string): any, on(event: string, heard: (message: any, buffers?: DataView[]) => void): void, send(message: object): void,
 *   widget_manager?: any}} Model
 *
 * One tab of a lane. `part` comes only while it is shown; `shown(true)` paints all of the lane as it is now.
 * @typedef {{el: HTMLElement, shown(visible: boolean): void, part(part: Part): void, reset(): void}} Tab
 * A whole layout. `reset`: the board was replaced; `lane`: one lane was added or replaced (same object, if it was there).
 * @typedef {{el: HTMLElement, reset(): void, part(lane: Lane, part: Part): void, lane(lane: Lane): void, status(): void,
 *   tick(): void}} View
 */

const PIECE = 4000; // characters per piece of a growing text: what a browser lays out anew for each delta
const WORD = 200; // characters
const FOLLOW_PX = 24;
const counter = { n: 0 };

/** @type {Record<string, {tone: string, icon: string}>} */
const PHASES = {
  connecting: { tone: "idle", icon: "ring" },
  queued: { tone: "idle", icon: "pause" },
  waiting: { tone: "idle", icon: "dots" },
  thinking: { tone: "think", icon: "dots" },
  answering: { tone: "live", icon: "lines" },
  stalled: { tone: "warn", icon: "pause" },
  stopping: { tone: "warn", icon: "square" },
  ok: { tone: "good", icon: "check" },
  halted: { tone: "warn", icon: "square" },
  failed: { tone: "bad", icon: "cross" },
};

/** @type {Record<string, string>} */
const ICONS = {
  ring: "M6 1.5a4.5 4.5 0 1 1-4.5 4.5",
  dots: "M2.2 6h.01M6 6h.01M9.8 6h.01",
  lines: "M1.5 3h9M1.5 6h9M1.5 9h5",
  pause: "M4 2.5v7M8 2.5v7",
  square: "M3 3h6v6H3z",
  check: "M2 6.5l2.7 2.7L10 3",
  cross: "M3 3l6 6M9 3l-6 6",
  copy: "M4 4V1.5h6.5V8H8M1.5 4H8v6.5H1.5z",
  send: "M6 10.5v-9M2.2 5.2L6 1.5l3.8 3.7",
  tool: "M1.5 3.5L4 6 1.5 8.5M6 9h4.5",
};

/**
 * An element with the class `snb-NAME` and what is in it; a string is text.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {string} name further classes may follow after a space, whole @param {(string|Node)[]} content
 */
function element(tag, name, ...content) {
  const node = document.createElement(tag);
  node.className = `snb-${name}`;
  node.append(...content);
  return node;
}

/** An icon in the text's colour: `svg` goes into the page, `draw` gives it one of ICONS. @param {string} [name] */
function iconElement(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 12 12");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("snb-icon");
  const path = document.createElementNS(space, "path");
  svg.append(path);
  const draw = (/** @type {string} */ icon) => path.setAttribute("d", ICONS[icon]);
  if (name) draw(name);
  return { svg, draw };
}

/**
 * A button with an icon, a text, or both. Without a text `label` is its name.
 * @param {string} name @param {{icon?: string, text?: string, label?: string}} look @param {() => void} [pressed]
 */
function buttonElement(name, { icon, text, label }, pressed) {
  const button = element("button", `${name} snb-button`, ...(icon ? [iconElement(icon).svg] : []), text || "");
  Object.assign(button, { type: "button", title: label || "" });
  if (label && !text) button.ariaLabel = label;
  if (pressed) button.addEventListener("click", pressed);
  return button;
}

/** Set a text only where it differs. @param {Element} node @param {string} text */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Three digits, as in figures.py. @param {?number|undefined} value */
function digits(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "\u2013";
  const decimals = value ? Math.min(3, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))) : 0;
  return value.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

/** A time that ticks: `12.3 s`, `2:05 min`. @param {number} ms */
function clock(ms) {
  const s = Math.max(0, ms) / 1000;
  if (s < 59.95) return `${s.toFixed(1)} s`;
  return `${Math.floor(s / 60)}:${Math.floor(s % 60)
    .toString()
    .padStart(2, "0")} min`;
}

/**
 * Text in `box` that mostly grows: the result, given all of the text, adds what is new, in pieces.
 * @param {Element} box
 */
function growingText(box) {
  let shown = "";
  /** @type {?Text} */
  let last = null;
  return (/** @type {string} */ text) => {
    if (!text.startsWith(shown)) {
      box.replaceChildren();
      last = null;
      shown = "";
    }
    for (let from = shown.length; from < text.length;) {
      if (!last) {
        last = new Text();
        box.append(element("div", "piece", last));
      }
      let end = text.indexOf("\n", from + Math.max(0, PIECE - last.length)) + 1;
      const most = from + Math.max(0, 2 * PIECE - last.length); // a line this long is broken at a space, if there is one
      if ((!end || end > most) && text.length > most + WORD) {
        const space = text.indexOf(" ", most) + 1;
        end = space && space < most + WORD ? space : most + ((text.codePointAt(most) || 0) > 0xffff ? 2 : 1);
      }
      last.appendData(text.slice(from, end || text.length));
      if (end) last = null;
      from = end || text.length;
    }
    shown = text;
  };
}

/**
 * Keep a box at the end of its content, whatever makes that grow, until the reader scrolls up.
 * @param {HTMLElement} box scrolls @param {Element} content what is in it @param {(following: boolean) => void} [moved]
 */
function followEnd(box, content, moved) {
  let following = true;
  let top = 0;
  const toEnd = () => {
    if (following) box.scrollTop = box.scrollHeight;
    top = box.scrollTop;
  };
  const turn = (/** @type {boolean} */ now) => {
    if (now !== following) moved?.((following = now));
  };
  box.addEventListener("scroll", () => {
    if (!box.clientHeight) return; // taken off the page: its position is lost, not moved
    if (box.scrollHeight - box.scrollTop - box.clientHeight < FOLLOW_PX) turn(true);
    else if (box.scrollTop < top) turn(false);
    top = box.scrollTop;
  });
  const sized = new ResizeObserver(toEnd); // after layout, before paint: reading heights costs nothing there
  sized.observe(box);
  sized.observe(content);
  return () => {
    turn(true);
    toEnd();
  };
}

/** Put a text into the clipboard; where the page may not, by a selection. @param {string} text */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = element("textarea", "spoken");
    area.value = text;
    const before = /** @type {?HTMLElement} */ (document.activeElement);
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    before?.focus();
    return done;
  }
}

/** Copy and say so on the button. @param {HTMLElement} button @param {string} text */
async function copyFrom(button, text) {
  const name = button.ariaLabel;
  if (button.dataset.said) return;
  button.dataset.said = button.ariaLabel = (await copyText(text)) ? "copied" : "not allowed";
  setTimeout(() => {
    delete button.dataset.said;
    button.ariaLabel = name;
  }, 1500);
}
