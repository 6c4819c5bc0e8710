// The tab Request: what was sent and how it was answered, as it was recorded, and as a command for a shell.
// Knows the answer `request`. Must not know: secrets; they are masked before they get here.

/** @typedef {{name: string, method: string, url: string, headers: [string, string][], body: string, status: ?number,
 *   reply_headers: [string, string][], curl: string}} Call */

/** A fold with a button that copies what is in it. @param {string} title @param {HTMLElement} body @param {string} text @param {boolean} [open] */
function foldOf(title, body, text, open = false) {
  const look = title === "curl" ? { text: "Copy as curl" } : { label: `Copy ${title}` };
  const copy = buttonElement("copy", { icon: "copy", ...look }, () => copyFrom(copy, text));
  const el = node("details", "unfold", {}, element("summary", "summary", title), node("div", "copied", {}, body, copy));
  el.open = open;
  return el;
}

/** @param {[string, string][]} headers */
function headerTable(headers) {
  const rows = headers.map(([name, value]) => node("tr", "line", {}, node("th", "name", { scope: "row" }, name), element("td", "value", value)));
  return node("table", "headers", {}, node("tbody", "lines", {}, ...rows));
}

/** @param {Call} call */
function buildCall({ name, method, url, headers, body, status, reply_headers: reply, curl }) {
  const tone = !status ? "idle" : status < 400 ? "good" : "bad";
  const chip = node("span", "code", { "data-tone": tone }, status ? String(status) : "no reply yet");
  const head = [element("b", "method", method), element("span", "url", url), chip, element("span", "name", name)];
  const el = node("section", "call", {}, node("div", "callhead", {}, ...head));
  if (curl) el.append(foldOf("curl", element("pre", "raw", curl), curl, true));
  if (body) el.append(foldOf("body", element("pre", "raw", body), body, true));
  for (const [title, list] of /** @type {[string, [string, string][]][]} */ ([["headers", headers], ["reply headers", reply]])) {
    const text = list.map((pair) => pair.join(": ")).join("\n");
    if (list.length) el.append(foldOf(`${title} \u00b7 ${list.length}`, headerTable(list), text));
  }
  return el;
}

/** @param {Store} store @param {Lane} lane @returns {Tab} */
function buildRequest(store, lane) {
  const calls = element("div", "calls");
  const note = node("div", "quiet", { role: "status" });
  const el = node("div", "request", {}, calls, note);
  /** @type {string[]} */
  const drawn = [];
  let stage = "";
  const ask = () => {
    const { st, live } = lane;
    if (stage === (stage = `${st.phase} ${st.t0_ms} ${st.chunks > 0} ${live}`)) return; // else: a call more, or a reply
    store.ask({ k: "request", lane: lane.id }, (answer, why) => {
      setText(note, answer ? "" : why);
      answer?.calls.forEach((/** @type {Call} */ call, /** @type {number} */ i) => {
        if (drawn[i] === (drawn[i] = JSON.stringify(call))) return;
        const fresh = buildCall(call);
        if (calls.children[i]) calls.children[i].replaceWith(fresh);
        else calls.append(fresh);
      });
    });
  };
  return {
    el,
    shown(now) {
      stage = "";
      if (now) ask();
    },
    part: ask,
    reset: ask,
  };
}
