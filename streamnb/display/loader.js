// The page's code and styles, packed by page.py, unpacked once per page however many panels there are.
const packed = "%(packed)s";
const name = "streamnb-%(version)s";

async function unpack() {
  const bytes = Uint8Array.from(atob(packed), (char) => char.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const [code, styles] = (await new Response(stream).text()).split("\f");
  const style = document.createElement("style");
  style.dataset.name = name;
  style.textContent = styles;
  document.head.append(style);
  const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  try {
    return await import(url);
  } finally {
    URL.revokeObjectURL(url);
  }
}

export default async () => (await (globalThis[name] ??= unpack())).default();
