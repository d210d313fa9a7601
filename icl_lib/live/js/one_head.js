// From a trained layer of linear attention to the constructed one: the loss on the way, and what
// the layer on the way predicts beside one step of gradient descent, on the same prompts.
import { h, s, axes, color, drawing, frame, number, path, readouts, scale, sentence, slider, text, ticks, toggle } from "./kit.js";

const FIELDS = ["key_query", "value", "inputs", "weights", "queries", "variance", "fourth", "way", "step_size", "input_scale", "rescale"];
const STOPS = 40;
const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

/** Key-query matrix and last row of value-out of one step of size eta on n pairs of d inputs. */
export function constructed(d, n, eta) {
  const row = (i) => Array.from({ length: d }, (_, j) => (i === j ? 1 : 0));
  return {
    keyQuery: Array.from({ length: d + 1 }, (_, i) => row(i)),
    value: Array.from({ length: d + 1 }, (_, i) => (i === d ? -eta / n : 0)),
  };
}

/** The same layer with 1 as the mean of the diagonal of its key-query matrix. */
export function rescaled({ keyQuery, value }) {
  const d = keyQuery[0].length;
  const c = mean(Array.from({ length: d }, (_, i) => keyQuery[i][i]));
  return { keyQuery: keyQuery.map((r) => r.map((x) => x / c)), value: value.map((x) => x * c) };
}

/** What a layer does to a prompt: u = −Mᵀ Σ e_i (e_i · v), the weights that it puts on the query. */
export function used(tokens, keyQuery, value) {
  const sum = value.map(() => 0);
  for (const e of tokens) {
    const score = dot(e, value);
    e.forEach((x, a) => { sum[a] += score * x; });
  }
  return keyQuery[0].map((_, j) => -sum.reduce((total, x, a) => total + x * keyQuery[a][j], 0));
}

/** Expected half squared error of one step, from variance and fourth moment of the inputs. */
export function closedForm(n, d, variance, fourth, eta) {
  const trace = n * (d * fourth + d * (d - 1) * variance ** 2) + n * (n - 1) * d * variance ** 2;
  return (variance / 2) * (d - 2 * eta * variance * d + (eta / n) ** 2 * trace);
}

function halfError(all, truth, scaling) {
  return (scaling / 2) * mean(all.map((u, p) => u.reduce((sum, x, j) => sum + (x - truth[p][j]) ** 2, 0)));
}

/** Everything that the figure shows, from its state. */
export function numbers(state) {
  const [n, d] = [state.inputs[0].length, state.inputs[0][0].length];
  const [a, b] = [{ keyQuery: state.key_query, value: state.value }, constructed(d, n, state.step_size)];
  const start = state.rescale ? rescaled(a) : a;
  const square = state.input_scale ** 2;
  const parts = state.inputs.map((xs, p) => {
    const tokens = xs.map((x) => [...x, dot(x, state.weights[p])]);
    const u = (m, v) => used(tokens, m, v).map((x) => square * x);
    const [first, last] = [u(start.keyQuery, start.value), u(b.keyQuery, b.value)];
    const [one, other] = [u(start.keyQuery, b.value), u(b.keyQuery, start.value)];
    return { first, cross: one.map((x, j) => x + other[j]), last };
  });
  const at = (t) => parts.map(({ first, cross, last }) =>
    first.map((x, j) => (1 - t) ** 2 * x + t * (1 - t) * cross[j] + t * t * last[j]));
  const scaling = square * state.variance;
  const loss = (t) => halfError(at(t), state.weights, scaling);
  const [now, step] = [at(state.way), parts.map((part) => part.last)];
  const say = (all) => all.map((u, p) => state.input_scale * dot(u, state.queries[p]));
  const cosine = mean(now.map((u, p) => dot(u, step[p]) / Math.max(1e-300, Math.hypot(...u) * Math.hypot(...step[p]))));
  return {
    curve: Array.from({ length: STOPS + 1 }, (_, i) => [i / STOPS, loss(i / STOPS)]),
    layer: loss(state.way), step: loss(1), nothing: halfError(step.map((u) => u.map(() => 0)), state.weights, scaling),
    closed: closedForm(n, d, scaling, square ** 2 * state.fourth, state.step_size), cosine,
    said: say(now), steps: say(step),
  };
}

const fixed = (x) => (x >= 1000 ? number(x) : x.toPrecision(3));

function words(state, found) {
  const place = state.way === 0 ? "The trained layer" : state.way === 1 ? "The constructed layer" : `The layer ${number(100 * state.way)} % of the way to the constructed one`;
  const start = `${place} has half squared error ${fixed(found.layer)}; one step of gradient descent with η = ${number(state.step_size)} has ${fixed(found.step)} on the same prompts.`;
  if (found.layer > 1.2 * found.nothing) return `${start} Both measure against ${fixed(found.nothing)} for guessing 0: this is worse than saying nothing.`;
  if (found.cosine < 0.9) return `${start} The matrices were averaged in two different units: without rescaling, the way leads through other algorithms.`;
  if (Math.abs(found.layer / found.step - 1) < 0.02) return `${start} You could swap one for the other.`;
  return start;
}

function lossPlot() {
  const box = [52, 30, 394, 270];
  const picture = drawing({ width: 410, height: 320, label: "loss on the way" });
  const set = (state, found) => {
    const top = 1.12 * Math.max(found.nothing, ...found.curve.map((p) => p[1]));
    const x = scale([0, 1], [box[0], box[2]]);
    const y = scale([0, top], [box[3], box[1]]);
    const level = (value, role, dash) =>
      s("line", { x1: box[0], x2: box[2], y1: y(value), y2: y(value), stroke: color(role), "stroke-width": 2, "stroke-dasharray": dash });
    const apart = y(found.closed) - y(found.nothing);
    const named = (value, role, label, above) =>
      text(box[2] - 12, y(value) + (above ? -6 : 16), label, { anchor: "end", role, size: 12, halo: true });
    picture.redraw(
      axes({ x, y, box, xTicks: [0, 0.5, 1], yTicks: ticks(0, top, 4), xLabel: "way: 0 trained, 1 constructed", yLabel: "half squared error" }),
      level(found.nothing, "neutral", "2 4"),
      level(found.closed, "gold", "7 5"),
      s("path", { d: path(found.curve.map(([t, v]) => [x(t), y(v)])), fill: "none", stroke: color("predicted"), "stroke-width": 2.5 }),
      named(found.nothing, "neutral", "guessing 0", true),
      named(found.closed, "gold", "one step, closed form", apart > 32 || apart < 0),
      s("circle", { cx: x(1), cy: y(found.step), r: 6, fill: "none", stroke: color("key"), "stroke-width": 2.5 }),
      s("circle", { cx: x(state.way), cy: y(found.layer), r: 7, fill: color("predicted") }),
    );
    picture.describe(`Half squared error from the trained layer, ${fixed(found.curve[0][1])}, to the constructed one, ${fixed(found.step)}; now ${fixed(found.layer)}. A ring marks one step.`);
  };
  return { element: picture.element, set };
}

function answerPlot() {
  const box = [52, 30, 394, 270];
  const picture = drawing({ width: 410, height: 320, label: "predictions" });
  const set = (found) => {
    const reach = 1.1 * Math.max(0.1, ...[...found.said, ...found.steps].map(Math.abs));
    const x = scale([-reach, reach], [box[0], box[2]]);
    const y = scale([-reach, reach], [box[3], box[1]]);
    picture.redraw(
      axes({ x, y, box, xTicks: ticks(-reach, reach, 4), yTicks: ticks(-reach, reach, 4), xLabel: "one step says", yLabel: "the layer says" }),
      s("line", { x1: x(-reach), y1: y(-reach), x2: x(reach), y2: y(reach), stroke: color("muted"), "stroke-width": 1 }),
      found.said.map((value, p) => s("circle", { cx: x(found.steps[p]), cy: y(value), r: 3, fill: color("predicted"), "fill-opacity": 0.7 })),
    );
    picture.describe(`Predictions for ${found.said.length} queries, the layer's against those of one step; mean cosine of the sensitivities ${fixed(found.cosine)}.`);
  };
  return { element: picture.element, set };
}

function render({ model, el }) {
  const controls = [
    slider({ model, trait: "way", label: "Way from trained (0) to constructed (1)", min: 0, max: 1, step: 0.05 }),
    slider({ model, trait: "step_size", label: "Step size η of the constructed layer", min: 0.06, max: 12.06, step: 0.06 }),
    slider({ model, trait: "input_scale", label: "Inputs scaled by α", min: 0.5, max: 2, step: 0.05 }),
    toggle({ model, trait: "rescale", label: "Rescale the trained matrices first" }),
  ];
  const [left, right, said] = [lossPlot(), answerPlot(), sentence()];
  const shown = readouts([
    { name: "layer", label: "layer on the way", format: fixed, role: "predicted" },
    { name: "step", label: "one step, same prompts", format: fixed, role: "key" },
    { name: "closed", label: "one step, closed form", format: fixed, role: "gold" },
    { name: "cosine", label: "cosine of the sensitivities", format: (x) => x.toFixed(4).replace("-", "−") },
  ]);
  const update = () => {
    const state = Object.fromEntries(FIELDS.map((name) => [name, model.get(name)]));
    const found = numbers(state);
    left.set(state, found);
    right.set(found);
    const { layer, step, closed, cosine } = found;
    shown.set({ layer, step, closed, cosine });
    said.say(words(state, found));
  };
  frame({
    el, model, title: "From the trained layer to the constructed one", controls,
    body: [h("div", { class: "icl-pair" }, [left.element, right.element]), shown, said],
    update,
  });
}

export default { render };
