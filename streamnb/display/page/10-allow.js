// The one way by which markup gets into the page: parsed where nothing loads or runs, then rebuilt from an allow-list.
// Knows what Python's sanitizer lets through and trusts it with nothing. Must not know: who wrote the markup.

const XHTML = "http://www.w3.org/1999/xhtml";
const MATHML = "http://www.w3.org/1998/Math/MathML";
const DEEP = 100;

/** @type {Record<string, RegExp>} */
const ALLOWED = {
  [XHTML]: /^(p|h[1-6]|[uo]l|li|blockquote|pre|code|em|strong|del|s|hr|br|table|thead|tbody|t[rhd]|a|sup|span|div)$/,
  [MATHML]:
    /^m(ath|row|i|n|o|s|text|space|su[bp]|subsup|frac|sqrt|root|under|over|underover|table|tr|td|style|padded|phantom|enclose)$/,
};
const UNREAD = /^(script|style|template|title|textarea|iframe|xmp|no\w+|select|object|audio|video)$/; // not text of anyone
const MATH_NAME =
  /^(display|mathvariant|stretchy|fence|separator|[lr]space|columnalign|linethickness|width|height|depth|accent(under)?|largeop|movablelimits|form|m(in|ax)size|notation)$/;
const MATH_VALUE = /^[\w .%+-]{0,64}$/;
const SIDE = { class: /^snb-(left|center|right)$/ };
/** @type {Record<string, Record<string, RegExp>>} */
const ATTRIBUTES = {
  a: { href: /^(https?:\/\/|mailto:)[^\s\\]+$/i, title: /^/ },
  ol: { start: /^-?\d{1,9}$/ },
  code: { class: /^language-[\w+#.-]{1,30}$/ },
  span: { class: /^([a-z][a-z0-9]{0,2}|snb-host)$/ },
  div: { class: /^snb-(math|code)$/ },
  sup: { class: /^snb-cite$/ },
  th: SIDE,
  td: SIDE,
};

/** What may stand for an element: a new one, or its parent's copy (`to`), so that only what is in it is kept. */
function stand(/** @type {Element} */ node, /** @type {Node} */ to) {
  const { localName, namespaceURI } = node;
  if (!ALLOWED[namespaceURI || ""]?.test(localName)) return to;
  const copy = document.createElementNS(namespaceURI, localName);
  for (const { name, value } of node.attributes) {
    const fits = namespaceURI === MATHML ? MATH_NAME.test(name) && MATH_VALUE : ATTRIBUTES[localName]?.[name];
    if (fits && fits.test(value)) copy.setAttribute(name, value);
  }
  if (localName === "a") {
    copy.setAttribute("rel", "noopener noreferrer nofollow");
    copy.setAttribute("target", "_blank");
  }
  const needed = { a: "href", div: "class" }[localName];
  return !needed || copy.hasAttribute(needed) ? copy : to;
}

/** @param {Node} from @param {Node} to @param {number} depth */
function rebuild(from, to, depth) {
  for (const node of from.childNodes) {
    if (node instanceof Text) to.appendChild(document.createTextNode(node.data));
    // a form's own fields may pose as its properties: it is not even looked at
    if (!(node instanceof Element) || node instanceof HTMLFormElement || UNREAD.test(node.localName)) continue;
    if (depth > DEEP) {
      to.appendChild(document.createTextNode(node.textContent || ""));
      continue;
    }
    const copy = stand(node, to);
    rebuild(node, copy, depth + 1);
    if (copy !== to) to.appendChild(copy);
  }
}

/** The allowed part of some markup, as new nodes. @param {string} html */
function allowed(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const fragment = document.createDocumentFragment();
  rebuild(template.content, fragment, 0);
  return fragment;
}
