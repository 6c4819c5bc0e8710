// The layout of a conversation: whom to ask and how, the turns, what the platform offers, a composer.
// Knows the board's chat and its lanes. Must not know: providers, how a lane shows its answer.

/** Types of inputs for what a platform may wait for, and for options. @type {Record<string, string>} */
const INPUTS = { email: "email", number: "number", int: "number", float: "number", url: "url", phone: "tel", date: "date", bool: "checkbox" };
/** @type {Record<string, "select"|"textarea">} */
const TAGS = { choice: "select", json: "textarea" };
const SLOW_MS = 1500; // after that the kernel is busy with something else

/** Without effect, but seen and focusable. @param {Element} el @param {boolean} off */
const disable = (el, off) => el.setAttribute("aria-disabled", String(off));

/** @param {string[]} names */
const optionsOf = (names) => names.map((name) => new Option(name, name));

/** One option with its label. @param {Field} field */
function buildField({ name, label, kind, choices, help, placeholder, value: given }) {
  const input = /** @type {any} */ (node(TAGS[kind] || "input", "input", { name, placeholder, "aria-label": label }));
  const el = node("label", `field snb-as${kind}`, { title: help }, element("span", "name", label), input, element("span", "help", help));
  if (!TAGS[kind]) Object.assign(input, { type: INPUTS[kind] || "text", step: kind === "float" ? "any" : "" });
  if (kind === "choice") input.append(...optionsOf(choices.includes(given) ? choices : ["", ...choices]));
  else if (choices.length) {
    const id = `snb-list-${(counter.n += 1)}`;
    input.setAttribute("list", id);
    el.append(node("datalist", "list", { id }, ...optionsOf(choices)));
  }
  return {
    el,
    known: "",
    read() {
      if (kind === "bool") return input.checked || (this.known === "null" ? null : false);
      return input.type !== "number" ? input.value : input.value ? Number(input.value) : null;
    },
    write(/** @type {any} */ value) {
      if (kind === "bool") input.checked = value;
      else input.value = typeof value === "string" ? value : value === null ? "" : JSON.stringify(value);
    },
  };
}

/** The row above the turns: target, model, options. @param {Store} store @param {Element} clear */
function buildAsk(store, clear) {
  const target = node("select", "input", { "aria-label": "Provider" });
  const [model, form] = [element("div", "model"), element("div", "form")];
  const options = node("details", "options", {}, element("summary", "summary", "Options"), form);
  const el = node("div", "ask", {}, node("label", "field", {}, element("span", "name", "Provider"), target), model, clear, options);
  /** @type {Map<string, ReturnType<typeof buildField>>} */
  let fields = new Map();
  let drawn = "";
  const values = () => Object.fromEntries([...fields].map(([name, field]) => [name, field.read()]));
  target.addEventListener("change", () => store.send({ k: "target", value: target.value, fields: values() }));
  return {
    el,
    values,
    /** @param {Chat} chat */
    paint({ targets, target: chosen, fields: wanted }) {
      if (drawn !== (drawn = JSON.stringify([targets, chosen, wanted.map((field) => ({ ...field, value: 0 }))]))) {
        target.replaceChildren(...optionsOf(targets.map(({ name }) => name)));
        fields = new Map(wanted.map((field) => [field.name, buildField(field)]));
        for (const box of [model, form]) box.replaceChildren();
        fields.forEach((field, name) => (name === "model" ? model : form).append(field.el));
        options.hidden = !form.childElementCount;
      }
      target.value = chosen;
      target.title = targets.find(({ name }) => name === chosen)?.help || "";
      for (const { name, value } of wanted) {
        const field = fields.get(name);
        if (field && field.known !== (field.known = JSON.stringify(value))) field.write(value); // else what the reader typed stays
      }
    },
  };
}

/**
 * One turn: what was said, the lane, what the platform offers.
 * @param {Store} store @param {Lane} lane @param {{edit(): void, retry(): void, press(i: number): void}} acts
 */
function buildTurn(store, lane, acts) {
  const prompt = element("div", "prompt");
  const edit = buttonElement("quietly", { text: "Edit", label: "Edit and send again" }, acts.edit);
  const retry = buttonElement("quietly", { text: "Retry", label: "Send the same again" }, acts.retry);
  const said = node("div", "saying", {}, prompt, node("div", "acts", {}, retry, edit));
  const view = buildLane(store, lane, { compact: true, tabs: store.state.tabs });
  const choices = node("div", "choices", { role: "group", "aria-label": "choices" });
  let offered = "";
  return {
    el: node("section", "turn", { "aria-label": "turn" }, said, view.el, choices),
    view,
    /** @param {boolean} ready nothing runs @param {?string} next what was said next; null: this turn is the last */
    paint(ready, next) {
      said.hidden = lane.said === null;
      setText(prompt, lane.said || "");
      retry.hidden = next !== null;
      for (const button of [retry, edit]) disable(button, !ready);
      choices.hidden = !lane.choices.length;
      if (offered !== (offered = JSON.stringify(lane.choices))) {
        choices.replaceChildren(...lane.choices.map(({ label: text }, i) => buttonElement("choice", { text }, () => next === null && acts.press(i))));
      }
      for (const button of choices.children) {
        disable(button, !ready || next !== null);
        button.classList.toggle("snb-on", next === button.textContent);
      }
    },
  };
}

/** @param {Store} store @returns {View} */
function buildChat(store) {
  const anew = () => store.state.lanes.length && send({ k: "clear" });
  const clear = buttonElement("clear", { text: "Clear", label: "Forget this conversation" }, anew);
  const ask = buildAsk(store, clear);
  const list = element("div", "turns");
  const scroll = node("div", "scroll", { tabindex: 0, role: "group", "aria-label": "conversation" }, list);
  const jump = buttonElement("jump", { text: "\u2193 latest" }, () => follow());
  const error = node("div", "errors", { role: "alert" });
  const ended = node("span", "name", { role: "status" });
  const over = node("div", "over", {}, ended, buttonElement("anew", { text: "Start anew" }, anew));
  const area = node("textarea", "input", { rows: 1, "aria-label": "message" });
  const line = node("input", "input", { "aria-label": "message" });
  const [icon, word] = [iconElement(), element("span", "name")];
  const go = buttonElement("go", {}, () => (chat().busy ? stop() : submit()));
  const hint = node("span", "name", { role: "status" });
  const cancel = buttonElement("quietly", { text: "cancel", label: "Cancel (Esc)" }, () => edit(null));
  const composer = node("div", "composer", {}, node("div", "compose", {}, area, line, go), node("div", "hint", {}, hint, cancel));
  const el = node("div", "chat", {}, ask.el, node("div", "frame", {}, scroll, jump), error, over, composer);
  const follow = followEnd(scroll, list, (following) => (jump.hidden = following));
  go.append(icon.svg, word);
  jump.hidden = true;

  /** @type {Map<Lane, ReturnType<typeof buildTurn>>} */
  const turns = new Map();
  /** What was sent and is not taken yet. @type {?{text: string, before: Chat, slow: boolean}} */
  let pending = null;
  /** @type {?{lane: Lane, draft: string}} */
  let edited = null;

  const chat = () => /** @type {Chat} */ (store.state.chat);
  const ready = () => !pending && !chat().busy;
  const stop = () => (store.live() ? store.stop() : store.send({ k: "stop" }));
  const field = () => (line.hidden ? area : line);
  /** Whether what is sent now, empty, begins the conversation: the platform speaks first. */
  const starts = () => chat().start && !edited && !field().value.trim();
  const typed = () => {
    area.style.height = "0";
    area.style.height = `${area.scrollHeight + 2}px`;
    disable(go, chat().busy ? store.stopping() : !ready() || !(field().value.trim() || starts()));
    setText(word, store.stopping() ? "Stopping\u2026" : chat().busy ? "Stop" : starts() ? "Start" : "Send");
  };
  const write = (/** @type {string} */ text) => {
    field().value = text;
    typed();
  };
  const send = (/** @type {object} */ message, text = "") => {
    if (!ready()) return;
    const mine = { text, before: chat(), slow: false };
    pending = mine;
    setTimeout(() => {
      mine.slow = true;
      status();
    }, SLOW_MS);
    store.send(message);
    follow();
    status();
  };
  const submit = () => {
    const text = field().value;
    if ((!text.trim() && !starts()) || !ready()) return;
    const message = edited ? { k: "edit", lane: edited.lane.id, text } : { k: "send", text, fields: ask.values() };
    edited = null;
    write("");
    send(message, text);
  };
  const edit = (/** @type {?Lane} */ lane) => {
    if (!ready()) return;
    const draft = edited ? edited.draft : field().value;
    edited = lane && { lane, draft };
    status();
    write(lane ? lane.said || "" : draft);
    field().focus();
  };
  /** The field that fits what the platform waits for; what is written in it stays. */
  const fit = (/** @type {string} */ type) => {
    if (line.hidden ? !type : line.type === type) return;
    const [draft, here] = [field().value, field() === document.activeElement];
    line.type = type || "text";
    line.hidden = !type;
    area.hidden = !line.hidden;
    write(draft);
    if (here) field().focus();
  };
  const status = () => {
    const { lanes } = store.state;
    const { busy, error: refused, over: end, hint: said, placeholder } = chat();
    if (pending && pending.before !== chat() && (busy || refused)) {
      if (refused && !field().value) write(pending.text);
      pending = null;
    }
    if (edited && !lanes.includes(edited.lane)) edited = null;
    ask.paint(chat());
    lanes.forEach((lane, n) => turns.get(lane)?.paint(ready(), lanes[n + 1] ? lanes[n + 1].said || "" : null));
    disable(clear, !ready() || !lanes.length);
    setText(error, refused || "");
    error.hidden = !refused;
    setText(ended, end || "");
    over.hidden = end === null;
    composer.hidden = end !== null && !edited;
    const input = edited ? null : lanes.at(-1)?.input;
    fit((input && INPUTS[input.kind]) || "");
    area.placeholder = line.placeholder = input?.placeholder || placeholder;
    icon.draw(busy ? "square" : "send");
    go.classList.toggle("snb-busy", busy);
    cancel.hidden = !edited;
    const why = pending?.slow ? "sent; the kernel is busy and takes it when it is free" : "";
    const turn = edited ? `editing turn ${lanes.indexOf(edited.lane) + 1}` : "";
    setText(hint, store.hint || why || turn || said || "Enter sends \u00b7 Shift+Enter breaks the line");
    typed();
  };
  const reset = () => {
    pending = null;
    const { lanes } = store.state;
    for (const lane of turns.keys()) if (!lanes.includes(lane)) turns.delete(lane);
    for (const lane of lanes) {
      const acts = { edit: () => edit(lane), retry: () => send({ k: "retry" }), press: (/** @type {number} */ i) => send({ k: "press", lane: lane.id, i }) };
      if (turns.has(lane)) turns.get(lane)?.view.reset();
      else turns.set(lane, buildTurn(store, lane, acts));
    }
    arrange(list, [...lanes].map((lane) => /** @type {any} */ (turns.get(lane)).el));
    status();
  };
  for (const box of [area, line]) {
    box.addEventListener("input", typed);
    box.addEventListener("keydown", (/** @type {any} */ event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return; // 229: Safari's end of a composition
      event.preventDefault();
      submit();
    });
  }
  el.addEventListener("keydown", (event) => {
    const escape = event.key === "Escape";
    if (escape && chat().busy) stop();
    else if (escape && edited) edit(null);
    else if (escape || !/** @type {Element} */ (event.target).matches("input, textarea, select")) return;
    if (escape) event.preventDefault();
    event.stopPropagation(); // what is typed is no command of the notebook
  });
  reset();
  return {
    el,
    reset,
    part(lane, part) {
      turns.get(lane)?.view.part(part);
      if (part.choices || part.input !== undefined) status();
    },
    lane: reset,
    status() {
      status();
      turns.forEach(({ view }) => view.status());
    },
    tick: () => turns.forEach(({ view }) => view.tick()),
  };
}
