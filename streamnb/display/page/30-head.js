// One lane's header: what it does now, with whom, for how long, how fast, and Stop.
// Knows a lane's status. Must not know: its text, layouts.

/** @type {Record<string, string[]>} */
const SOURCES = {
  chunks: ["", "counted in chunks: one chunk is one read, not one token"],
  "the server": ["server\u2019s count", "tokens as the server counted them"],
};

/** The word, tone and icon of the chip. @param {Store} store @param {Lane} lane */
function phaseOf(store, { id, live, out, st }) {
  if (!live && out) return { word: out.outcome, name: out.verdict, ...PHASES[out.verdict] };
  const stopping = store.stopping(id);
  const name = stopping ? "stopping" : st.phase;
  return { word: stopping ? "stopping\u2026" : name, name, ...(PHASES[name] || PHASES.waiting) };
}

/**
 * @param {HTMLElement} root gets the header, and the phase and tone as attributes
 * @param {Store} store @param {Lane} lane @param {{compact?: boolean}} [look] compact: for a column or a turn
 */
function buildHead(root, store, lane, { compact } = {}) {
  const icon = iconElement();
  const word = element("span", "word");
  const chip = Object.assign(element("span", "chip", icon.svg, word), { ariaHidden: "true" });
  const spoken = Object.assign(element("span", "spoken"), { role: "status", ariaLive: "polite" });
  const names = element("span", "names");
  const host = element("span", "host");
  const title = element("span", "title", names, host);
  const figures = element("span", "figures");
  const figure = (/** @type {string} */ label, /** @type {string} */ name, /** @type {string} */ meaning) => {
    const value = element("span", "value");
    const box = element("span", `figure snb-${name}`, element("span", "label", label), value);
    box.title = meaning;
    figures.append(box);
    return { box, value };
  };
  const time = figure("time", "time", "since the run began");
  const ttft = figure("TTFT", "ttft", "time to first token: first piece of text minus the moment the request was sent");
  const rate = figure("rate", "rate", "");
  const source = element("span", "source");
  rate.box.append(source);
  const label = compact ? "Stop this one" : "Stop this run (Esc)";
  const stop = buttonElement("stop", { icon: "square", text: "Stop", label }, () =>
    store.stop(compact ? lane.id : undefined),
  );
  const slot = element("span", "phase", chip, spoken); // as wide as the longest phase: nothing beside it moves
  root.append(element("div", "head", slot, title, figures, stop));

  const tick = () => {
    const { live, st } = lane;
    const phase = phaseOf(store, lane);
    let shown = phase.word;
    if (live && store.silence() > SILENT_MS) shown = "no contact";
    else if (live && phase.name === "stalled" && st.data_ms != null) {
      shown = `stalled ${clock(store.elapsed(lane) - st.data_ms)}`;
    }
    setText(word, shown);
    setText(time.value, clock(store.elapsed(lane)));
    return phase;
  };
  return {
    tick,
    paint() {
      const { live, st } = lane;
      const phase = tick();
      root.dataset.phase = phase.name;
      root.dataset.tone = phase.tone;
      icon.draw(phase.icon);
      setText(spoken, phase.word);
      setText(names, lane.names);
      setText(host, lane.host);
      title.title = [lane.names, lane.host].filter(Boolean).join(" \u00b7 ");
      setText(ttft.value, duration(st.ttft));
      const known = Number.isFinite(st.rate ?? NaN);
      const [said, meaning] = SOURCES[st.source] || [st.source, `counted by ${st.source}`];
      setText(rate.value, known ? `${digits(st.rate)} ${st.unit}` : "\u2013");
      setText(source, known ? said : "");
      rate.box.title = `between the first and the last text; ${meaning}`;
      stop.hidden = !live;
      stop.ariaDisabled = String(store.stopping(lane.id));
    },
  };
}
