// Typed arrays out of the inflated file: the bytes of each array put back beside each other.

const KINDS = { f4: Float32Array, f8: Float64Array, i4: Int32Array, u1: Uint8Array };

/**
 * {name: typed array} of the arrays that the index describes: [name, kind, length], one after another.
 * @param {Uint8Array} bytes
 * @param {PageFile["index"]} index
 */
export function unpack(bytes, index) {
  /** @type {Arrays} */
  const arrays = {};
  let at = 0;
  for (const [name, kind, length] of index) {
    const array = new KINDS[kind](length);
    const out = new Uint8Array(array.buffer);
    const width = array.BYTES_PER_ELEMENT;
    for (let b = 0; b < width; b++) for (let k = 0; k < length; k++) out[k * width + b] = bytes[at++];
    arrays[name] = array;
  }
  return arrays;
}
