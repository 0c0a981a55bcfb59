import assert from "node:assert/strict";
import { test } from "node:test";

import { glyph, num, percent, say, signed, speak } from "../../src/compuerta/see/page/words.js";

test("a number has a true minus, a fixed number of decimals, and an exponent where they would say nothing", () => {
  assert.deepEqual(
    [0, 1.23456, -0.5, 0.0001, 123456, NaN, Infinity, -Infinity].map((v) => num(v)),
    ["0.000", "1.235", "−0.500", "1.0e−4", "1.2e+5", "NaN", "∞", "−∞"],
  );
  assert.equal(num(2.345, 0), "2");
});

test("a sign is a glyph too", () => {
  assert.deepEqual(
    [1, -1, 0, NaN].map((v) => signed(v, 1)),
    ["▲ +1.0", "▼ −1.0", "= 0.0", "NaN"],
  );
});

test("every character can be seen", () => {
  assert.deepEqual(["a", " ", "\n", "\x00", "\x7f", "\u0301", "\u2028", "\u00a0"].map(glyph), [
    "a",
    "␣",
    "⏎",
    "␀",
    "␡",
    "◌\u0301",
    "U+2028",
    "U+00A0",
  ]);
});

test("a sentence is in the language of the page, its fields filled in once", () => {
  speak({ en: { key: "{a} of {b}, {c}" }, es: { key: "{a} de {b}" } }, "es");
  assert.equal(say("key", { a: "{b}", b: 2 }), "{b} de 2");
  assert.match(percent(0.5), /^50\s%$/);
  speak({ en: { key: "{a} of {b}, {c}" } }, "toString");
  assert.equal(say("key", { a: 1, b: 2 }), "1 of 2, {c}");
  assert.equal(percent(0.055), "5.5%");
  assert.equal(say("no key"), "no key");
});
