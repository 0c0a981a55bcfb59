// The first script of a page: it inflates the others, lets them run (the policy knows their hash) and hands over.

/**
 * Bytes of deflated base64.
 * @param {string} text
 */
export async function inflate(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let k = 0; k < raw.length; k++) bytes[k] = raw.charCodeAt(k);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** @param {string} text */
const inflatedText = async (text) => new TextDecoder().decode(await inflate(text));

/** @param {string} id */
export async function start(id) {
  const file = JSON.parse(document.getElementById(`${id}-data`)?.textContent ?? "");
  const script = document.createElement("script");
  script.textContent = await inflatedText(file.code);
  file.css = await inflatedText(file.css);
  document.head.append(script);
  compuerta.mount(id, file, await inflate(file.blob));
}
