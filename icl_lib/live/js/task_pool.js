// A prompt of one hidden task in two dimensions, read by two Bayesian rules. The pool rule knows M tasks:
//   p_m ∝ exp(−Σ (y − w_m·x)² / 2σ²),  ŵ = Σ p_m w_m
// Ridge knows only that tasks are standard normal: ŵ = (Σ x xᵀ + σ² I)⁻¹ Σ y x.
import { h, s, axes, color, drawing, frame, number, path, readouts, scale, sentence, setter, slider, text } from "./kit.js";

const FIELDS = ["pool", "inputs", "errors", "noise", "exponent", "shown", "task_1", "task_2", "sizes", "to_ridge", "to_pool"];
const REACH = 3;
const read = (model) => Object.fromEntries(FIELDS.map((k) => [k, model.get(k)]));
const dot = ([a, b], [c, d]) => a * c + b * d;
const square = ([a, b], [c, d]) => (a - c) ** 2 + (b - d) ** 2;

/** The pairs in the prompt: the inputs shown, and y = w·x + σ ε for the hidden task w. */
export function pairs({ inputs, errors, noise, shown, task_1, task_2 }) {
  return inputs.slice(0, shown).map((x, i) => ({ x, y: dot([task_1, task_2], x) + noise * errors[i] }));
}

/** Probability of each task of the pool, the largest exponent taken off first so that none overflows. */
export function posterior(prompt, pool, noise) {
  const misfit = pool.map((w) => prompt.reduce((sum, { x, y }) => sum + (y - dot(w, x)) ** 2, 0));
  const least = misfit.reduce((a, b) => Math.min(a, b), Infinity);
  const mass = misfit.map((e) => Math.exp((least - e) / (2 * noise ** 2)));
  const total = mass.reduce((a, b) => a + b, 0);
  return mass.map((m) => m / total);
}

/** The mean of the pool under these probabilities. */
export function poolRule(chances, pool) {
  return [0, 1].map((i) => pool.reduce((sum, w, m) => sum + chances[m] * w[i], 0));
}

/** Ridge with penalty σ², solved by hand for two inputs. */
export function ridgeRule(prompt, noise) {
  let [a, b, c, u, v] = [noise ** 2, 0, noise ** 2, 0, 0];
  for (const { x, y } of prompt) {
    a += x[0] * x[0];
    b += x[0] * x[1];
    c += x[1] * x[1];
    u += y * x[0];
    v += y * x[1];
  }
  const determinant = a * c - b * b;
  return [(c * u - b * v) / determinant, (a * v - b * u) / determinant];
}

/** Everything that the figure shows, from its state. */
export function numbers(state) {
  const pool = state.pool.slice(0, 2 ** state.exponent);
  const prompt = pairs(state);
  const chances = posterior(prompt, pool, state.noise);
  const known = poolRule(chances, pool);
  const fitted = ridgeRule(prompt, state.noise);
  const hidden = [state.task_1, state.task_2];
  const entropy = chances.reduce((sum, p) => sum - (p > 0 ? p * Math.log(p) : 0), 0);
  return {
    chances, tasks: pool.length, known, fitted,
    in_play: Math.exp(entropy),
    pool_error: square(known, hidden) / 2,
    ridge_error: square(fitted, hidden) / 2,
    gap: square(known, fitted) / 2,
  };
}

const plural = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;

function words(state, found) {
  const better = found.pool_error < found.ridge_error ? "The pool rule is closer to the hidden task" : "Ridge is closer to the hidden task";
  return `With ${plural(found.tasks, "task")} in the pool and ${plural(state.shown, "demonstration")}, about `
    + `${number(found.in_play, 2)} of the pool's tasks are still in play. The two rules are ${number(found.gap)} apart. `
    + `${better}: ${number(Math.min(found.pool_error, found.ridge_error))} against ${number(Math.max(found.pool_error, found.ridge_error))}.`;
}

function handle(model, x, y, [width, height]) {
  const go = ([a, b]) => {
    const clamp = (v) => Math.max(-REACH, Math.min(REACH, Number(v.toFixed(2))));
    model.set("task_1", clamp(a));
    model.set("task_2", clamp(b));
    model.save_changes();
  };
  const node = h("button", {
    type: "button", "aria-label": "Hidden task: drag, or use the arrow keys",
    style: "position:absolute;width:44px;height:44px;margin:-22px 0 0 -22px;padding:0;border:0;background:transparent;cursor:grab;touch-action:none;display:grid;place-items:center",
  }, h("span", { "aria-hidden": "true", style: `color:${color("gold")};font-size:24px;line-height:1;-webkit-text-stroke:1px ${color("background")}`, text: "★" }));
  node.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
    if (!step) return;
    event.preventDefault();
    go([model.get("task_1") + step[0], model.get("task_2") + step[1]]);
  });
  node.addEventListener("pointerdown", (event) => node.setPointerCapture(event.pointerId));
  node.addEventListener("pointermove", (event) => {
    if (!node.hasPointerCapture(event.pointerId)) return;
    const ground = node.parentElement.getBoundingClientRect();
    go([x.invert(((event.clientX - ground.left) / ground.width) * width), y.invert(((event.clientY - ground.top) / ground.height) * height)]);
  });
  const set = (state) => {
    node.style.left = `${(100 * x(state.task_1)) / width}%`;
    node.style.top = `${(100 * y(state.task_2)) / height}%`;
  };
  return { element: node, set };
}

/** The plane of weights: every task of the pool is a dot, its probability the size of its disc. */
function plane(model) {
  const [width, height] = [420, 372];
  const box = [60, 26, 360, 326];
  const x = scale([-REACH, REACH], [box[0], box[2]]);
  const y = scale([-REACH, REACH], [box[3], box[1]]);
  const picture = drawing({ width, height, label: "" });
  picture.element.style.margin = "0";
  const star = handle(model, x, y, [width, height]);
  const inside = ([a, b]) => Math.abs(a) <= REACH && Math.abs(b) <= REACH;
  const cross = ([a, b], role) => s("path", {
    d: `M${x(a) - 7} ${y(b) - 7}L${x(a) + 7} ${y(b) + 7}M${x(a) - 7} ${y(b) + 7}L${x(a) + 7} ${y(b) - 7}`, stroke: color(role), "stroke-width": 4, fill: "none",
  });
  const set = (state, found) => {
    const pool = state.pool.slice(0, found.tasks);
    const dots = pool.filter(inside).map(([a, b]) => `M${x(a).toFixed(1)} ${y(b).toFixed(1)}h0`).join("");
    const discs = pool.map((w, m) => [w, found.chances[m]]).filter(([w, p]) => inside(w) && p > 1e-3);
    picture.redraw(
      axes({ x, y, box, xTicks: [-2, 0, 2], yTicks: [-2, 0, 2], xLabel: "first weight", yLabel: "second weight" }),
      s("path", { d: dots, stroke: color("neutral"), "stroke-width": found.tasks > 100 ? 2.5 : 4, "stroke-linecap": "round", fill: "none" }),
      discs.map(([[a, b], p]) => s("circle", { cx: x(a), cy: y(b), r: Math.max(2, 20 * Math.sqrt(p)), fill: color("key"), "fill-opacity": 0.45 })),
      inside(found.fitted) && cross(found.fitted, "query"),
      inside(found.known) && s("rect", { x: x(found.known[0]) - 7, y: y(found.known[1]) - 7, width: 14, height: 14, fill: "none", stroke: color("value"), "stroke-width": 4 }),
    );
    picture.describe(`${words(state, found)} Grey dots are the tasks of the pool, discs their probabilities, the square is the pool rule, the cross is ridge, the star the hidden task.`);
    star.set(state);
  };
  return { element: h("div", { style: "position:relative" }, [picture.element, star.element]), set };
}

/** Trained networks on new tasks: how far from each rule, against the size of their pool. */
function measured(state, picture) {
  const box = [60, 26, 400, 300];
  const all = [...state.to_ridge, ...state.to_pool];
  const [low, high] = [Math.min(...all) / 1.6, Math.max(...all) * 1.6];
  const x = scale([1, 2048], [box[0], box[2]], { log: true });
  const y = scale([low, high], [box[3], box[1]], { log: true });
  const size = 2 ** state.exponent;
  const yTicks = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1].filter((v) => v >= low && v <= high);
  const curve = (values, role, dash) => [
    s("path", { d: path(values.map((v, i) => [x(state.sizes[i]), y(v)])), fill: "none", stroke: color(role), "stroke-width": 2, "stroke-dasharray": dash }),
    ...values.map((v, i) => s("circle", { cx: x(state.sizes[i]), cy: y(v), r: state.sizes[i] === size ? 7 : 4, fill: color(role) })),
  ];
  picture.redraw(
    axes({ x, y, box, xTicks: [1, 4, 16, 64, 256, 1024], yTicks, xLabel: "tasks in the pool", yLabel: "trained networks on new tasks: distance" }),
    s("line", { x1: x(size), x2: x(size), y1: box[1], y2: box[3], stroke: color("muted"), "stroke-dasharray": "4 3" }),
    curve(state.to_ridge, "query"), curve(state.to_pool, "value", "7 4"),
    text(box[0], 360, "— to ridge", { role: "query" }), text(box[0] + 130, 360, "- - to the pool rule", { role: "value" }),
  );
  picture.describe(`Distance of the trained networks on new tasks, by size of their pool: ${state.sizes.map((m, i) => `${m} tasks ${number(state.to_ridge[i], 2)} to ridge and ${number(state.to_pool[i], 2)} to the pool rule`).join("; ")}.`);
}

function render({ model, el }) {
  const most = Math.round(Math.log2(model.get("pool").length));
  const controls = [
    slider({ model, trait: "exponent", label: "Tasks in the pool M", min: 0, max: most, step: 1, format: (e) => String(2 ** e) }),
    slider({ model, trait: "shown", label: "Demonstrations in the prompt", min: 0, max: model.get("inputs").length, step: 1 }),
  ];
  const place = plane(model);
  const curves = drawing({ width: 420, height: 372, label: "" });
  const known = setter({
    model, label: "Hide a task of the pool",
    values: () => ({ task_1: model.get("pool")[0][0], task_2: model.get("pool")[0][1] }),
  });
  const [first, second] = [model.get("task_1"), model.get("task_2")];
  const back = setter({ model, label: "Hide the first task again", values: () => ({ task_1: first, task_2: second }) });
  const pair = (w) => w.map((v) => number(v)).join(", ");
  const shown = readouts([
    { name: "tasks", label: "tasks in the pool" },
    { name: "in_play", label: "tasks still in play" },
    { name: "known", label: "pool rule, weights", role: "value", format: pair },
    { name: "fitted", label: "ridge, weights", role: "query", format: pair },
    { name: "pool_error", label: "error of the pool rule", role: "value" },
    { name: "ridge_error", label: "error of ridge", role: "query" },
    { name: "gap", label: "distance between them", role: "error" },
  ]);
  const said = sentence();
  const update = () => {
    const state = read(model);
    const { chances, ...found } = numbers(state);
    place.set(state, { ...found, chances });
    measured(state, curves);
    shown.set(found);
    said.say(words(state, found));
  };
  const hint = "Star: the hidden task; drag it, or focus it and use the arrow keys. Disc: what the pool rule thinks of each task. Square: its answer. Cross: ridge.";
  frame({
    el, model, title: "A pool of known tasks", controls,
    body: [
      h("div", { class: "icl-pair" }, [h("div", {}, [place.element, h("p", { class: "icl-hint", text: hint })]), curves.element]),
      h("div", { class: "icl-buttons" }, [known.element, back.element]), shown, said,
    ],
    update,
  });
}

export default { render };
