// A layer trained on a few examples, as a matrix and as attention over those examples.
import { h, s, axes, color, drawing, frame, number, readout, readouts, scale, sentence, slider, text, ticks } from "./kit.js";

const dot = (a, b) => a[0] * b[0] + a[1] * b[1];
const plus = (a, b) => [a[0] + b[0], a[1] + b[1]];
const times = (matrix, v) => matrix.map((row) => dot(row, v));

/** One pass of gradient descent on ½‖W x − y‖² from W = 0: error signals η(y − W x), and W. */
export function train(inputs, targets, eta) {
  let weight = [[0, 0], [0, 0]];
  const errors = inputs.map((x, i) => {
    const out = times(weight, x);
    const error = targets[i].map((y, a) => eta * (y - out[a]));
    weight = weight.map((row, a) => row.map((w, b) => w + error[a] * x[b]));
    return error;
  });
  return { errors, weight };
}

/** Everything that the figure shows, from its state. */
export function numbers(state) {
  const inputs = state.inputs.slice(0, state.count);
  const query = [state.query_1, state.query_2];
  const { errors, weight } = train(inputs, state.targets.slice(0, state.count), state.step_size);
  const scores = inputs.map((x) => dot(x, query));
  const parts = errors.map((e, i) => e.map((x) => x * scores[i]));
  const attention = parts.reduce(plus, [0, 0]);
  const matrix = times(weight, query);
  const gap = Math.hypot(attention[0] - matrix[0], attention[1] - matrix[1]) / Math.max(1e-300, Math.hypot(...matrix));
  return { inputs, query, errors, weight, scores, parts, attention, matrix, gap: Math.hypot(...matrix) ? gap : 0 };
}

const TRAITS = ["inputs", "targets", "count", "step_size", "query_1", "query_2"];
const read = (model) => Object.fromEntries(TRAITS.map((name) => [name, model.get(name)]));
const fixed = (x) => (Math.abs(x) >= 1e4 ? number(x) : (Math.abs(x) < 0.005 ? 0 : x).toFixed(2).replace("-", "−"));
const pair = (v) => `(${fixed(v[0])}, ${fixed(v[1])})`;
const INDEX = "₁₂₃₄₅₆₇₈₉";

function words({ count, step_size: eta }, found) {
  if (count === 0) return "No examples yet: the matrix is zero, and there is nothing to attend to.";
  const sizes = found.parts.map((p) => Math.hypot(...p));
  const top = sizes.indexOf(Math.max(...sizes));
  const many = `${count} example${count === 1 ? "" : "s"}`;
  const start = `Trained on ${many} with step size ${number(eta)}, the matrix answers ${pair(found.matrix)}, and attention over `
    + `the ${many} answers ${pair(found.attention)}.`;
  const lean = sizes[top] > 0 ? ` Example ${top + 1} contributes most: its score is ${fixed(found.scores[top])}.` : " The query meets no key.";
  const [first, last] = [found.errors[0], found.errors.at(-1)].map((e) => Math.hypot(...e));
  const wild = last > first ? " The error signals grow instead of shrinking. The two forms still agree." : "";
  return start + lean + wild;
}

function arrow(x, y, from, to, role, width, dash) {
  const [x1, y1, x2, y2] = [x(from[0]), y(from[1]), x(to[0]), y(to[1])];
  const size = Math.hypot(x2 - x1, y2 - y1);
  if (size < 1) return [];
  const [ux, uy] = [(x2 - x1) / size, (y2 - y1) / size];
  const tip = Math.min(9, size / 2);
  const head = [[x2, y2], [x2 - tip * ux + tip * uy / 2, y2 - tip * uy - tip * ux / 2], [x2 - tip * ux - tip * uy / 2, y2 - tip * uy + tip * ux / 2]];
  return [
    s("line", { x1, y1, x2: x2 - tip * ux / 2, y2: y2 - tip * uy / 2, stroke: color(role), "stroke-width": width, "stroke-dasharray": dash }),
    s("polygon", { points: head.map((p) => p.map((c) => c.toFixed(2)).join(",")).join(" "), fill: color(role) }),
  ];
}

function plane(title, xLabel) {
  const box = [44, 30, 394, 300];
  const picture = drawing({ width: 410, height: 350, label: title });
  const set = (points, draw, label) => {
    const reach = 1.15 * Math.max(1, ...points.flat().map(Math.abs));
    const wide = (reach * (box[2] - box[0])) / (box[3] - box[1]);
    const x = scale([-wide, wide], [box[0], box[2]]);
    const y = scale([-reach, reach], [box[3], box[1]]);
    picture.redraw(
      axes({ x, y, box, xTicks: ticks(-wide, wide, 5), yTicks: ticks(-reach, reach, 4), xLabel, yLabel: title }),
      s("line", { x1: x(0), y1: box[1], x2: x(0), y2: box[3], stroke: color("grid"), "stroke-width": 1 }),
      draw(x, y),
    );
    picture.describe(label);
  };
  return { element: picture.element, set };
}

function drawInputs(found) {
  return (x, y) => [
    found.inputs.map((p, i) => [
      s("circle", { cx: x(p[0]), cy: y(p[1]), r: 5, fill: color("key") }),
      text(x(p[0]) + 8, y(p[1]) + 4, `x${INDEX[i]}`, { role: "key" }),
    ]),
    arrow(x, y, [0, 0], found.query, "query", 3),
    text(x(found.query[0]), y(found.query[1]) + (found.query[1] < 0 ? 18 : -8), "query x", { role: "query", anchor: "middle" }),
  ].flat(3);
}

function drawSum(found) {
  let at = [0, 0];
  const chain = found.parts.map((part) => { const from = at; at = plus(at, part); return [from, at]; });
  const draw = (x, y) => [
    arrow(x, y, [0, 0], found.matrix, "predicted", 3, "6 4"),
    chain.map(([from, to]) => arrow(x, y, from, to, "error", 2.5)),
    chain.map(([from, to], i) => text((x(from[0]) + x(to[0])) / 2 + 6, (y(from[1]) + y(to[1])) / 2 - 5, String(i + 1), { role: "error", size: 12 })),
    s("circle", { cx: x(found.matrix[0]), cy: y(found.matrix[1]), r: 8, fill: "none", stroke: color("predicted"), "stroke-width": 2.5 }),
  ].flat(3);
  return { points: [found.matrix, ...chain.map(([, to]) => to)], draw };
}

function weightGrid() {
  const cells = [0, 1].flatMap((a) => [0, 1].map((b) => ({
    a, b, ...readout({ name: `weight_${a}${b}`, label: `row ${a + 1}, column ${b + 1}`, format: fixed, role: "predicted" }),
  })));
  return {
    element: h("div", { role: "group", "aria-label": "trained matrix W" }, [
      h("p", { class: "icl-hint", text: "trained matrix W = Σ eᵢ ⊗ xᵢ" }),
      h("div", { style: "display:grid;grid-template-columns:1fr 1fr;gap:0.25rem;max-width:17rem" }, cells.map((c) => c.element)),
    ]),
    set: (weight) => cells.forEach(({ a, b, set }) => set(weight[a][b])),
  };
}

function render({ model, el }) {
  const controls = [
    slider({ model, trait: "count", label: "Examples N", min: 0, max: model.get("inputs").length, step: 1 }),
    slider({ model, trait: "step_size", label: "Step size η", min: 0.05, max: 1.5, step: 0.05 }),
    slider({ model, trait: "query_1", label: "Query x, first input", min: -2, max: 2, step: 0.1 }),
    slider({ model, trait: "query_2", label: "Query x, second input", min: -2, max: 2, step: 0.1 }),
  ];
  const left = plane("inputs: keys xᵢ and the query", "first input");
  const right = plane("output: contributions eᵢ (xᵢ · x), end to end", "first output");
  const weight = weightGrid();
  const list = (values) => (values.length ? values.map(fixed).join("  ") : "none");
  const answers = readouts([
    { name: "matrix", label: "by the matrix: W x", format: pair, role: "predicted" },
    { name: "attention", label: "by attention: Σ eᵢ (xᵢ · x)", format: pair, role: "error" },
    { name: "scores", label: "scores xᵢ · x", format: list, role: "key" },
    { name: "gap", label: "relative difference", format: (x) => (x < 1e-15 ? "below 1e−15" : x.toExponential(1).replace("-", "−")) },
  ]);
  const said = sentence();
  const update = () => {
    const state = read(model);
    const found = numbers(state);
    const { points, draw } = drawSum(found);
    left.set([...found.inputs, found.query], drawInputs(found), `${state.count} training inputs as dots and the query as an arrow to ${pair(found.query)}.`);
    right.set(points, draw, `The contributions of ${state.count} examples end to end reach ${pair(found.attention)}; a ring marks the matrix's answer ${pair(found.matrix)}.`);
    weight.set(found.weight);
    const { matrix, attention, scores, gap } = found;
    answers.set({ matrix, attention, scores, gap });
    said.say(words(state, found));
  };
  frame({
    el, model, title: "A trained layer, as a matrix and as attention", controls,
    body: [h("div", { class: "icl-pair" }, [left.element, right.element]), h("div", { class: "icl-pair" }, [weight.element, answers.element]), said],
    update,
  });
}

export default { render };
