// What the page's script takes from the file (compuerta.see.html and compuerta.see.scene write it) and hands around.

type Numbers = Float32Array | Float64Array;
type Typed = Numbers | Int32Array | Uint8Array;
type Arrays = Record<string, Typed>;
type Words = Record<string, string>;
type Fields = Record<string, unknown>;
type Colour = number[];

/** One quantity of a cell, as compuerta.gates describes it. */
interface Quantity {
  symbol: string;
  equation: string;
  noted: string;
  range: [number, number] | null;
}

/** The equation of a memory: compuerta.gates.MemoryEquation. */
interface MemoryEquation {
  quantity: string;
  keep: string;
  candidate: string;
  write: string | null;
  normalized: boolean;
  clip: number | null;
  zoneout: number;
}

/** What a cell is: compuerta.gates.CellKind. */
interface Kind {
  key: string;
  title: string;
  /** In the order in which a step computes them. */
  quantities: Record<string, Quantity>;
  /** The blocks of the stacked parameters, and those of them that are gates. */
  blocks: string[];
  own_gates: string[];
  /** The parts of the state, the output first. */
  parts: string[];
  memory: MemoryEquation;
  /** Name, alpha and beta of what each block, and the output, passes through. */
  activations: Record<string, [string, number, number]>;
  plain: boolean;
  switches: { coupled?: boolean; clip?: number; cell_clip?: number; zoneout?: [number, number] } & Fields;
}

/** A quantity of a unit of a place that is clamped at a value v. */
interface Clamp {
  p: number;
  q: string;
  u: number;
  v: number;
}

/** A step of the lesson. */
interface LessonStep {
  name: string;
  t: number;
  u: number;
  q: string;
  lit: string;
  asked: string;
  answer: string;
  views: string[];
  after: string[];
  values: Record<string, any>;
}

/** What the file says about all of its runs. */
interface About {
  title: string;
  kind: Kind;
  hidden: number;
  H: number;
  layers: number;
  directions: number;
  /** Layer and direction (1 reads backward) of each place. */
  places: [number, number][];
  units: number[];
  vocabulary: string[];
  flowOf: string;
  reach: [number, number];
  labels: string[] | null;
  lesson: LessonStep[];
  warm: number;
  shifts: number[];
  stops: { gates: Colour[]; signed: Colour[] };
  start: { unit: number; place: number; key?: string };
}

/** What the page knows of the file, and all runs of it. */
interface Data extends About {
  id: string;
  limits: Record<string, number>;
  model: Model | null;
  runs: Record<string, Run>;
  parity: Parity;
}

/** What the cell of a model is that the page can run, and its sizes. */
interface ModelMeta {
  kind: Kind;
  names: string[];
  inputs: number;
  hidden: number;
  handed: number;
  outputs: number;
  log?: boolean;
  /** What keeps a standard deviation from 0. */
  epsilon: number;
}

/** The arrays of one place, of which each kind of cell has its own: w_x (rows, inputs), w_h, b, … */
interface Weights extends Record<string, any> {
  w_x: Numbers;
  b: Numbers;
  table?: Float64Array[];
}

interface Model extends ModelMeta {
  H: number;
  places: Weights[];
  w: Numbers;
  b: Numbers;
  embedding: Numbers;
  around: Numbers[];
  initial?: Initial;
}

type Initial = Record<string, Numbers[]> | undefined;
type Inputs = Int32Array | Numbers[];
/** Quantities of one place at one step. */
type State = Record<string, Float64Array>;
/** A stored quantity of a place after a step, where there is one. */
type Stored = (q: string, p: number, t: number) => Numbers | undefined;

/** One reading: every quantity at every step, stored in the file or computed here. */
interface Run {
  T: number;
  /** By quantity and place, (T × H). */
  values: Record<string, Numbers[]>;
  inputs: any;
  ids?: Int32Array;
  initial?: Initial;
  series?: Float64Array;
  forecast?: Numbers;
  probabilities?: Float32Array | null;
  flow?: Record<string, any>;
  numbers?: Int32Array;
  label?: string;
  model: Model | null;
  clamps: Clamp[];
  /** The name of the stored run, or of the one whose model a live run is of. */
  home: string;
  stored: Stored;
  start?: number;
  kept?: Map<number, Numbers[][]>;
}

interface RunMeta {
  name: string;
  T: number;
  label: string;
  whole: number;
  frames: number[];
  parts: string[];
  clamps: Clamp[];
}

interface PageFile {
  about: About;
  model: ModelMeta | null;
  other: ModelMeta | null;
  runs: RunMeta[];
  index: [string, "f4" | "f8" | "i4" | "u1", number][];
  blob: string;
  texts: Record<string, Words>;
  page: boolean;
  lang: string;
  code: string;
  css: string;
}

interface Parity {
  worst: number;
  allowed: number;
  same: boolean;
}

/** What all views show; see state.js. */
interface Shown {
  t: number;
  p: number;
  u: number;
  q: string;
  order: string;
  shown: string;
  pin: number | null;
  mark: [number, number] | null;
  marks: boolean[] | null;
  stroke: number;
  clamps: Clamp[];
  lesson: number | null;
  lit: string;
  asked: string;
  rev: number;
  brush?: boolean;
  playing?: boolean;
}

type Changed = Set<string>;
/** A key, its name on the keyboard, the end of the key of its text, and what it does. */
type Key = [string, string, string, (root: HTMLElement) => unknown];
/** Where things stand in the drawing of a cell, and the sentence of what happens at a step. */
interface Plan {
  texts: Record<string, [number, number, string?]>;
  story: (at: Fields) => string;
  boxes: Record<string, [number, number]>;
  ops: [string, number, number, string?][];
  wires: [string, string][];
}

/** A step of a cell: it makes what takes the state `s` one step on by x, what the input adds to every block. */
type Cell = (
  model: Model,
  w: Weights,
  s: State,
  clamp: (q: string, values?: Float64Array) => void,
) => (x: Float64Array) => void;

/** What the model computes of a run, before the views have all that they want. */
type Computed = Pick<Run, "T" | "values" | "start">;

/** One term of the sum in a gate. */
interface Term {
  kind: string;
  index?: number;
  place?: number;
  value: number;
}

interface Ledger {
  steps: number[];
  shares: Float64Array;
  start: number;
  total: number;
}

/** Yes or no, or a number, for each character. */
type Labels = any[];
/** A unit that follows labels, with its score on the second half; sign: −1 where it follows them upside down. */
interface Hit {
  q: string;
  p: number;
  u: number;
  sign: number;
  score: number;
}

interface Search {
  binary: boolean;
  best: Hit[];
  chance: number;
}

// ---- elements ------------------------------------------------------------------------------------------------------

type Tag<W> = W extends `${infer T}.${string}` ? T : W;
type ElementOf<W> =
  Tag<W> extends `svg:${infer T}`
    ? T extends keyof SVGElementTagNameMap
      ? SVGElementTagNameMap[T]
      : SVGElement
    : Tag<W> extends keyof HTMLElementTagNameMap
      ? HTMLElementTagNameMap[Tag<W>]
      : HTMLElement;
type Child = Node | string | number | boolean | null | undefined | Child[];

declare var compuerta: { mount: (id: string, file: PageFile, bytes: Uint8Array) => void };
