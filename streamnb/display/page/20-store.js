// The state of a board, whatever number of views it has: numbered messages in, questions and clicks out.
// Knows the protocol and the notebook's own interrupt. Must not know: elements.
//
// For views: `state` is the Board as it is now (the object is replaced by a full message; a Lane keeps being the same
// object as long as its id is on the board, refilled in place). A Part has been applied to its lane before `view.part`.

const SILENT_MS = 15000; // three missed heartbeats
const ANSWER_MS = 1500; // a kernel that hears us has answered by then

/** Where the block `p` is or belongs in a list that is ordered by `p`. @param {{p: number}[]} blocks @param {number} p */
function placeOf(blocks, p) {
  let low = 0;
  for (let high = blocks.length; low < high;) {
    const middle = (low + high) >> 1;
    if (blocks[middle].p < p) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Apply one change to a lane's blocks. What does not fit (a message was lost) is left out.
 * @param {Lane} lane @param {Op} op
 */
function applyOp(lane, op) {
  const { doc } = lane;
  if (op[0] === "clear") {
    lane.doc = doc.filter((block) => block.k !== "md" && block.k !== "pre");
    return;
  }
  const p = op[0] === "set" ? op[1].p : op[1];
  const at = placeOf(doc, p);
  const there = at < doc.length && doc[at].p === p;
  if (op[0] === "set") doc.splice(at, there ? 1 : 0, op[1]);
  else if (!there) return;
  else if (op[0] === "drop") doc.splice(at, 1);
  else if (op[0] === "text") doc[at].t = (doc[at].t || "") + op[2];
  else if ((doc[at].h || "").length >= op[2]) doc[at].h = (doc[at].h || "").slice(0, op[2]) + op[3];
}

/** @param {Lane} lane @param {Part} part */
function applyPart(lane, part) {
  part.ops?.forEach((op) => applyOp(lane, op));
  lane.r += part.r || "";
  lane.e.push(...(part.e || []));
  lane.cites.push(...(part.cites || []));
  for (const number of part.marks || []) lane.marks.push(number);
  if (part.phases) lane.phases = part.phases;
  if (part.choices) lane.choices = part.choices;
  if (part.input !== undefined) lane.input = part.input;
}

/** Ask the Jupyter server to interrupt the kernel, as the toolbar button does. Only where such a server is. */
async function interruptKernel(/** @type {Model} */ model, /** @type {string} */ kernelId) {
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

/** The JSON of a packed message. @param {DataView} buffer */
async function unpacked(buffer) {
  const stream = new Blob([/** @type {any} */ (buffer)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}

/** @typedef {ReturnType<typeof createStore>} Store */

/** @param {Model} model */
function createStore(model) {
  /** @type {Board} */
  let state = model.get("board");
  let heardAt = performance.now();
  let hole = false;
  let asking = false;
  let hint = "";
  /** @type {WeakMap<Lane, number>} */
  const startedAt = new WeakMap();
  /** @type {Set<number>} lanes that were asked to stop */
  const stops = new Set();
  /** @type {Map<string, {callback: (answer: any, note: string) => void, timer: ReturnType<typeof setTimeout>}>} */
  const questions = new Map();
  /** @type {Set<View>} */
  const views = new Set();

  /** @param {number} [id] this one only */
  const live = (id) => state.lanes.filter((lane) => lane.live && (id === undefined || lane.id === id));
  const find = (/** @type {number} */ id) => state.lanes.find((lane) => lane.id === id);
  const clockOf = (/** @type {Lane} */ lane) => {
    const started = performance.now() - lane.st.ms; // the least delayed message is right
    if (lane.st.ms || !startedAt.has(lane)) startedAt.set(lane, Math.min(startedAt.get(lane) ?? Infinity, started));
  };
  const tell = (/** @type {(view: View) => void} */ news) => views.forEach(news);
  const send = (/** @type {object} */ message) => model.send({ ...message, q: Math.random() }); // it may be heard twice
  const silence = () => performance.now() - heardAt;
  const resync = () => {
    if (asking) return;
    asking = true;
    send({ k: "resync" });
    setTimeout(() => {
      asking = false;
      if (hole && silence() < SILENT_MS) resync();
    }, 1000);
  };
  const inOrder = (/** @type {number} */ n) => {
    if (n <= state.n) return false;
    if (n === state.n + 1) state.n = n;
    else hole = true; // until the whole state fills it; what comes is shown meanwhile
    if (hole) resync();
    return true;
  };
  const done = () => {
    if (!hole && !live().length) send({ k: "done", n: state.n });
  };
  const takePart = (/** @type {Part} */ part) => {
    const lane = find(part.i);
    if (!lane) return;
    lane.st = part.st;
    clockOf(lane);
    applyPart(lane, part);
    tell((view) => view.part(lane, part));
  };
  /** @type {Record<string, (message: any) => void>} */
  const take = {
    full(/** @type {{n: number, board: Board}} */ { n, board }) {
      if (n < state.n) return;
      const lanes = board.lanes.map((lane) => Object.assign(find(lane.id) || {}, lane));
      state = Object.assign(board, { n, lanes });
      lanes.forEach(clockOf);
      hole = false;
      tell((view) => view.reset());
      done();
    },
    delta(/** @type {{n: number, lanes: Part[], race?: Race, chat?: Chat}} */ { n, lanes, race, chat }) {
      if (!inOrder(n)) return;
      if (race) state.race = race;
      if (chat) state.chat = chat;
      lanes.forEach(takePart);
      if (race || chat) tell((view) => view.status());
    },
    end(/** @type {{n: number, i: number, part: Part, lane: Partial<Lane>}} */ { n, i, part, lane }) {
      if (!inOrder(n)) return;
      takePart(part);
      const ended = find(i);
      if (ended) tell((view) => view.lane(Object.assign(ended, lane)));
      done();
    },
    lane(/** @type {{n: number, lane: Lane, at: number}} */ { n, lane, at }) {
      if (!inOrder(n)) return;
      const known = find(lane.id);
      const now = Object.assign(known || {}, lane);
      if (!known) state.lanes.splice(at, 0, now);
      clockOf(now);
      tell((view) => view.lane(now));
    },
    lanes(/** @type {{n: number, keep: number[]}} */ { n, keep }) {
      if (!inOrder(n)) return;
      state.lanes = state.lanes.filter((lane) => keep.includes(lane.id));
      tell((view) => view.reset());
    },
  };
  state.lanes.forEach(clockOf);
  const heard = (/** @type {any} */ message) => {
    if (Object.hasOwn(take, message.k)) return take[message.k](message);
    const question = questions.get(`${message.k} ${message.lane}`);
    clearTimeout(question?.timer);
    question?.callback(message, "");
  };
  /** @type {?Promise<void>} messages that wait for one before them to be unpacked */
  let queue = null;
  model.on("msg:custom", (message, buffers) => {
    heardAt = performance.now();
    if (message.k !== "packed" && !queue) return heard(message);
    const text = message.k === "packed" && unpacked(buffers?.[0]).catch(() => send({ k: "resync", plain: true }));
    const turn = Promise.all([text, queue])
      .then(([json]) => (text ? json && heard(JSON.parse(json)) : heard(message)))
      .finally(() => turn === queue && (queue = null));
    queue = turn;
  });

  /** @param {number} [id] */
  const stopping = (id) => live(id).some((lane) => lane.st.stop || stops.has(lane.id));
  const lastResort = async (/** @type {Lane[]} */ lanes) => {
    if (!lanes.some((lane) => lane.live && !lane.st.stop)) return;
    const all = state.layout !== "chat" && live().every((lane) => stops.has(lane.id)); // an interrupt ends every lane
    const pressed = all && (await interruptKernel(model, state.kernel_id).catch(() => false));
    setTimeout(
      () => {
        hint = state.how || "or interrupt the kernel (I, I)";
        tell((view) => view.status());
      },
      pressed ? 3000 : 0,
    );
  };
  return {
    views,
    get state() {
      return state;
    },
    /** How to stop when the button did not, or "". */
    get hint() {
      return live().some((lane) => stops.has(lane.id) && !lane.st.stop) ? hint : "";
    },
    /** The lane of an id. */
    lane: find,
    /** Whether any lane is live. */
    live: () => live().length > 0,
    /** A stop of this lane (of any) was asked for and is on its way. */
    stopping,
    /** ms since the lane began, by the page's clock while it lives. */
    elapsed: (/** @type {Lane} */ lane) => (lane.live ? performance.now() - (startedAt.get(lane) || 0) : lane.st.ms),
    /** ms since the kernel's last message. */
    silence,
    send,
    /** Stop a lane, or all: once; where the kernel does not say so in time, by an interrupt. @param {number} [id] */
    stop(id) {
      const lanes = live(id).filter((lane) => !stopping(lane.id));
      if (!lanes.length) return;
      lanes.forEach((lane) => stops.add(lane.id));
      send(id === undefined ? { k: "stop" } : { k: "stop", lane: id });
      tell((view) => view.status());
      setTimeout(lastResort, state.grace_ms, lanes);
    },
    /**
     * Ask for rows, raw or request. The callback gets the answer, or null and a note while there is none; the last
     * callback of a (k, lane) gets every later answer to it too.
     * @param {{k: string, lane: number, [more: string]: any}} message @param {(answer: any, note: string) => void} callback
     */
    ask(message, callback) {
      const key = `${message.k} ${message.lane}`;
      clearTimeout(questions.get(key)?.timer);
      const busy = live().length > 0 && state.layout !== "chat";
      const note = busy ? "the kernel answers when this cell has ended" : "no answer from the kernel yet";
      const timer = setTimeout(() => callback(null, note), busy && !state.hears ? 0 : ANSWER_MS);
      questions.set(key, { callback, timer });
      send(message);
    },
  };
}
