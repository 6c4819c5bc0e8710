"""What is wrong with how a panel stands on its page: for eyes, ears, and hands that only type. Knows the DOM only."""

from __future__ import annotations

SPILLED = """(panel) => {
  const box = panel.getBoundingClientRect();
  const inside = (el) => {  // of something in the panel that scrolls, or ends a long text with dots
    for (let at = el; at !== panel; at = at.parentElement) {
      const { overflowX, textOverflow } = getComputedStyle(at);
      if (at !== el && (/auto|scroll/.test(overflowX) || textOverflow === "ellipsis")) return true;
      if (at.matches(".snb-spoken, svg *")) return true;
    }
    return false;
  };
  return [...panel.querySelectorAll("*")].filter((el) => {
    if (!el.checkVisibility() || inside(el)) return false;
    const { left, right } = el.getBoundingClientRect();
    const cut = el.matches("button, .snb-value, .snb-chip, .snb-letter") && el.scrollWidth > el.clientWidth + 1;
    return left < box.left - 1 || right > box.right + 1 || (cut && el.clientWidth);
  }).map((el) => `${el.className.baseVal ?? el.className}: ${el.textContent.slice(0, 40)}`);
}"""
FAULTS = """(panel) => {
  const bad = [];
  const named = (el) => [
    el.ariaLabel,
    ...(el.getAttribute("aria-labelledby") || "").split(" ").map((id) => document.getElementById(id)?.textContent),
    ...[...(el.labels || [])].map((label) => label.textContent),
    el.matches("input, select, textarea, [role=group], [role=grid], [role=slider]") ? "" : el.textContent,
  ].some((text) => text?.trim());
  const needed = { tab: "tablist", row: "grid", gridcell: "row", columnheader: "row" };
  const ids = [...document.querySelectorAll("[id^=snb]")].map(({ id }) => id);
  if (new Set(ids).size < ids.length) bad.push("an id twice");
  for (const el of panel.querySelectorAll("*")) {
    const say = (why) => bad.push(`${why}: ${el.outerHTML.slice(0, 160)}`);
    const acts = el.matches("button, a, input, select, textarea, summary, [tabindex='0']");
    if ((acts || /^(group|grid|slider|region|tabpanel)$/.test(el.role)) && !named(el)) say("no name");
    if (acts && el.closest("[aria-hidden=true]")) say("hidden from who hears, but reached by the keyboard");
    if (acts && el.parentElement.closest("button, a, summary")) say("one control in another");
    if (needed[el.role] && !el.parentElement.closest(`[role=${needed[el.role]}]`)) say("role alone");
    if (el.role === "tablist" && el.querySelectorAll("[aria-selected=true][tabindex='0']").length !== 1) say("tabs");
    if (el.role === "slider" && !el.hasAttribute("aria-valuenow")) say("no value");
    for (const name of ["aria-labelledby", "aria-controls", "aria-activedescendant"])
      if (el.hasAttribute(name) && !document.getElementById(el.getAttribute(name))) say(name);
  }
  return bad;
}"""
FOCUSED = """(panel) => {
  const el = document.activeElement;
  if (!panel.contains(el)) return [null, 0];
  const { outlineStyle, outlineWidth } = getComputedStyle(el);
  const name = el.ariaLabel || el.labels?.[0]?.textContent || el.textContent;
  return [name.trim().slice(0, 40), outlineStyle === "none" ? 0 : parseFloat(outlineWidth)];
}"""


def spilled(panel) -> list[str]:
    """What reaches over the panel's edge or is cut off by it."""
    return panel.evaluate(SPILLED)


def faults(panel) -> list[str]:
    """What somebody who hears the panel would miss: names, references, roles that stand alone."""
    return panel.evaluate(FAULTS)


def tab_stops(page, panel) -> list[str]:
    """What the Tab key reaches in a panel, in this order; every one of them must show that it has the focus."""
    panel.evaluate("(box) => { box.tabIndex = -1; box.focus(); }")
    stops = []
    while True:
        page.keyboard.press("Tab")
        name, width = panel.evaluate(FOCUSED)
        if name is None:
            return stops
        assert width >= 2, f"no outline around {name}"
        stops.append(name)


def contrast(page, selector: str) -> float:
    """WCAG contrast of a text against the notebook's own background."""
    colours = page.evaluate(
        "(selector) => [document.querySelector(selector), document.querySelector('.snb-panel')].map("
        "(box, i) => getComputedStyle(box)[i ? 'backgroundColor' : 'color'].match(/[\\d.]+/g).slice(0, 3).map(Number))",
        selector,
    )
    light, dark = sorted((_luminance(*colour) for colour in colours), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(*channels: float) -> float:
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * channel for weight, channel in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
