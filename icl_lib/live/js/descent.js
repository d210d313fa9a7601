// Gradient descent with momentum on a quadratic in one dimension (the cake) or two (a valley):
// L(x) = ½ Σ λᵢ (xᵢ − mᵢ)²,  v ← β v + ∇L(x),  x ← x − η v.
import { h, s, axes, color, drawing, frame, number, path, player, readouts, scale, sentence, slider, text, ticks } from "./kit.js";

const FIELDS = [
  "curvature", "condition", "minimum", "start_x", "start_y", "step_size", "momentum", "taken", "steps",
  "reach", "labels",
];
const PATIENCE = 1000;

/** The curvatures λᵢ: one for the cake; the flat and the steep one for the valley. */
export function curvatures({ curvature, condition, minimum }) {
  return minimum.length === 1 ? [curvature] : [curvature / condition, curvature];
}

/** L(x). */
export function loss(state, x) {
  return curvatures(state).reduce((sum, c, i) => sum + 0.5 * c * (x[i] - state.minimum[i]) ** 2, 0);
}

/** Positions x₀ … x_count. */
export function descend(state, count) {
  const c = curvatures(state);
  let x = [state.start_x, state.start_y].slice(0, c.length);
  let v = c.map(() => 0);
  const all = [x];
  for (let t = 0; t < count; t += 1) {
    const before = x;
    v = v.map((value, i) => state.momentum * value + c[i] * (before[i] - state.minimum[i]));
    x = x.map((value, i) => value - state.step_size * v[i]);
    all.push(x);
  }
  return all;
}

/** The step size above which the steepest direction diverges: 2 (1 + β) / λ_max. */
export function limit({ curvature, momentum }) {
  return (2 * (1 + momentum)) / curvature;
}

/** The factor by which the slowest direction shrinks in one step, in the long run. */
export function rate(state) {
  const { step_size: eta, momentum: beta } = state;
  return Math.max(...curvatures(state).map((c) => {
    const a = 1 + beta - eta * c;
    const root = a * a - 4 * beta;
    return root < 0 ? Math.sqrt(beta) : (Math.abs(a) + Math.sqrt(root)) / 2;
  }));
}

/** Everything that the figure shows, from its state. */
export function numbers(state) {
  const all = descend(state, PATIENCE);
  const first = loss(state, all[0]);
  const position = all[state.taken];
  return {
    all, first, position,
    loss: loss(state, position),
    limit: limit(state),
    rate: rate(state),
    steps_to_percent: all.findIndex((x) => loss(state, x) <= 0.01 * first),
  };
}

function verdict(state, found) {
  const ratio = state.step_size / found.limit;
  if (ratio > 1 + 1e-9) return "The step size is above the limit, so the steps grow: it diverges.";
  if (ratio > 1 - 1e-9) return "The step size is exactly at the limit: the steps neither shrink nor grow.";
  const reached = found.steps_to_percent < 0
    ? `It converges, but needs more than ${PATIENCE} steps to 1 % of the first loss.`
    : `It converges and reaches 1 % of the first loss in ${found.steps_to_percent} steps.`;
  if (state.momentum === 0 && state.step_size * state.curvature > 1) return `${reached} Each step jumps over the minimum.`;
  return reached;
}

function words(state, found) {
  const percent = (100 * found.loss) / found.first;
  const share = percent < 1e-3 ? ", less than 0.001 % of the first" : `, ${number(percent)} % of the first`;
  return `After ${state.taken} step${state.taken === 1 ? "" : "s"} the loss is ${number(found.loss)}${found.first > 0 ? share : ""}. ${verdict(state, found)}`;
}

const trail = (points) => [
  s("path", { d: path(points), fill: "none", stroke: color("query"), "stroke-width": 1.5, "stroke-opacity": 0.7 }),
  ...points.map(([cx, cy], i) => s("circle", {
    cx, cy, r: i === points.length - 1 ? 6 : 3, fill: color(i === points.length - 1 ? "error" : "query"),
  })),
];

/** A nested svg cuts off what leaves the plot. */
const window_ = ([l, t, r, b], children) =>
  s("svg", { x: l, y: t, width: r - l, height: b - t, viewBox: `${l} ${t} ${r - l} ${b - t}` }, children);

const inside = (points, [l, t, r, b]) => {
  const far = 4 * Math.max(r - l, b - t); // nobody sees what is further away
  const end = points.findIndex(([x, y]) => Math.abs(x - l) > far || Math.abs(y - t) > far);
  return end < 0 ? points : points.slice(0, end + 1).map(([x, y]) => [
    Math.max(l - far, Math.min(r + far, x)), Math.max(t - far, Math.min(b + far, y)),
  ]);
};

function cake(state, found, box) {
  const [m] = state.minimum;
  const edge = 1.15 * state.reach;
  const top = loss(state, [m + edge]);
  const x = scale([m - edge, m + edge], [box[0], box[2]]);
  const y = scale([-0.06 * top, top], [box[3], box[1]]);
  const bowl = Array.from({ length: 101 }, (_, i) => m - edge + (2 * edge * i) / 100);
  const taken = found.all.slice(0, state.taken + 1).map(([v]) => [x(v), y(loss(state, [v]))]);
  return [
    axes({
      x, y, box, xTicks: ticks(m - edge, m + edge, 5), yTicks: ticks(0, top, 4),
      xLabel: state.labels[0], yLabel: "loss",
    }),
    window_(box, [
      s("path", { d: path(bowl.map((v) => [x(v), y(loss(state, [v]))])), fill: "none", stroke: color("neutral"), "stroke-width": 2 }),
      ...trail(inside(taken, box)),
    ]),
  ];
}

function valley(state, found, box) {
  const [m, n] = state.minimum;
  const unit = (box[2] - box[0]) / (2.4 * state.reach);
  const x = (v) => (box[0] + box[2]) / 2 + (v - m) * unit;
  const y = (v) => (box[1] + box[3]) / 2 - (v - n) * unit;
  const c = curvatures(state);
  const outer = loss(state, [m + 1.2 * state.reach, n]) + loss(state, [m, n + 0.6 * state.reach]);
  const rings = [1, 0.5, 0.25, 0.1, 0.03].map((share) => s("ellipse", {
    cx: x(m), cy: y(n), rx: Math.sqrt((2 * share * outer) / c[0]) * unit, ry: Math.sqrt((2 * share * outer) / c[1]) * unit,
    fill: color("neutral"), "fill-opacity": 0.07, stroke: color("neutral"), "stroke-opacity": 0.6,
  }));
  const taken = found.all.slice(0, state.taken + 1).map(([a, b]) => [x(a), y(b)]);
  return [
    window_(box, [...rings, text(x(m), y(n) + 4, "✕", { anchor: "middle", role: "gold", size: 13 }), ...trail(inside(taken, box))]),
    text((box[0] + box[2]) / 2, box[3] + 20, state.labels[0], { anchor: "middle" }),
    text(box[0], box[1] - 8, state.labels[1]),
  ];
}

function history(state, found, box) {
  const x = scale([0, state.steps], [box[0], box[2]]);
  const y = scale([1e-6, 1e2], [box[3], box[1]], { log: true });
  const share = found.all.slice(0, state.taken + 1)
    .map((at, i) => [x(i), y(Math.max(1e-7, loss(state, at) / found.first))]);
  return [
    axes({
      x, y, box, xTicks: ticks(0, state.steps, 4), yTicks: [1e-6, 1e-4, 1e-2, 1, 100],
      xLabel: "steps", yLabel: "loss, as a share of the first", format: (v) => number(v),
    }),
    window_(box, [
      s("line", { x1: box[0], x2: box[2], y1: y(0.01), y2: y(0.01), stroke: color("gold"), "stroke-dasharray": "4 4" }),
      s("path", { d: path(share), fill: "none", stroke: color("query"), "stroke-width": 2 }),
      ...(share.length ? [s("circle", { cx: share.at(-1)[0], cy: share.at(-1)[1], r: 5, fill: color("error") })] : []),
    ]),
  ];
}

function sliders(model) {
  const { curvature, reach, minimum, labels } = Object.fromEntries(FIELDS.map((k) => [k, model.get(k)]));
  const two = minimum.length === 2;
  const unit = 0.02 / curvature;
  const start = (trait, i, span) => slider({
    model, trait, label: `Start: ${labels[i]}`, min: minimum[i] - span, max: minimum[i] + span, step: span / 20,
  });
  const stepSize = slider({ model, trait: "step_size", label: "Step size η", min: unit, max: 210 * unit, step: unit });
  return {
    stepSize,
    all: [
      stepSize,
      slider({ model, trait: "momentum", label: "Momentum β", min: 0, max: 0.95, step: 0.05 }),
      start("start_x", 0, reach),
      ...(two ? [
        start("start_y", 1, 0.6 * reach),
        slider({ model, trait: "condition", label: "Condition number κ", min: 1, max: 100, step: 40, log: true }),
      ] : []),
    ],
  };
}

function render({ model, el, signal }) {
  const controls = sliders(model);
  const two = model.get("minimum").length === 2;
  const box = [48, 26, 408, 206];
  const [place, curve] = [0, 1].map(() => drawing({ width: 420, height: 250, label: "" }));
  const playback = player({ model, trait: "taken", last: () => model.get("steps"), noun: "step", interval: 150, signal });
  const shown = readouts([
    { name: "taken", label: "steps taken" },
    { name: "position", label: "position", format: (p) => p.map((v) => number(v)).join(", ") },
    { name: "loss", label: "loss", role: "error" },
    { name: "limit", label: "stability limit 2(1+β)/λ" },
    { name: "rate", label: "error factor per step" },
    { name: "steps_to_percent", label: "steps to 1 % of the loss", format: (n) => (n < 0 ? `not in ${PATIENCE}` : number(n)) },
  ]);
  const said = sentence();
  const update = () => {
    const state = Object.fromEntries(FIELDS.map((k) => [k, model.get(k)]));
    const found = numbers(state);
    controls.stepSize.setMarks([{ value: found.limit, label: `limit ${number(found.limit)}` }]);
    place.redraw((two ? valley : cake)(state, found, box));
    curve.redraw(history(state, found, box));
    shown.set({
      taken: state.taken, position: found.position, loss: found.loss, limit: found.limit, rate: found.rate,
      steps_to_percent: found.steps_to_percent,
    });
    const at = found.position.map((v) => number(v)).join(", ");
    place.describe(`${two ? "Contours of the valley" : "The loss as a parabola"} with the path of ${state.taken} steps, which ends at ${at}.`);
    curve.describe(`Loss over the steps on a logarithmic axis, from ${number(found.first)} to ${number(found.loss)}.`);
    said.say(words(state, found));
  };
  frame({
    el, model, title: model.get("title"), controls: controls.all,
    body: [playback, h("div", { class: "icl-pair" }, [place.element, curve.element]), shown, said], update,
  });
}

export default { render };
