// A trained layer takes the same step whatever comes: its exact error for any prompt length and input scale.
import { axes, color, drawing, frame, h, number, path, readouts, s, scale, sentence, slider, text, uid } from "./kit.js";

const LONGEST = 200;
const [SMALLEST, LARGEST, PLACES] = [0.25, 4, 80];
const TOP = 2;

/** Σ over prompts of the squared error of a step η, in units of what guessing 0 costs. */
export function stepError(eta, { d, M, alpha, sigma }) {
  const spread = 1 + (d + 1 + (sigma / alpha) ** 2) / M;
  const moved = eta * alpha ** 2;
  return 1 - 2 * moved + moved ** 2 * spread;
}

/** The step size that is best for these prompts, times α². */
export function bestStep({ d, M, alpha, sigma }) {
  return 1 / (1 + (d + 1 + (sigma / alpha) ** 2) / M);
}

/** Least squares with the shortest weights; infinite next to M = d when there is noise. */
export function leastSquares({ d, M, alpha, sigma }) {
  const missing = Math.max(0, 1 - M / d);
  if (sigma === 0) return missing;
  const far = Math.abs(M - d) - 1;
  if (far <= 0) return Infinity;
  return missing + ((sigma / alpha) ** 2 / d) * (Math.min(M, d) / far);
}

/** Everything that the figure shows, from its state. */
export function numbers(state) {
  const eta = state.trained / (state.trained + state.dimension + 1);
  const at = { d: state.dimension, M: state.examples, alpha: state.scale, sigma: state.noise };
  const best = bestStep(at);
  return {
    fixed: stepError(eta, at),
    floor: (1 - eta * at.alpha ** 2) ** 2,
    best: 1 - best,
    least: leastSquares(at),
    step: eta * at.alpha ** 2,
    best_step: best,
  };
}

const TRAITS = ["dimension", "trained", "examples", "scale", "noise"];
const read = (model) => Object.fromEntries(TRAITS.map((name) => [name, model.get(name)]));
const LINES = [
  ["fixed", "the trained layer", "predicted", null],
  ["best", "one step, best size for this prompt", "query", "7 4"],
  ["least", "least squares", "gold", "2 3"],
];

function words(state, found) {
  const start = `${state.examples} examples, inputs scaled by ${number(state.scale)}: `
    + `the layer trained at N = ${state.trained} has error ${number(found.fixed)}, `
    + `the best step ${number(found.best)}, least squares ${number(found.least)}.`;
  if (found.fixed > 1) return `${start} The layer is worse than guessing 0: it steps too far.`;
  if (found.fixed < found.least) return `${start} Here the timid step of the layer beats least squares.`;
  if (found.floor < 0.005) return `${start} At this scale the layer's step happens to be the right one for a very long prompt.`;
  return `${start} However long the prompt, the layer keeps an error of ${number(found.floor)}.`;
}

function panel({ xs, of, xLabel, xTicks, log, describe }) {
  const box = [44, 26, 344, 226];
  const picture = drawing({ width: 360, height: 268, label: "" });
  const clip = uid();
  const x = scale([xs[0], xs.at(-1)], [box[0], box[2]], { log });
  const y = scale([0, TOP], [box[3], box[1]]);
  const set = (state, found) => {
    const rows = xs.map((v) => numbers({ ...state, [of]: v }));
    const high = (value) => Math.min(value, 2 * TOP);
    const line = ([name, , role, dash]) => s("path", {
      d: path(xs.map((v, i) => [x(v), y(high(rows[i][name]))])), fill: "none",
      stroke: color(role), "stroke-width": 2.5, "stroke-dasharray": dash, "clip-path": `url(#${clip})`,
    });
    const dot = ([name, , role]) => found[name] <= TOP && s("circle", {
      cx: x(state[of]), cy: y(found[name]), r: 5.5, fill: color(role),
    });
    picture.redraw(
      s("defs", {}, s("clipPath", { id: clip }, s("rect", { x: box[0], y: box[1], width: box[2] - box[0], height: box[3] - box[1] }))),
      axes({ x, y, box, xTicks, yTicks: [0, 0.5, 1, 1.5, 2], xLabel, yLabel: "error (guessing 0 = 1)" }),
      s("line", { x1: box[0], x2: box[2], y1: y(1), y2: y(1), stroke: color("muted"), "stroke-dasharray": "1 4" }),
      of === "examples" && s("line", {
        x1: box[0], x2: box[2], y1: y(high(found.floor)), y2: y(high(found.floor)), stroke: color("predicted"),
        "stroke-dasharray": "1 3", "clip-path": `url(#${clip})`,
      }),
      LINES.map(line),
      LINES.map(dot),
    );
    picture.describe(describe(state, rows));
  };
  return { element: picture.element, set };
}

function legend() {
  const rows = LINES.map(([, label, role, dash]) => h("li", { style: "list-style:none;display:flex;align-items:center;gap:0.5rem" }, [
    s("svg", { width: 34, height: 12, "aria-hidden": "true" }, s("path", { d: "M1 6L33 6", stroke: color(role), "stroke-width": 2.5, "stroke-dasharray": dash })),
    h("span", { text: label }),
  ]));
  return h("ul", { style: "padding:0;margin:0.25rem 0;display:flex;flex-wrap:wrap;gap:0.25rem 1.25rem" }, rows);
}

function render({ model, el }) {
  const length = slider({ model, trait: "examples", label: "Examples in the prompt, M", min: 1, max: LONGEST, step: 1 });
  const size = slider({ model, trait: "scale", label: "Input scale α", min: SMALLEST, max: LARGEST, step: PLACES, log: true });
  const dirt = slider({ model, trait: "noise", label: "Noise on the targets σ", min: 0, max: 3, step: 0.1 });
  const byLength = panel({
    xs: Array.from({ length: LONGEST }, (_, i) => i + 1), of: "examples", xLabel: "examples in the prompt, M",
    xTicks: [1, 50, 100, 150, 200],
    describe: (state, rows) => `Error of the trained layer against prompt length: ${number(rows[0].fixed)} with one example, ${number(rows.at(-1).fixed)} with ${LONGEST}; the best step ends at ${number(rows.at(-1).best)}.`,
  });
  const byScale = panel({
    xs: Array.from({ length: PLACES + 1 }, (_, i) => SMALLEST * (LARGEST / SMALLEST) ** (i / PLACES)), of: "scale", log: true,
    xLabel: "input scale α", xTicks: [0.25, 0.5, 1, 2, 4],
    describe: (state, rows) => `Error of the trained layer against input scale: ${number(rows[0].fixed)} at ${SMALLEST}, ${number(rows.at(-1).fixed)} at ${LARGEST}.`,
  });
  const keyNumbers = readouts([
    { name: "fixed", label: "trained layer", role: "predicted" },
    { name: "floor", label: "its floor, M → ∞" },
    { name: "best", label: "best step", role: "query" },
    { name: "least", label: "least squares", role: "gold" },
    { name: "step", label: "step taken, × α²" },
    { name: "best_step", label: "best step, × α²" },
  ]);
  const said = sentence();
  const update = () => {
    const state = read(model);
    const found = numbers(state);
    const even = Math.sqrt((state.trained + state.dimension + 1) / state.trained);
    length.setMarks([{ value: state.trained, label: `trained at N = ${state.trained}`, role: "predicted" }]);
    size.setMarks([{ value: even, label: `no floor at ${number(even)}`, role: "predicted" }]);
    byLength.set(state, found);
    byScale.set(state, found);
    keyNumbers.set(found);
    said.say(words(state, found));
  };
  frame({
    el, model, title: "One trained step on other prompts", controls: [length, size, dirt],
    body: [h("div", { class: "icl-pair" }, [h("div", {}, [byLength.element]), h("div", {}, [byScale.element])]), legend(), keyNumbers, said],
    update,
  });
}

export default { render };
