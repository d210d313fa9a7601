// Five learners on the eigenvalues λ of (1/N) XᵀX: after t steps the share r_t(λ) of the true weight is
// still missing along each direction; the error is the mean of r_t(λ)², 1 before the first step.
import { h, s, axes, color, drawing, frame, number, path, player, readouts, scale, select, sentence, slider, text, ticks, toggle } from "./kit.js";

const FIELDS = ["spectra", "constants", "trained", "condition", "learner", "taken", "all_prompts"];
const LEARNERS = ["gradient descent", "momentum", "GD++", "Newton", "conjugate gradient"];
const INKS = { "gradient descent": "key", momentum: "value", "GD++": "query", Newton: "error", "conjugate gradient": "gold" };
const DASHES = { "gradient descent": "6 3", momentum: "2 3", "GD++": null, Newton: "8 3 2 3", "conjugate gradient": "3 2" };
const SCALE = 1.9;
const PATIENCE = 2000;
const FLOOR = 1e-8;

/** The spectra that the learners meet: d eigenvalues from 1/κ to 1, or those of the sample. */
export function rows({ spectra, condition, all_prompts }) {
  if (all_prompts) return spectra;
  const d = spectra[0].length;
  return [Array.from({ length: d }, (_, i) => condition ** (i / (d - 1) - 1))];
}

/** r after each of 0 … steps steps of gradient descent with momentum. */
export function descent(row, steps, rate, kept) {
  let left = row.map(() => 1);
  let speed = row.map(() => 0);
  const all = [left];
  for (let t = 0; t < steps; t += 1) {
    const before = left;
    speed = speed.map((v, i) => kept * v - row[i] * before[i]);
    left = before.map((a, i) => a + rate * speed[i]);
    all.push(left);
  }
  return all;
}

/** r after each layer of GD++ with the pairs (η, Nγ). */
export function reshaping(row, pairs) {
  let left = row.map(() => 1);
  let seen = row;
  const all = [left];
  for (const [rate, shrink] of pairs) {
    const met = seen;
    left = left.map((a, i) => a * (1 - rate * met[i]));
    seen = met.map((x) => x * (1 - shrink * x) ** 2);
    all.push(left);
  }
  return all;
}

/** (η, Nγ) of each GD++ layer: shrink so that the next layer meets the smallest condition number. */
export function greedy(row, steps) {
  const pairs = [];
  let seen = row;
  for (let t = 0; t < steps; t += 1) {
    const high = Math.max(...seen);
    let best = null;
    for (let u = 0; u < 100; u += 1) {
      const after = seen.map((x) => x * (1 - ((u / 100) * x) / high) ** 2);
      const condition = Math.max(...after) / Math.min(...after);
      if (best === null || condition < best.condition) best = { condition, after, share: u / 100 };
    }
    pairs.push([2 / (Math.min(...seen) + high), best.share / high]);
    seen = best.after;
  }
  return pairs;
}

/** r after each step of conjugate gradient on a weight with equal shares of all directions. */
export function conjugate(row, steps) {
  let left = row.map(() => 1);
  let residual = row;
  let direction = row;
  let size = row.reduce((sum, x) => sum + x * x, 0);
  const start = size;
  const all = [left];
  for (let t = 0; t < steps; t += 1) {
    const p = direction;
    const curvature = row.reduce((sum, x, i) => sum + x * p[i] * p[i], 0);
    if (size > 1e-30 * start && curvature > 0) {
      const rate = size / curvature;
      left = left.map((a, i) => a - rate * p[i]);
      residual = residual.map((r, i) => r - rate * row[i] * p[i]);
      const before = size;
      size = residual.reduce((sum, x) => sum + x * x, 0);
      const kept = size / before;
      direction = residual.map((r, i) => r + kept * p[i]);
    }
    all.push(left);
  }
  return all;
}

/** r of one learner on one spectrum after each of 0 … steps steps. */
export function missing(state, learner, row, steps) {
  const low = Math.min(...row);
  const high = Math.max(...row);
  if (learner === "Newton") {
    return Array.from({ length: steps + 1 }, (_, t) => row.map((x) => (1 - SCALE * (x / high) ** 2) ** (2 ** t)));
  }
  if (learner === "conjugate gradient") return conjugate(row, steps);
  if (state.all_prompts) {
    // the constants depend on how many steps there are: each depth has its own
    return Array.from({ length: steps + 1 }, (_, t) => {
      const [rate, other] = t === 0 ? [0, 0] : state.constants[learner][t - 1];
      const all = learner === "GD++" ? reshaping(row, Array(t).fill([rate, other])) : descent(row, t, rate, other);
      return all[t];
    });
  }
  if (learner === "GD++") return reshaping(row, greedy(row, steps));
  if (learner === "momentum") {
    const [a, b] = [Math.sqrt(low), Math.sqrt(high)];
    return descent(row, steps, 4 / (a + b) ** 2, ((b - a) / (a + b)) ** 2);
  }
  return descent(row, steps, 2 / (low + high), 0);
}

/** Error after each of 0 … steps steps. */
export function errors(state, learner, steps) {
  const found = rows(state).map((row) => missing(state, learner, row, steps));
  return Array.from({ length: steps + 1 }, (_, t) => {
    const all = found.flatMap((one) => one[t]);
    return all.reduce((sum, r) => sum + r * r, 0) / all.length;
  });
}

/** Everything that the figure shows, from its state. */
export function numbers(state) {
  const last = state.constants["gradient descent"].length;
  const curves = Object.fromEntries(LEARNERS.map((name) => [name, errors(state, name, last)]));
  const own = curves[state.learner];
  const long = state.all_prompts ? own : errors(state, state.learner, state.learner === "gradient descent" ? PATIENCE : 200);
  return {
    last, curves,
    error: own[state.taken],
    descent: curves["gradient descent"][state.taken],
    best: Math.min(...LEARNERS.map((name) => curves[name][state.taken])),
    to_percent: long.findIndex((value) => value <= 0.01),
  };
}

function words(state, found) {
  const where = state.all_prompts
    ? "On the chapter's prompts, with constants shared by all of them"
    : `On one prompt of condition number ${number(state.condition)}`;
  const reach = found.to_percent < 0
    ? `It does not come to 1\u00a0% within ${state.all_prompts ? `${found.last} steps` : "the steps tried"}.`
    : `It comes to 1\u00a0% after ${found.to_percent} step${found.to_percent === 1 ? "" : "s"}.`;
  const other = state.learner === "gradient descent"
    ? `; the best of the five learners leaves ${number(found.best)}`
    : `, as many of plain gradient descent ${number(found.descent)}`;
  return `${where}, ${state.taken} step${state.taken === 1 ? "" : "s"} of ${state.learner} leave ${number(found.error)} of the zero guess's error${other}. ${reach}`;
}

const powers = (low) => {
  const apart = low < -2 ? 2 : 1;
  return Array.from({ length: Math.round(-low / apart) + 1 }, (_, i) => 10 ** (-apart * i));
};

function history(state, found, box) {
  const lowest = Math.min(...LEARNERS.flatMap((name) => found.curves[name]));
  // conjugate gradient is exact at the end; the trained networks live far above
  const low = state.all_prompts ? -2 : Math.max(-8, Math.min(-2, 2 * Math.floor(Math.log10(Math.max(lowest, FLOOR)) / 2)));
  const x = scale([0, found.last], [box[0], box[2]]);
  const y = scale([10 ** low, 1], [box[3], box[1]], { log: true });
  const place = (value) => y(Math.max(10 ** low, value));
  const order = [...LEARNERS].sort((a, b) => (a === state.learner) - (b === state.learner));
  const dots = state.all_prompts ? state.trained : [];
  return [
    axes({
      x, y, box, xTicks: ticks(0, found.last, 6), yTicks: powers(low), xLabel: "steps, or layers",
      yLabel: "error, zero guess = 1", format: (v) => (v === 10 ** low && lowest < v ? `≤${number(v)}` : number(v)),
    }),
    s("line", { x1: x(state.taken), y1: box[1], x2: x(state.taken), y2: box[3], stroke: color("muted"), "stroke-dasharray": "4 3" }),
    ...order.map((name) => s("path", {
      d: path(found.curves[name].map((v, i) => [x(i), place(v)])), fill: "none", stroke: color(INKS[name]),
      "stroke-width": name === state.learner ? 3.5 : 1.75, "stroke-dasharray": DASHES[name],
    })),
    ...dots.map(([depth, value]) => s("circle", { cx: x(depth), cy: place(value), r: 5, fill: "none", stroke: color("predicted"), "stroke-width": 2 })),
    s("circle", { cx: x(state.taken), cy: place(found.error), r: 6, fill: color(INKS[state.learner]) }),
  ];
}

function directions(state, box) {
  const all = rows(state);
  const flat = all.flat();
  const x = scale([Math.min(...flat) * 0.8, Math.max(...flat) * 1.25], [box[0], box[2]], { log: true });
  const y = scale([-1, 1], [box[3], box[1]]);
  const held = (r) => Math.max(-1, Math.min(1, r));
  const marks = all.flatMap((row) => {
    const left = missing(state, state.learner, row, state.taken)[state.taken];
    return row.map((value, i) => [x(value), y(held(left[i])), Math.abs(left[i]) > 1]);
  });
  const decades = [1e-4, 1e-3, 1e-2, 0.1, 1, 10].filter((v) => v >= Math.min(...flat) * 0.8 && v <= Math.max(...flat) * 1.25);
  return [
    axes({ x, y, box, xTicks: decades, yTicks: [-1, -0.5, 0, 0.5, 1], xLabel: "eigenvalue λ of the inputs", yLabel: "share still missing, r(λ)" }),
    s("line", { x1: box[0], y1: y(0), x2: box[2], y2: y(0), stroke: color("muted") }),
    ...marks.map(([cx, cy, out]) => s("circle", {
      cx, cy, r: all.length > 1 ? 2.5 : 5, "fill-opacity": all.length > 1 ? 0.5 : 1, fill: out ? "none" : color(INKS[state.learner]),
      stroke: color(INKS[state.learner]), "stroke-width": out ? 1.5 : 0,
    })),
  ];
}

function legend(state) {
  const spots = [[46, 12], [196, 12], [304, 12], [46, 28], [196, 28]];
  const own = LEARNERS.map((name, i) => text(...spots[i], `— ${name}`, { role: INKS[name], size: 12, weight: name === state.learner ? 700 : 400 }));
  if (state.all_prompts && state.trained.length) own.push(text(336, 28, "○ trained", { role: "predicted", size: 12 }));
  return own;
}

function render({ model, el, signal }) {
  const last = model.get("constants")["gradient descent"].length;
  const box = [60, 56, 408, 230];
  const [left, right] = [0, 1].map(() => drawing({ width: 420, height: 274, label: "" }));
  const controls = [
    select({ model, trait: "learner", label: "Learner", options: LEARNERS.map((name) => [name, name]) }),
    slider({ model, trait: "taken", label: "Steps", min: 0, max: last, step: 1, format: (n) => String(n) }),
    slider({ model, trait: "condition", label: "Condition number κ", min: 1, max: 1000, step: 60, log: true }),
    toggle({ model, trait: "all_prompts", label: "All prompts of the chapter, one set of constants" }),
  ];
  const playback = player({ model, trait: "taken", last: () => last, interval: 450, signal });
  const shown = readouts([
    { name: "error", label: "error of this learner" },
    { name: "descent", label: "gradient descent, as many steps" },
    { name: "best", label: "best of the five" },
    { name: "to_percent", label: "steps to 1 %", format: (n) => (n < 0 ? "not reached" : number(n)) },
  ]);
  const said = sentence();
  const update = () => {
    const state = Object.fromEntries(FIELDS.map((k) => [k, model.get(k)]));
    const { last: _, curves, ...found } = numbers(state);
    const whole = { ...found, curves, last };
    left.redraw(history(state, whole, box), legend(state));
    right.redraw(directions(state, box));
    shown.set(found);
    controls[2].input.disabled = state.all_prompts;
    left.describe(`Error against steps for five learners. After ${state.taken} steps ${state.learner} is at ${number(found.error)}, gradient descent at ${number(found.descent)}.`);
    right.describe(`Share of the true weight that ${state.learner} has not found after ${state.taken} steps, for each eigenvalue of the inputs.`);
    said.say(words(state, whole));
  };
  frame({
    el, model, title: "Depth against steps", controls,
    body: [playback, h("div", { class: "icl-pair" }, [left.element, right.element]), shown, said], update,
  });
}

export default { render };
