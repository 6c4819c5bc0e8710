// The live panel of one run: numbered messages in, DOM out. Everything a model wrote is text, never markup.
// Knows the messages of panel.py and the notebook's own interrupt. Must not know: providers, HTML, other hosts.

/**
 * @typedef {{phase: string, ms: number, data_ms: ?number, ttft: ?number, ttfa: ?number, rate: ?number, unit: string,
 *   chunks: number, stop: boolean}} Status
 * @typedef {{names: string, host: string, note: string, kernel_id: string, grace_ms: number, n: number, live: boolean, st: Status,
 *   a: string, r: string, m: string[], m2: string[], e: string[], out: ?{verdict: string, outcome: string, line: string}}} Run
 * @typedef {{k: "delta", n: number, st: Status, a?: string, r?: string, m?: string[], m2?: string[],
 *   e?: string[]}} Delta
 * @typedef {{k: "full", n: number, run: Run}} Full
 * @typedef {{reset(): void, add(part: Delta): void, status(): void}} View
 */

const BLOCK = 4000; // characters per block of text: what a browser lays out anew for each delta
const SILENT_MS = 15000; // three missed heartbeats
const FOLLOW_PX = 24;

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

const ICONS = {
  ring: "M6 1.5a4.5 4.5 0 1 1-4.5 4.5",
  dots: "M2.2 6h.01M6 6h.01M9.8 6h.01",
  lines: "M1.5 3h9M1.5 6h9M1.5 9h5",
  pause: "M4 2.5v7M8 2.5v7",
  square: "M3 3h6v6H3z",
  check: "M2 6.5l2.7 2.7L10 3",
  cross: "M3 3l6 6M9 3l-6 6",
};

/** @param {string} tag @param {string} name @param {string} [text] */
function element(tag, name, text) {
  const node = document.createElement(tag);
  node.className = `snb-${name}`;
  if (text !== undefined) node.textContent = text;
  return node;
}

/** An icon that follows the text colour; its path is set later. */
function iconElement() {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 12 12");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("snb-icon");
  const path = document.createElementNS(space, "path");
  svg.append(path);
  return { svg, draw: (/** @type {string} */ name) => path.setAttribute("d", ICONS[name]) };
}

/** Three digits, as in figures.py. @param {?number} value */
function digits(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "\u2013";
  const decimals = value ? Math.min(3, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))) : 0;
  return value.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

/** @param {number} ms */
function clock(ms) {
  const s = Math.max(0, ms) / 1000;
  if (s < 60) return `${s.toFixed(1)} s`;
  return `${Math.floor(s / 60)}:${Math.floor(s % 60).toString().padStart(2, "0")} min`;
}

/**
 * A growing text in blocks, in a box that follows its end until the reader scrolls up.
 * @param {HTMLElement} box @param {() => void} moved called when following begins or ends
 */
function growingText(box, moved) {
  /** @type {?Text} */
  let last = null;
  let following = true;
  box.addEventListener("scroll", () => {
    const now = box.scrollHeight - box.scrollTop - box.clientHeight < FOLLOW_PX;
    if (now !== following) {
      following = now;
      moved();
    }
  });
  const toEnd = () => {
    if (following) box.scrollTop = box.scrollHeight;
  };
  const push = (/** @type {string} */ piece) => {
    if (!last) {
      last = document.createTextNode("");
      const block = element("div", "block");
      block.append(last);
      box.append(block);
    }
    last.appendData(piece);
  };
  return {
    toEnd,
    get following() {
      return following;
    },
    follow() {
      following = true;
      toEnd();
    },
    clear() {
      box.replaceChildren();
      last = null;
    },
    /** @param {string} text */
    append(text) {
      for (let from = 0; from < text.length; ) {
        const full = from + Math.max(0, BLOCK - (last ? last.length : 0));
        const end = text.indexOf("\n", full);
        push(text.slice(from, end < 0 ? text.length : end + 1));
        if (end >= 0) last = null;
        from = end < 0 ? text.length : end + 1;
      }
      toEnd();
    },
  };
}

/** Ask the Jupyter server to interrupt the kernel, as the toolbar button does. Only where such a server is. */
async function interruptKernel(model, /** @type {string} */ kernelId) {
  const config = document.getElementById("jupyter-config-data");
  if (!config) return false;
  const kernel = model.widget_manager?.kernel;
  if (typeof kernel?.interrupt === "function") {
    await kernel.interrupt();
    return true;
  }
  if (!kernelId) return false;
  const base = JSON.parse(config.textContent || "{}").baseUrl || "/";
  const xsrf = /(?:^|;\s*)_xsrf=([^;]*)/.exec(document.cookie);
  const reply = await fetch(`${base}api/kernels/${encodeURIComponent(kernelId)}/interrupt`, {
    method: "POST",
    headers: xsrf ? { "X-XSRFToken": xsrf[1] } : {},
  });
  return reply.ok;
}

/** What the page knows of one run, whatever number of views it has. */
function createRun(model) {
  /** @type {Run} */
  let run = model.get("run");
  let startedAt = performance.now() - run.st.ms;
  let heardAt = performance.now();
  let resyncAt = -Infinity;
  let stopAt = 0;
  let hint = "";
  /** @type {Set<View>} */
  const views = new Set();

  const heard = (/** @type {Status} */ status) => {
    heardAt = performance.now();
    startedAt = status.ms ? Math.min(startedAt, heardAt - status.ms) : startedAt; // the least delayed message is right
    run.st = status;
  };
  const resync = () => {
    if (performance.now() - resyncAt < 1000) return;
    resyncAt = performance.now();
    model.send({ k: "resync" });
  };
  const takeDelta = (/** @type {Delta} */ part) => {
    if (part.n <= run.n) return;
    const gap = part.n !== run.n + 1;
    run.n = gap ? run.n : part.n; // a hole stays a hole until the whole state fills it
    if (gap) resync();
    run.a += part.a || "";
    run.r += part.r || "";
    run.m.push(...(part.m || []));
    run.m2.push(...(part.m2 || []));
    run.e.push(...(part.e || []));
    heard(part.st);
    views.forEach((view) => view.add(part));
  };
  const takeFull = (/** @type {Full} */ message) => {
    if (message.n < run.n) return;
    run = message.run;
    heard(run.st);
    views.forEach((view) => view.reset());
    if (!run.live) model.send({ k: "done" });
  };
  const changed = () => views.forEach((view) => view.status());
  const lastResort = async () => {
    if (!run.live || run.st.stop) return;
    const pressed = await interruptKernel(model, run.kernel_id).catch(() => false);
    setTimeout(() => {
      hint = run.live ? "or interrupt the kernel (I, I)" : "";
      changed();
    }, pressed ? 3000 : 0);
  };
  model.on("msg:custom", (message) => (message.k === "full" ? takeFull(message) : takeDelta(message)));
  return {
    views,
    get state() {
      return run;
    },
    get hint() {
      return hint;
    },
    get stopping() {
      return run.live && (stopAt > 0 || run.st.stop);
    },
    elapsed: () => performance.now() - startedAt,
    silence: () => performance.now() - heardAt,
    stop() {
      if (stopAt || !run.live) return;
      stopAt = performance.now();
      model.send({ k: "stop" });
      changed();
      setTimeout(lastResort, run.grace_ms);
    },
  };
}

/** The word, tone and icon of the chip. */
function phaseOf(run) {
  const { live, out, st } = run.state;
  if (!live) return { word: out.outcome, name: out.verdict, ...PHASES[out.verdict] };
  const name = run.stopping ? "stopping" : st.phase;
  return { word: run.stopping ? "stopping\u2026" : name, name, ...(PHASES[name] || PHASES.waiting) };
}

/** Build the header row; returns the function that repaints it. */
function buildHead(root, run) {
  const head = element("div", "head");
  const chip = element("span", "chip");
  chip.setAttribute("aria-hidden", "true");
  const icon = iconElement();
  const word = element("span", "word");
  chip.append(icon.svg, word);
  const spoken = element("span", "spoken");
  spoken.setAttribute("role", "status");
  spoken.setAttribute("aria-live", "polite");
  const { names, host } = run.state;
  const title = element("span", "title");
  title.title = [names, host].filter(Boolean).join(" \u00b7 ");
  title.append(element("span", "names", names));
  if (host) title.append(element("span", "host", `\u00a0\u00b7 ${host}`));
  const figures = element("span", "figures");
  const figure = (/** @type {string} */ label, /** @type {string} */ name, /** @type {string} */ meaning) => {
    const box = element("span", `figure snb-${name}`);
    box.title = meaning;
    const value = element("span", "value");
    box.append(element("span", "label", label), value);
    figures.append(box);
    return value;
  };
  const time = figure("time", "time", "since the run began");
  const ttft = figure("TTFT", "ttft", "time to first token: first piece of text minus the moment the request was sent");
  const rate = figure("rate", "rate", "between the first and the last text; a chunk is one read, not one token");
  const stop = element("button", "stop");
  stop.type = "button";
  stop.title = "Stop this run (Esc)";
  const stopIcon = iconElement();
  stopIcon.draw("square");
  stop.append(stopIcon.svg, document.createTextNode("Stop"));
  stop.addEventListener("click", () => run.stop());
  head.append(chip, spoken, title, figures, stop);
  root.append(head);

  const tick = () => {
    const { live, st } = run.state;
    const phase = phaseOf(run);
    let shown = phase.word;
    if (live && run.silence() > SILENT_MS) shown = "no contact";
    else if (live && phase.name === "stalled" && st.data_ms !== null) {
      shown = `stalled ${clock(run.elapsed() - st.data_ms)}`;
    }
    word.textContent = shown;
    if (live) time.textContent = clock(run.elapsed());
    return phase;
  };
  return {
    tick,
    paint() {
      const { live, st } = run.state;
      const phase = tick();
      root.dataset.phase = phase.name;
      root.dataset.tone = phase.tone;
      icon.draw(phase.icon);
      if (spoken.textContent !== phase.word) spoken.textContent = phase.word;
      ttft.textContent = st.ttft === null || st.ttft === undefined ? "\u2013" : `${digits(st.ttft)} s`;
      rate.textContent = Number.isFinite(st.rate ?? NaN) ? `${digits(st.rate)} ${st.unit}` : "\u2013";
      if (!live) time.textContent = clock(st.ms);
      stop.hidden = !live;
      stop.setAttribute("aria-disabled", String(run.stopping));
    },
  };
}

/** Build one view of the run into `root`. */
function buildView(root, run) {
  const head = buildHead(root, run);
  const reasoning = element("details", "reasoning");
  const summary = element("summary", "summary", "Reasoning");
  const reasoningBox = element("div", "reasoningtext");
  reasoning.append(summary, reasoningBox);
  const before = element("div", "messages");
  const after = element("div", "messages snb-after");
  const frame = element("div", "frame");
  const answerBox = element("div", "answer");
  answerBox.tabIndex = 0;
  answerBox.setAttribute("role", "group");
  answerBox.setAttribute("aria-label", "answer");
  const jump = element("button", "jump", "\u2193 latest");
  jump.type = "button";
  frame.append(answerBox, jump);
  const errors = element("div", "errors");
  errors.setAttribute("role", "alert");
  const foot = element("div", "foot");
  root.append(reasoning, before, frame, after, errors, foot);

  let touched = false; // the reader's own choice to open or close the reasoning wins
  summary.addEventListener("click", () => (touched = true));
  const answer = growingText(answerBox, () => (jump.hidden = answer.following));
  const thoughts = growingText(reasoningBox, () => {});
  reasoning.addEventListener("toggle", thoughts.toEnd);
  jump.hidden = true;
  jump.addEventListener("click", () => {
    answer.follow();
    answerBox.focus();
  });

  const lines = (/** @type {{m: string[], m2: string[], e: string[]}} */ parts) => {
    before.append(...parts.m.map((line) => element("div", "message", line)));
    after.append(...parts.m2.map((line) => element("div", "message", line)));
    errors.append(...parts.e.map((line) => element("div", "error", line)));
  };
  const status = () => {
    const { a, r, m, m2, e, st, live, note, out } = run.state;
    head.paint();
    reasoning.hidden = !r;
    before.hidden = !m.length;
    after.hidden = !m2.length;
    errors.hidden = !e.length;
    frame.hidden = !a && (!live || Boolean(r));
    if (!touched) reasoning.open = live && !a;
    const thought = st.ttfa && st.ttft !== null && a ? ` \u00b7 ${digits(st.ttfa - st.ttft)} s` : "";
    summary.textContent = `Reasoning${thought}`;
    foot.textContent = [run.hint, out ? out.line : "", note].filter(Boolean).join(" \u00b7 ");
    foot.hidden = !foot.textContent;
  };
  const nothing = () => ({ a: "", r: "", m: [], m2: [], e: [] });
  let waiting = nothing();
  let request = 0;
  const flush = () => {
    request = 0;
    const parts = waiting;
    waiting = nothing();
    status();
    lines(parts);
    thoughts.append(parts.r);
    answer.append(parts.a);
  };
  const reset = () => {
    cancelAnimationFrame(request);
    request = 0;
    waiting = nothing();
    for (const box of [before, after, errors]) box.replaceChildren();
    status();
    lines(run.state);
    thoughts.clear();
    thoughts.append(run.state.r);
    answer.clear();
    answer.append(run.state.a);
  };
  reset();
  return {
    tick: head.tick,
    reset,
    status,
    /** @param {Delta} part */
    add(part) {
      waiting.a += part.a || "";
      waiting.r += part.r || "";
      waiting.m.push(...(part.m || []));
      waiting.m2.push(...(part.m2 || []));
      waiting.e.push(...(part.e || []));
      request ||= requestAnimationFrame(flush);
    },
  };
}

export default () => {
  /** @type {ReturnType<typeof createRun>} */
  let run;
  return {
    initialize({ model }) {
      run = createRun(model);
    },
    render({ el }) {
      const root = element("section", "panel");
      root.setAttribute("aria-label", `stream from ${run.state.names}`);
      root.dataset.lmSuppressShortcuts = "true"; // keys pressed in the panel are not cell commands
      root.addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || !run.state.live) return;
        event.preventDefault();
        event.stopPropagation();
        run.stop();
      });
      el.append(root);
      const view = buildView(root, run);
      run.views.add(view);
      const timer = setInterval(() => run.state.live && view.tick(), 100);
      return () => {
        clearInterval(timer);
        run.views.delete(view);
      };
    },
  };
};
