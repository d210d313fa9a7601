// Demonstrations in, ΔW_ICL out: a relaxed head computed two ways, next to softmax attention.
import { h, s, axes, color, drawing, frame, number, readout, readouts, scale, sentence, slider, text, ticks } from "./kit.js";

const ZERO = [[0, 0], [0, 0]];

/** Σ_i v_i ⊗ k_i as a 2 × 2 matrix. */
export function outerSum(values, keys) {
  return values.reduce(
    (sum, v, i) => sum.map((row, a) => row.map((x, b) => x + v[a] * keys[i][b])),
    ZERO,
  );
}

/** Matrix times vector. */
export function times(matrix, q) {
  return matrix.map((row) => row[0] * q[0] + row[1] * q[1]);
}

const dot = (a, b) => a[0] * b[0] + a[1] * b[1];
const plus = (a, b) => [a[0] + b[0], a[1] + b[1]];
const length = (a) => Math.hypot(a[0], a[1]);

/** Σ_i v_i (k_i · q): linear attention, with no matrix in between. */
export function linearAttention(q, keys, values) {
  return values.reduce((sum, v, i) => plus(sum, v.map((x) => x * dot(keys[i], q))), [0, 0]);
}

/** Softmax attention and the mass that it puts on the first `count` tokens. */
export function softmaxAttention(q, keys, values, count) {
  const scores = keys.map((k) => dot(k, q));
  const top = Math.max(...scores);
  const grown = scores.map((x) => Math.exp(x - top));
  const total = grown.reduce((a, b) => a + b, 0);
  const output = values.reduce((sum, v, i) => plus(sum, v.map((x) => (x * grown[i]) / total)), [0, 0]);
  return { output, mass: grown.slice(0, count).reduce((a, b) => a + b, 0) / total };
}

/** Everything that the figure shows, from its state. */
export function numbers(state) {
  const turn = (state.angle * Math.PI) / 180;
  const q = [state.scale * Math.cos(turn), state.scale * Math.sin(turn)];
  const keys = state.demo_keys.slice(0, state.count);
  const values = state.demo_values.slice(0, state.count);
  const allKeys = [...keys, ...state.text_keys];
  const allValues = [...values, ...state.text_values];
  const update = outerSum(values, keys);
  const zeroShot = outerSum(state.text_values, state.text_keys);
  const attention = linearAttention(q, allKeys, allValues);
  const matrix = plus(times(zeroShot, q), times(update, q));
  const { output: softmax, mass } = softmaxAttention(q, allKeys, allValues, state.count);
  const kept = softmaxAttention(q, state.text_keys, state.text_values, 0).output;
  const gap = [matrix[0] - softmax[0], matrix[1] - softmax[1]];
  const cosine = dot(matrix, softmax) / (length(matrix) * length(softmax));
  return { q, values, update, zeroShot, attention, matrix, softmax, mass, kept, error: length(gap) / length(softmax), cosine };
}

const TRAITS = ["demo_keys", "demo_values", "text_keys", "text_values", "count", "scale", "angle"];
const read = (model) => Object.fromEntries(TRAITS.map((name) => [name, model.get(name)]));
const fixed = (x) => (Math.abs(x) < 0.005 ? 0 : x).toFixed(2).replace("-", "−");
const pair = (v) => `(${fixed(v[0])}, ${fixed(v[1])})`;

function words({ count }, found) {
  const agree = Math.max(...found.attention.map((x, i) => Math.abs(x - found.matrix[i]))) < 1e-9;
  const many = `${count} demonstration${count === 1 ? "" : "s"}`;
  if (count === 0) {
    return `No demonstrations: ΔW is the zero matrix and λ is 0. The relaxed output ${pair(found.matrix)} still differs `
      + `from softmax ${pair(found.softmax)}, by ${number(found.error)} times its length.`;
  }
  return `${many}: attention and matrix ${agree ? "give the same" : "differ at"} ${pair(found.matrix)}. Softmax gives ${pair(found.softmax)}: `
    + `it puts λ = ${number(found.mass)} on the demonstrations and shrinks the zero-shot part to ${number(1 - found.mass)}. `
    + `The relaxed output is off by ${number(found.error)} times the softmax output's length.`;
}

function heat(name, label) {
  const cells = [0, 1].flatMap((a) => [0, 1].map((b) => {
    const made = readout({ name: `${name}_${a}${b}`, label: `row ${a + 1}, column ${b + 1}`, format: fixed });
    made.element.style.cssText = "padding:0.5rem;text-align:center;border-radius:0.25rem";
    made.element.firstChild.style.color = color("text");
    return { ...made, a, b };
  }));
  const grid = h("div", { style: "display:grid;grid-template-columns:1fr 1fr;gap:0.25rem;max-width:17rem" }, cells.map((c) => c.element));
  const set = (matrix) => cells.forEach(({ element, set: write, a, b }) => {
    const x = matrix[a][b];
    const share = 36 * (1 - Math.exp(-Math.abs(x) / 2));
    element.style.background = `color-mix(in srgb, var(--icl-${x < 0 ? "error" : "value"}) ${share.toFixed(1)}%, var(--icl-background))`;
    write(x);
  });
  return { element: h("div", { role: "group", "aria-label": label }, [h("p", { class: "icl-hint", text: label }), grid]), set };
}

function arrow(x, y, v, role, width, dash) {
  const [x1, y1, x2, y2] = [x(0), y(0), x(v[0]), y(v[1])];
  const size = Math.hypot(x2 - x1, y2 - y1);
  if (size < 1) return s("circle", { cx: x1, cy: y1, r: 4, fill: color(role) });
  const [ux, uy] = [(x2 - x1) / size, (y2 - y1) / size];
  const [long, half] = [Math.min(10, 0.6 * size), Math.min(5, 0.3 * size)];
  const back = [x2 - long * ux, y2 - long * uy];
  const head = [[x2, y2], [back[0] + half * uy, back[1] - half * ux], [back[0] - half * uy, back[1] + half * ux]];
  return [
    s("line", { x1, y1, x2: back[0], y2: back[1], stroke: color(role), "stroke-width": width, "stroke-dasharray": dash }),
    s("polygon", { points: head.map((p) => p.map((c) => c.toFixed(2)).join(",")).join(" "), fill: color(role) }),
  ];
}

function plane() {
  const box = [40, 24, 404, 270];
  const picture = drawing({ width: 420, height: 400, label: "" });
  const rows = [["predicted", "relaxed: (W_ZSL + ΔW) q"], ["gold", "softmax attention over all tokens"],
    ["query", "softmax without demonstrations"], ["key", "values of the demonstrations"]];
  const legend = rows.flatMap(([role, label], i) => [
    s("rect", { x: 44, y: 318 + 20 * i, width: 12, height: 12, fill: color(role) }),
    text(64, 329 + 20 * i, label, { size: 13 }),
  ]);
  const set = (found) => {
    const reach = 1.15 * Math.max(1.2, ...[found.matrix, found.softmax, found.kept, ...found.values].flat().map(Math.abs));
    const x = scale([-1.48 * reach, 1.48 * reach], [box[0], box[2]]);
    const y = scale([-reach, reach], [box[3], box[1]]);
    picture.redraw(
      axes({ x, y, box, xTicks: ticks(-1.48 * reach, 1.48 * reach, 5), yTicks: ticks(-reach, reach, 4), xLabel: "first component", yLabel: "second component" }),
      found.values.map((v) => s("circle", { cx: x(v[0]), cy: y(v[1]), r: 4, fill: color("key") })),
      arrow(x, y, found.matrix, "predicted", 3),
      arrow(x, y, found.kept, "query", 2.5, "5 3"),
      arrow(x, y, found.softmax, "gold", 3),
      legend,
    );
    picture.describe(`Three arrows: the relaxed output ${pair(found.matrix)}, softmax attention ${pair(found.softmax)}, softmax without demonstrations ${pair(found.kept)}.`);
  };
  return { element: picture.element, set };
}

function render({ model, el }) {
  const controls = [
    slider({ model, trait: "count", label: "Demonstrations N", min: 0, max: model.get("demo_keys").length, step: 1 }),
    slider({ model, trait: "scale", label: "Score scale ‖q‖", min: 0.05, max: 3, step: 0.05 }),
    slider({ model, trait: "angle", label: "Query angle", min: -180, max: 180, step: 5, format: (x) => `${number(x)}°` }),
  ];
  const matrix = heat("update", "ΔW_ICL = Σ v ⊗ k, over the demonstrations");
  const plot = plane();
  const vectors = readouts([
    { name: "attention", label: "relaxed, as attention", format: pair, role: "predicted" },
    { name: "matrix", label: "relaxed, as (W_ZSL + ΔW) q", format: pair, role: "predicted" },
    { name: "softmax", label: "softmax attention", format: pair, role: "gold" },
    { name: "kept", label: "softmax, no demonstrations", format: pair, role: "query" },
    { name: "mass", label: "λ, mass on demonstrations" },
    { name: "error", label: "relative error of the relaxed output" },
    { name: "cosine", label: "cosine with softmax" },
  ]);
  const said = sentence();
  const update = () => {
    const state = read(model);
    const found = numbers(state);
    matrix.set(found.update);
    plot.set(found);
    const { attention, matrix: product, softmax, kept, mass, error, cosine } = found;
    vectors.set({ attention, matrix: product, softmax, kept, mass, error, cosine });
    said.say(words(state, found));
  };
  frame({
    el, model, title: "Demonstrations in, ΔW out", controls,
    body: [h("div", { class: "icl-pair" }, [matrix.element, plot.element]), vectors, said],
    update,
  });
}

export default { render };
