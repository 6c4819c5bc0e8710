// The layout of a race: who leads, all lanes on one time axis, a column for each.
// Knows the board's race and its lanes. Must not know: how a lane shows its answer.

/** The letter of a lane in its colour: nobody needs to see colours. @param {number} i */
const letterElement = (i) => element("span", `letter snb-hue${i % 6}`, laneLetter(i));

/** Put these elements, and only these, into a box; what is there already is not touched. @param {Element} box @param {Element[]} wanted */
function arrange(box, wanted) {
  for (const el of [...box.children]) if (!wanted.includes(el)) el.remove();
  wanted.forEach((el, i) => box.children[i] === el || box.insertBefore(el, box.children[i] || null));
}

/** @param {Store} store @returns {View} */
function buildRace(store) {
  const round = element("span", "round");
  const steps = node("span", "steps", { "aria-hidden": true });
  const stop = buttonElement("stop", { icon: "square", text: "Stop all", label: "Stop all (Esc)" }, () => store.stop());
  const leaders = element("dl", "leaders");
  const chart = element("div", "chart");
  const columns = element("div", "columns");
  const el = node("div", "race", {}, node("div", "racebar", {}, round, steps, stop), leaders, chart, columns);
  const strip = drawStrip(chart, () => store.state.lanes, store, true);
  const wake = ticking(el, store.live, strip.draw);
  /** @type {Map<Lane, {el: HTMLElement, view: ReturnType<typeof buildLane>}>} */
  const shown = new Map();
  let said = "";

  const leaderElement = (/** @type {Race["leaders"][0]} */ { metric, lane, value, ahead }) => {
    const i = store.state.lanes.findIndex(({ id }) => id === lane);
    const who = node("dd", "who", {}, ...(i < 0 ? ["\u2013"] : [letterElement(i), element("span", "names", store.state.lanes[i].names)]));
    const lead = node("dd", "ahead", { title: ahead }, element("b", "amount", value), ahead);
    return node("div", "leader", {}, element("dt", "name", metric), who, lead);
  };
  const status = () => {
    const { race, lanes } = store.state;
    stop.hidden = !store.live();
    stop.setAttribute("aria-disabled", String(lanes.every(({ id, live }) => !live || store.stopping(id))));
    shown.forEach(({ view }) => view.status());
    wake();
    if (!race || said === (said = JSON.stringify([race, lanes.length]))) return;
    const rounds = race.rounds > 1 ? race.rounds : 0;
    round.textContent = rounds ? `Round ${race.round} of ${rounds}` : `${lanes.length} at once`;
    round.title = race.order;
    const length = Math.min(rounds, 40);
    steps.replaceChildren(...Array.from({ length }, (_, i) => element("i", i * rounds < race.round * length ? "step snb-on" : "step")));
    leaders.replaceChildren(...race.leaders.map(leaderElement));
  };
  const reset = () => {
    const { lanes } = store.state;
    for (const lane of shown.keys()) if (!lanes.includes(lane)) shown.delete(lane);
    lanes.forEach((lane, i) => {
      const known = shown.get(lane);
      if (known) return known.view.reset();
      const view = buildLane(store, lane, { compact: true });
      shown.set(lane, { el: node("div", `column snb-hue${i % 6}`, {}, letterElement(i), view.el), view });
    });
    arrange(columns, lanes.map((lane) => /** @type {any} */ (shown.get(lane)).el));
    status();
    strip.draw();
  };
  reset();
  return {
    el,
    reset,
    part(lane, part) {
      shown.get(lane)?.view.part(part);
      wake();
    },
    lane: reset,
    status,
    tick: () => shown.forEach(({ view }) => view.tick()),
  };
}
