// Two updates of one output: their similarity as they are, after normalising first, and what chance would give.
import { axes, color, drawing, frame, h, number, path, readouts, s, scale, sentence, setter, slider, text } from "./kit.js";

const [SHORTEST, LONGEST, PLACES] = [0.1, 10, 80];
const [DIMENSIONS, PAIRS, SEED] = [64, 800, 17];
const DOTS = [0.25, 0.5, 1, Math.sqrt(3), 3, 6, 10];

/** Numbers in [0, 1) from a seed, the same in every browser (mulberry32). */
export function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t ^ (t + Math.imul(t ^ (t >>> 7), t | 61))) >>> 0;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Pairs of random directions: [cosine of the first with z, of the second with z, of both]. */
export function randomPairs(dimensions, count, seed) {
  const next = uniform(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  return Array.from({ length: count }, () => {
    const [a, b] = [0, 1].map(() => Array.from({ length: dimensions }, normal));
    const dot = (x, y) => x.reduce((sum, v, i) => sum + v * y[i], 0);
    const [long, wide] = [Math.sqrt(dot(a, a)), Math.sqrt(dot(b, b))];
    return [a[0] / long, b[0] / wide, dot(a, b) / (long * wide)];
  });
}

/**
 * The published similarity of two updates t₁ and t₂ times as long as the zero-shot output z:
 * (cos(h₁, h₂) − cos(h₁, z) − cos(h₂, z) + 1) / 2√((1 − cos(h₁, z))(1 − cos(h₂, z))).
 */
export function normalisedSimilarity(t1, t2, [a1, a2, a12]) {
  const [n1, n2] = [Math.sqrt(1 + 2 * t1 * a1 + t1 ** 2), Math.sqrt(1 + 2 * t2 * a2 + t2 ** 2)];
  const [c1, c2] = [(1 + t1 * a1) / n1, (1 + t2 * a2) / n2];
  const c12 = (1 + t1 * a1 + t2 * a2 + t1 * t2 * a12) / (n1 * n2);
  return (c12 - c1 - c2 + 1) / (2 * Math.sqrt((1 - c1) * (1 - c2)));
}

const retreat = (t) => 1 - 1 / Math.sqrt(1 + t ** 2);

/** What independent updates show: ½ √((1 − 1/s₁)(1 − 1/s₂)), s = √(1 + t²). */
export function chance(t1, t2) {
  return Math.sqrt(retreat(t1) * retreat(t2)) / 2;
}

/** How long both updates would have to be for a chance of this size. */
export function lengthFor(score) {
  return Math.sqrt(1 / (1 - 2 * score) ** 2 - 1);
}

const drawn = randomPairs(DIMENSIONS, PAIRS, SEED);

/** The same by drawing: the mean over random pairs. */
export function simulated(t1, t2) {
  return drawn.reduce((sum, pair) => sum + normalisedSimilarity(t1, t2, pair), 0) / drawn.length;
}

/** Everything that the figure shows, from its state. */
export function numbers({ icl, ft, angle, shift }) {
  const [t1, t2] = [Math.hypot(icl, shift), Math.hypot(ft, shift)];
  const own = icl * ft * Math.cos((angle * Math.PI) / 180);
  const raw = (own + shift ** 2) / (t1 * t2);
  const kept = shift ** 2 / (t1 * t2);
  return {
    raw,
    normalised: normalisedSimilarity(t1, t2, [0, 0, raw]),
    chance: chance(t1, t2),
    simulated: simulated(t1, t2),
    shuffled_raw: kept,
    shuffled: normalisedSimilarity(t1, t2, [0, 0, kept]),
    ratio_icl: t1,
    ratio_ft: t2,
  };
}

const TRAITS = ["icl", "ft", "angle", "shift"];
const read = (model) => Object.fromEntries(TRAITS.map((name) => [name, model.get(name)]));
const fixed = (x) => (Math.abs(x) < 0.0005 ? 0 : x).toFixed(3).replace("-", "−");

function words({ angle, shift }, found) {
  const start = `The updates are ${number(found.ratio_icl)} and ${number(found.ratio_ft)} times as long as the zero-shot output. `
    + `Cosine as they are: ${fixed(found.raw)}. After normalising first: ${fixed(found.normalised)}. `
    + `Independent updates of these lengths would show ${fixed(found.chance)}.`;
  if (shift > 0) {
    return `${start} With the partners exchanged only the common shift is left: ${fixed(found.shuffled_raw)} and ${fixed(found.shuffled)}.`;
  }
  if (Math.abs(angle - 90) < 0.5) return `${start} They have nothing in common: all of the second number is made by normalising.`;
  if (angle > 90 && found.normalised > 0) return `${start} They point apart, and the published score is positive all the same.`;
  return start;
}

function arrow(from, to, role, width, dash) {
  const [x1, y1, x2, y2] = [...from, ...to];
  const size = Math.hypot(x2 - x1, y2 - y1);
  if (size < 1) return [s("circle", { cx: x1, cy: y1, r: 4, fill: color(role) })];
  const [ux, uy] = [(x2 - x1) / size, (y2 - y1) / size];
  const [long, half] = [Math.min(10, 0.6 * size), Math.min(5, 0.3 * size)];
  const back = [x2 - long * ux, y2 - long * uy];
  const head = [[x2, y2], [back[0] + half * uy, back[1] - half * ux], [back[0] - half * uy, back[1] + half * ux]];
  return [
    s("line", { x1, y1, x2: back[0], y2: back[1], stroke: color(role), "stroke-width": width, "stroke-dasharray": dash }),
    s("polygon", { points: head.map((p) => p.map((c) => c.toFixed(2)).join(",")).join(" "), fill: color(role) }),
  ];
}

/** Two lengths and the cosine between them as two points, level with each other's bisector. */
export function place(one, other, cosine) {
  const half = Math.acos(Math.max(-1, Math.min(1, cosine))) / 2;
  return [[one * Math.cos(half), one * Math.sin(half)], [other * Math.cos(half), -other * Math.sin(half)]];
}

function plane() {
  const picture = drawing({ width: 360, height: 316, label: "" });
  const set = (found) => {
    const raw = place(found.ratio_icl, found.ratio_ft, found.raw);
    const cut = [found.ratio_icl, found.ratio_ft].map((t) => Math.sqrt(2 * retreat(t)));
    const normal = place(...cut, found.normalised);
    const [left, middle, room] = [128, 132, 118];
    const reach = 1.06 * Math.max(1, ...[...raw, ...normal].map(([a, b]) => Math.max((a * room) / 215, Math.abs(b))));
    const unit = room / reach;
    const at = ([a, b]) => [left + unit * a, middle - unit * b];
    picture.redraw(
      s("line", { x1: 8, x2: 352, y1: middle, y2: middle, stroke: color("grid") }),
      s("circle", { cx: left, cy: middle, r: unit, fill: "none", stroke: color("grid") }),
      arrow(at([0, 0]), at(raw[0]), "query", 3),
      arrow(at([0, 0]), at(raw[1]), "predicted", 3),
      arrow(at([0, 0]), at(normal[0]), "query", 2, "5 4"),
      arrow(at([0, 0]), at(normal[1]), "predicted", 2, "5 4"),
      s("circle", { cx: left, cy: middle, r: 4.5, fill: color("text") }),
      text(left - 10, middle - 6, "zero-shot output", { anchor: "end", role: "muted", size: 12 }),
      s("rect", { x: 12, y: 274, width: 12, height: 12, fill: color("query") }),
      text(30, 285, "ICL", { size: 13 }),
      s("rect", { x: 70, y: 274, width: 12, height: 12, fill: color("predicted") }),
      text(88, 285, "finetuning", { size: 13 }),
      text(186, 285, "ring: that output's length", { size: 13, role: "muted" }),
      text(12, 307, "solid: as they are · dashed: normalised first", { size: 13, role: "muted" }),
    );
    picture.describe(`Two arrows from the zero-shot output: cosine ${fixed(found.raw)}. The same two after normalising first: cosine ${fixed(found.normalised)}.`);
  };
  return { element: picture.element, set };
}

function curve() {
  const box = [44, 26, 344, 250];
  const picture = drawing({ width: 360, height: 316, label: "" });
  const x = scale([SHORTEST, LONGEST], [box[0], box[2]], { log: true });
  const y = scale([-0.2, 1], [box[3], box[1]]);
  const xs = Array.from({ length: PLACES + 1 }, (_, i) => SHORTEST * (LONGEST / SHORTEST) ** (i / PLACES));
  const line = s("path", { d: path(xs.map((t) => [x(t), y(chance(t, t))])), fill: "none", stroke: color("gold"), "stroke-width": 2.5 });
  const dots = DOTS.map((t) => s("circle", { cx: x(t), cy: y(simulated(t, t)), r: 4, fill: "none", stroke: color("gold"), "stroke-width": 1.5 }));
  const low = (value) => Math.max(-0.2, value);
  const set = (found) => {
    const here = x(Math.max(SHORTEST, Math.min(LONGEST, lengthFor(found.chance))));
    const mark = (value, role, r) => s("circle", { cx: here, cy: y(low(value)), r, fill: color(role) });
    picture.redraw(
      axes({ x, y, box, xTicks: [0.1, 0.3, 1, 3, 10], yTicks: [0, 0.25, 0.5, 0.75, 1], xLabel: "length of both updates, zero-shot output = 1", yLabel: "similarity" }),
      s("line", { x1: here, x2: here, y1: y(found.chance), y2: y(low(found.normalised)), stroke: color("error"), "stroke-width": 2 }),
      line,
      dots,
      mark(found.chance, "gold", 5.5),
      mark(found.normalised, "error", 5.5),
      mark(found.raw, "neutral", 4.5),
      ...[["gold", "chance (rings: drawn)", 12], ["error", "published", 174], ["neutral", "raw", 266]].flatMap(([role, label, left]) => [
        s("circle", { cx: left + 6, cy: 302, r: 5.5, fill: color(role) }),
        text(left + 18, 307, label, { size: 13 }),
      ]),
    );
    picture.describe(`Chance against the length of the updates: ${fixed(chance(1, 1))} at 1, 0.25 at the root of 3, below 0.5 for ever. Here chance is ${fixed(found.chance)}, the published similarity ${fixed(found.normalised)}, the raw one ${fixed(found.raw)}.`);
  };
  return { element: picture.element, set };
}

function render({ model, el }) {
  const long = { min: SHORTEST, max: LONGEST, step: PLACES, log: true };
  const lengths = [
    slider({ model, trait: "icl", label: "Length of the ICL update ρ", ...long }),
    slider({ model, trait: "ft", label: "Length of the finetuning update ρ′", ...long }),
  ];
  lengths.forEach((control) => control.setMarks([{ value: Math.sqrt(3), label: "√3", role: "gold" }]));
  const controls = [
    ...lengths,
    slider({ model, trait: "angle", label: "Angle between them", min: 0, max: 180, step: 5, format: (v) => `${number(v)}°` }),
    slider({ model, trait: "shift", label: "Length of a shift that both share", min: 0, max: 4, step: 0.1 }),
    setter({ model, label: "Independent, both √3 long", values: () => ({ icl: Math.sqrt(3), ft: Math.sqrt(3), angle: 90, shift: 0 }) }),
  ];
  const [left, right] = [plane(), curve()];
  const keyNumbers = readouts([
    { name: "normalised", label: "published: normalised first", role: "error", format: fixed },
    { name: "chance", label: "chance, closed form", role: "gold", format: fixed },
    { name: "simulated", label: `chance, ${PAIRS} random pairs`, role: "gold", format: fixed },
    { name: "raw", label: "raw", format: fixed },
    { name: "shuffled", label: "partners exchanged, published", format: fixed },
    { name: "shuffled_raw", label: "partners exchanged, raw", format: fixed },
    { name: "ratio_icl", label: "whole ICL update", role: "query" },
    { name: "ratio_ft", label: "whole finetuning update", role: "predicted" },
  ]);
  const said = sentence();
  const update = () => {
    const state = read(model);
    const found = numbers(state);
    left.set(found);
    right.set(found);
    keyNumbers.set(found);
    said.say(words(state, found));
  };
  frame({
    el, model, title: "Two updates, and what chance gives", controls,
    body: [h("div", { class: "icl-pair" }, [h("div", {}, [left.element]), h("div", {}, [right.element])]), keyNumbers, said],
    update,
  });
}

export default { render };
