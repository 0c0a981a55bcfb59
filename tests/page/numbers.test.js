import assert from "node:assert/strict";
import { test } from "node:test";

import { unpack } from "../../src/compuerta/see/page/data.js";
import { csvCell } from "../../src/compuerta/see/page/export.js";
import { through } from "../../src/compuerta/see/page/elements.js";
import { gateOf } from "../../src/compuerta/see/page/train.js";
import { numbers } from "./page.js";

test("arrays come out of their planes of bytes as they went in", () => {
  const arrays = [Float32Array.from(numbers(1, 7)), numbers(2, 3), Int32Array.from([1, -2, 1 << 30]), Uint8Array.of(9)];
  const planes = arrays.flatMap((array) => {
    const bytes = new Uint8Array(array.buffer);
    const width = array.BYTES_PER_ELEMENT;
    return Array.from({ length: width }, (_, b) => Array.from(array.keys(), (k) => bytes[k * width + b])).flat();
  });
  const index = ["f4", "f8", "i4", "u1"].map((kind, k) => [kind, kind, arrays[k].length]);
  assert.deepEqual(Object.values(unpack(Uint8Array.from(planes), index)), arrays);
});

test("a cell of a table is text to a spreadsheet, never a formula", () => {
  assert.deepEqual(["=1+1", '"', "a,b", "plain", -1.5, "@x", "\t"].map(csvCell), [
    '"\'=1+1"',
    '""""',
    '"a,b"',
    "plain",
    "-1.5",
    '"\'@x"',
    '"\'\t"',
  ]);
});

test("a line breaks where there is no number", () => {
  assert.equal(through([[0, 1], [1, 2], [2, NaN], [3, 4], [4, 5]]), "M0 1L1 2M3 4L4 5"); // prettier-ignore
});

test("the slope of the gate that learns is the derivative of its loss", () => {
  for (const b of numbers(3, 5, -3, 3)) {
    const e = 1e-5;
    const slope = (gateOf(b + e, 12).loss - gateOf(b - e, 12).loss) / (2 * e);
    assert.ok(Math.abs(gateOf(b, 12).slope - slope) < 1e-8);
  }
});
