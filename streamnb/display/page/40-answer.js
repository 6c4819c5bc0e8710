// The answer as it grows: reasoning, blocks in the order of `p`, sources. A finished block is never touched again.
// Knows a lane's text and the allow-list. Must not know: Markdown, phases' looks, layouts.

const BUDGET_MS = 8; // of one frame: the rest of a long text waits for the next; its end comes first
const LEAF = 32; // blocks that a page lays out together or not at all: it asks each leaf, in every frame, if it is seen
const HOLDS_BLOCKS = /^(p|h[1-6]|[uo]l|li|blockquote|pre|table|t\w+|div)$/;

/** Every attribute but what a reader's doing has left there, for comparing. @param {Node} node */
function looks(node) {
  if (!(node instanceof Element)) return "";
  return [...node.attributes].map(({ name, value }) => (name.startsWith("data-lm") ? "" : `,${name}=${value}`)).join("");
}

/** Whether it is a button that says "copied" for a while. @param {Node} node */
const isSaying = (node) => node instanceof HTMLElement && Boolean(node.dataset.said);

/** Make the children of `old` those of `fresh`, changing what differs: selections, focus and scrolled code stay. */
function patch(/** @type {Node} */ old, /** @type {Node} */ fresh) {
  let at = old.firstChild;
  for (const node of [...fresh.childNodes]) {
    const next = at && at.nextSibling;
    if (!at) old.appendChild(node);
    else if (at.nodeName !== node.nodeName || (looks(at) !== looks(node) && !isSaying(at))) old.replaceChild(node, at);
    else if (!(at instanceof Text && node instanceof Text)) patch(at, node);
    else if (node.data.startsWith(at.data)) at.appendData(node.data.slice(at.length));
    else at.data = node.data;
    at = next;
  }
  while (at) {
    const next = at.nextSibling;
    at.parentNode?.removeChild(at);
    at = next;
  }
}

/** Give clean markup what a reader presses: copy buttons, citation chips; let wide tables scroll by themselves. */
function decorate(/** @type {DocumentFragment} */ fragment, /** @type {Lane} */ { cites }) {
  for (const pre of fragment.querySelectorAll("pre")) {
    let end = /** @type {Node} */ (pre);
    while (end.lastChild) end = end.lastChild;
    if (end instanceof Text) end.data = end.data.replace(/\n$/, "");
    const box = element("div", "codebox", buttonElement("copy", { icon: "copy", label: "copy code" }));
    box.dataset.language = pre.querySelector("code")?.className.replace("language-", "") || "";
    pre.replaceWith(box);
    box.append(pre);
  }
  for (const table of fragment.querySelectorAll("table")) {
    const box = element("div", "wide");
    table.replaceWith(box);
    box.append(table);
  }
  for (const sup of fragment.querySelectorAll(".snb-cite")) {
    const n = (sup.textContent || "").replace(/\D/g, "");
    const cite = cites.find((known) => String(known.n) === n);
    const chip = buttonElement("chiplink", { label: `source ${n}${cite ? `: ${cite.title || cite.host}` : ""}` });
    chip.append(element("span", "bracket", "["), n, element("span", "bracket", "]"));
    sup.replaceChildren(chip);
  }
  return fragment;
}

/** @type {Record<string, (lane: Lane) => {el: HTMLElement, show: (block: Block) => void}>} */
const BLOCKS = {
  md(lane) {
    const el = element("div", "block snb-md");
    let html = "";
    return { el, show: ({ h = "" }) => h !== html && patch(el, decorate(allowed((html = h)), lane)) };
  },
  msg(lane) {
    const { el, show } = BLOCKS.md(lane);
    el.classList.add("snb-bubble");
    return { el, show };
  },
  pre() {
    const el = element("div", "block snb-plain");
    const show = growingText(el);
    return { el, show: ({ t = "" }) => show(t) };
  },
  note() {
    const el = element("div", "block snb-note");
    return { el, show: ({ t = "" }) => setText(el, t) };
  },
  fold() {
    const el = element("details", "block snb-fold");
    const title = element("span", "foldtitle");
    const body = element("div", "foldtext");
    const text = growingText(body);
    el.append(element("summary", "summary", iconElement("tool").svg, title), body);
    const show = (/** @type {Block} */ { s = "", t = "", w }) => {
      setText(title, s);
      text(t);
      el.toggleAttribute("data-works", Boolean(w));
    };
    return { el, show };
  },
};

/** The element at whose end the text goes on. @param {Element} block */
function tipOf(block) {
  for (let node = block; ;) {
    let last = node.lastChild;
    while (last instanceof Text && !last.data.trim()) last = last.previousSibling;
    const inside = last instanceof Element && (HOLDS_BLOCKS.test(last.localName) || node.localName === "pre");
    if (!inside) return node;
    node = /** @type {Element} */ (last);
  }
}

/** The list of sources. @param {Lane} lane */
function buildSources(lane) {
  const summary = element("summary", "summary");
  const list = element("ol", "sourcelist");
  const el = Object.assign(element("details", "sources", summary, list), { open: true });
  /** @type {?Cite[]} */
  let shown = null;
  const row = (/** @type {Cite} */ { n, title, url, host, source }) => {
    const link = element(/^https?:\/\//i.test(url) ? "a" : "span", "sourcelink", title || host || "untitled");
    if (link instanceof HTMLAnchorElement) {
      Object.assign(link, { href: url, target: "_blank", rel: "noopener noreferrer nofollow", title: url });
    } else link.tabIndex = -1;
    const rest = element("span", "sourcehost", [title && host, source].filter(Boolean).join(" \u00b7 "));
    return element("li", "sourceitem", element("span", "sourcenumber", String(n)), link, rest);
  };
  return {
    el,
    paint() {
      el.hidden = !lane.cites.length;
      if (shown === lane.cites && list.childElementCount === shown.length) return;
      shown = lane.cites;
      summary.textContent = `Sources \u00b7 ${lane.cites.length}`;
      list.replaceChildren(...lane.cites.map(row));
    },
    /** Point at a source. @param {number} n @param {boolean} focus */
    point(n, focus) {
      const item = list.children[lane.cites.findIndex((cite) => cite.n === n)];
      if (!item) return;
      el.open = true;
      item.scrollIntoView({ block: "nearest" });
      item.classList.add("snb-pointed");
      setTimeout(() => item.classList.remove("snb-pointed"), 1600);
      if (focus) /** @type {HTMLElement} */ (item.children[1]).focus({ preventScroll: true });
    },
  };
}

/** @param {Store} store @param {Lane} lane */
function buildAnswer(store, lane) {
  const summary = element("summary", "summary");
  const thoughtsText = element("div", "thoughts");
  const thoughtsBox = element("div", "reasoningtext", thoughtsText);
  const reasoning = element("details", "reasoning", summary, thoughtsBox);
  const doc = element("div", "doc");
  const box = Object.assign(element("div", "answer", doc), { tabIndex: 0, role: "group", ariaLabel: "answer" });
  const jump = buttonElement("jump", { text: "\u2193 latest" }, () => {
    follow();
    box.focus();
  });
  jump.hidden = true;
  const frame = element("div", "frame", box, jump);
  const sources = buildSources(lane);
  const el = element("div", "answertab", reasoning, frame, sources.el);

  let touched = false; // the reader's own choice to open or close the reasoning wins
  summary.addEventListener("click", () => (touched = true));
  const thoughts = growingText(thoughtsText);
  followEnd(thoughtsBox, thoughtsText);
  const follow = followEnd(box, doc, (following) => (jump.hidden = following));
  el.addEventListener("click", (event) => {
    const button = /** @type {Element} */ (event.target).closest("button");
    if (button?.matches(".snb-copy")) copyFrom(button, button.nextElementSibling?.textContent || "");
    if (button?.matches(".snb-chiplink"))
      sources.point(parseInt(button.children[0].nextSibling?.textContent || "", 10), !event.detail);
  });

  /** @type {{p: number, k: string, el: HTMLElement, show: (block: Block) => void}[]} as they stand in the page */
  const shown = [];
  /** @type {Set<number>} what differs from the lane's blocks */
  const changed = new Set();
  /** @type {?Element} */
  let tip = null;
  let request = 0;
  let visible = true;

  /** Put a block between its neighbours, in a leaf that has room; else in a new one. @param {Element} el @param {number} at */
  const insert = (el, at) => {
    const [before, after] = [shown[at - 1]?.el, shown[at]?.el];
    const [left, right] = [before?.parentElement, after?.parentElement];
    if (left && (left === right || left.childElementCount < LEAF)) before.after(el);
    else if (right && right.childElementCount < LEAF) after.before(el);
    else doc.insertBefore(element("div", "leaf", el), right || null);
  };
  const take = (/** @type {number} */ at) => {
    const { el } = shown.splice(at, 1)[0];
    (el.parentElement?.childElementCount === 1 ? el.parentElement : el).remove();
  };
  const place = (/** @type {number} */ p) => {
    const at = placeOf(shown, p);
    const block = lane.doc[placeOf(lane.doc, p)];
    const wanted = block?.p === p;
    if (shown[at]?.p === p && (!wanted || shown[at].k !== block.k)) take(at);
    if (!wanted) return;
    if (shown[at]?.p !== p) {
      const made = (BLOCKS[block.k] || BLOCKS.note)(lane);
      insert(made.el, at);
      shown.splice(at, 0, { p, k: block.k, ...made });
    }
    shown[at].show(block);
  };
  const status = () => {
    const { r, st, live } = lane;
    const answered = lane.doc.some(({ k }) => k !== "fold" && k !== "note");
    reasoning.hidden = !r;
    frame.hidden = !lane.doc.length && (!live || Boolean(r));
    if (!touched) reasoning.open = live && !answered;
    const thought = st.ttfa && st.ttft != null && answered ? ` \u00b7 ${duration(st.ttfa - st.ttft)}` : "";
    setText(summary, `Reasoning${thought}`);
    sources.paint();
  };
  const flush = () => {
    request = 0;
    status();
    thoughts(lane.r);
    tip?.removeAttribute("data-tip");
    const until = performance.now() + BUDGET_MS;
    for (const p of [...changed].reverse()) {
      if (performance.now() > until) break;
      changed.delete(p);
      place(p);
    }
    if (changed.size) soon();
    const last = shown.at(-1);
    tip = lane.live && last && /md|pre/.test(last.k) ? tipOf(last.el) : null;
    tip?.setAttribute("data-tip", "");
  };
  const soon = () => {
    if (visible) request ||= requestAnimationFrame(flush);
  };
  const reset = () => {
    for (const { p } of [...shown, ...lane.doc]) changed.add(p);
    soon();
  };
  reset();
  return {
    el,
    status: soon,
    reset,
    /** @param {boolean} now */
    shown(now) {
      visible = now;
      if (now) reset();
    },
    /** @param {Part} part */
    part({ ops = [] }) {
      for (const op of ops) {
        if (op[0] === "clear") reset();
        else changed.add(op[0] === "set" ? op[1].p : op[1]);
      }
      soon();
    },
    /** The answer as plain text. */
    text() {
      doc.classList.add("snb-copying");
      const texts = shown.filter(({ k }) => k !== "fold" && k !== "note").map((block) => block.el.innerText.trim());
      doc.classList.remove("snb-copying");
      return texts.join("\n\n");
    },
  };
}
