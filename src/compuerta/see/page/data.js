// Typed arrays out of the inflated file: the bytes of each array put back beside each other.

const KINDS = { f4: Float32Array, f8: Float64Array, i4: Int32Array, u1: Uint8Array };

/** {name: typed array} of the arrays that the index describes: [name, kind, length], one after another. */
export function unpack(bytes, index) {
  const arrays = {};
  let at = 0;
  for (const [name, kind, length] of index) {
    const made = new KINDS[kind](length);
    const out = new Uint8Array(made.buffer);
    const width = made.BYTES_PER_ELEMENT;
    for (let b = 0; b < width; b++) for (let k = 0; k < length; k++) out[k * width + b] = bytes[at++];
    arrays[name] = made;
  }
  return arrays;
}
