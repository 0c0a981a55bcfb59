// Words in the language of the page, and numbers as they are shown.

/** @type {{ lang: string, texts: Record<string, Words> }} */
const words = { lang: "en", texts: {} };

/**
 * @param {Record<string, Words>} texts
 * @param {string} lang
 */
export function speak(texts, lang) {
  words.texts = texts;
  words.lang = Object.hasOwn(texts, lang) ? lang : "en";
}

export const language = () => words.lang;

/**
 * The text of a key in the language of the page, its {fields} filled in.
 * @param {string} key
 * @param {Fields} [values]
 */
export function say(key, values = {}) {
  const text = words.texts[words.lang][key] ?? key;
  return text.replace(/\{(\w+)\}/g, (all, name) => (Object.hasOwn(values, name) ? String(values[name]) : all));
}

/** @type {(key: string) => boolean} whether there is a sentence of this key */
export const has = (key) => Object.hasOwn(words.texts[words.lang], key);

/**
 * A number as it is shown: a true minus, three decimals, and no scale that NaN or infinity could break.
 * @param {number} value
 */
export function num(value, digits = 3) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const text = size && (size < 0.5 * 10 ** -digits || size >= 1e5) ? value.toExponential(1) : value.toFixed(digits);
  return text.replace(/-/g, "−");
}

/**
 * A signed number with the sign as a glyph: ▲ up, ▼ down, = for nothing.
 * @param {number} value
 */
export const signed = (value, digits = 3) =>
  (value > 0 ? "▲ +" : value < 0 ? "▼ " : Number.isNaN(value) ? "" : "= ") + num(value, digits);

/** @type {(share: number) => string} */
export const percent = (share) =>
  Number.isFinite(share)
    ? `${(100 * share).toFixed(share && Math.abs(share) < 0.1 ? 1 : 0)}${words.lang === "es" ? " " : ""}%`
    : num(share);

/**
 * A character as it can be seen: what is blank or controls gets a picture, what combines something to stand on.
 * @param {string} char
 */
export function glyph(char) {
  if (char === "\n") return "⏎";
  if (char === " ") return "␣";
  const code = char.codePointAt(0) ?? 0;
  if (code < 32) return String.fromCodePoint(0x2400 + code);
  if (code === 127) return "␡";
  if (/^\p{M}/u.test(char)) return `\u25cc${char}`;
  return /^[\p{C}\p{Z}]/u.test(char) ? `U+${code.toString(16).toUpperCase().padStart(4, "0")}` : char;
}
