// The widget: one store for a model, a panel for each of its views.
// Knows anywidget's two hooks and the layouts. Must not know: what a layout shows.

/** The layout of one run. @param {Store} store @returns {View} */
function buildOne(store) {
  const el = element("div", "one");
  /** @type {?ReturnType<typeof buildLane>} */
  let view = null;
  /** @type {?Lane} */
  let shown = null;
  const reset = () => {
    const lane = store.state.lanes[0];
    if (lane === shown) return view?.reset();
    shown = lane || null;
    view = lane ? buildLane(store, lane, { tabs: store.state.tabs }) : null;
    el.replaceChildren(...(view ? [view.el] : []));
  };
  reset();
  return {
    el,
    reset,
    lane: reset,
    part: (lane, part) => lane === shown && view?.part(part),
    status: () => view?.status(),
    tick: () => view?.tick(),
  };
}

/** Whether Escape belongs to this element: a field with something in it. @param {?EventTarget} target */
function isWriting(target) {
  return (
    target instanceof HTMLElement &&
    /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) &&
    "value" in target &&
    Boolean(target.value)
  );
}

export default () => {
  /** @type {Store} */
  let store;
  return {
    /** @param {{model: Model}} given */
    initialize({ model }) {
      store = createStore(model);
    },
    /** @param {{el: HTMLElement}} given */
    render({ el }) {
      const { layout, lanes, motion, height } = store.state;
      const root = element("section", motion === false ? "panel snb-still" : "panel");
      root.dataset.layout = layout;
      root.dataset.lmSuppressShortcuts = "true"; // keys pressed in the panel are no commands of the notebook;
      root.addEventListener("focusin", ({ target }) => {
        /** @type {HTMLElement} */ (target).dataset.lmSuppressShortcuts = "true"; // some commands look no higher than here
      });
      root.setAttribute(
        "aria-label",
        layout === "chat" ? "chat" : `stream from ${lanes.map((lane) => lane.names).join(", ")}`,
      );
      if (height) root.style.setProperty("--snb-height", `${height}px`);
      root.classList.toggle("snb-sized", Boolean(height));
      root.addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || !store.live() || isWriting(event.target)) return;
        event.preventDefault();
        event.stopPropagation();
        store.stop();
      });
      const view = { one: buildOne, race: buildRace, chat: buildChat }[layout](store);
      root.append(view.el);
      el.append(root);
      store.views.add(view);
      const timer = setInterval(() => store.live() && view.tick(), 100);
      return () => {
        clearInterval(timer);
        store.views.delete(view);
      };
    },
  };
};
