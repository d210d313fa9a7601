// Ability and similarity over one training: accuracies of three conditions with a moment on them,
// and a similarity at this moment layer by layer, beside what its controls show there.
import { h, s, axes, color, drawing, frame, number, path, player, readouts, scale, select, sentence, slider, text, ticks } from "./kit.js";

const FIELDS = ["steps", "ways", "metrics", "accuracies", "similarity", "nulls", "null_names", "metric", "way", "moment"];
const CONDITIONS = ["zero-shot", "in-context", "finetuned"];
const INKS = ["neutral", "predicted", "key"];
const DASHES = ["2 3", null, "7 4"];
const NULL_INKS = ["error", "gold", "value"];
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

/** The first index at which half of the last value is reached, seen from below 0 as never; −1 if never. */
export function half(values) {
  const last = values[values.length - 1];
  return last > 0 ? values.findIndex((v) => v >= last / 2) : -1;
}

/** Everything that the figure shows, from its state. */
export function numbers(state) {
  const told = state.accuracies[state.way];
  const gains = told.map(([zero, icl]) => icl - zero);
  const course = state.similarity[state.metric][state.way].map(mean);
  const controls = state.nulls[state.metric].map((null_) => null_[state.way].map(mean));
  const largest = course.map((_, i) => Math.max(...controls.map((c) => c[i])));
  const [zero, icl, ft] = told[state.moment];
  const at = { ability: half(gains), alike: half(course) };
  return {
    course,
    largest,
    step: state.steps[state.moment],
    zero_shot: zero,
    in_context: icl,
    finetuned: ft,
    similarity: course[state.moment],
    control: largest[state.moment],
    excess: course[state.moment] - largest[state.moment],
    half_ability: at.ability < 0 ? -1 : state.steps[at.ability],
    half_similarity: at.alike < 0 ? -1 : state.steps[at.alike],
  };
}

function words(state, found) {
  const gain = 100 * (found.in_context - found.zero_shot);
  const left = found.excess > 0.02
    ? `${number(found.excess, 2)} of it is more than its largest control shows`
    : "its largest control shows as much";
  const first = found.half_similarity < 0 || found.half_ability < 0
    ? "One of the two is not there at the end."
    : found.half_similarity < found.half_ability
      ? `Half of this similarity is there by step ${found.half_similarity}, half of the gain only by step ${found.half_ability}.`
      : `Half of the gain is there by step ${found.half_ability}, half of this similarity by step ${found.half_similarity}.`;
  return `After ${found.step} steps demonstrations in the prompt change the accuracy by ${number(gain, 2)} points. `
    + `${state.metrics[state.metric]} (${state.ways[state.way]}) is ${number(found.similarity, 2)}; ${left}. ${first}`;
}

const line = (points, role, { dash, thick } = {}) => s("path", {
  d: path(points), fill: "none", stroke: color(role), "stroke-width": thick ? 2.8 : 1.8, "stroke-dasharray": dash,
});

function course(state, found, box) {
  const low = Math.min(0, ...found.course, ...found.largest);
  const x = scale([0, state.steps.length - 1], [box[0] + 8, box[2]]);
  const y = scale([low, 1], [box[3], box[1]]);
  const at = x(state.moment);
  const every = Math.ceil(state.steps.length / 7);
  const along = (values) => values.map((v, i) => [x(i), y(v)]);
  return [
    axes({ x, y, box, xTicks: [], yTicks: ticks(low, 1, 5), xLabel: "training step, measured moments" }),
    ...state.steps.flatMap((step, i) => (i % every ? [] : [text(x(i), box[3] + 17, String(step), { anchor: "middle", role: "muted", size: 12 })])),
    s("line", { x1: at, y1: box[1], x2: at, y2: box[3], stroke: color("muted"), "stroke-width": 1, "stroke-dasharray": "4 3" }),
    ...CONDITIONS.map((_, i) => line(along(state.accuracies[state.way].map((row) => row[i])), INKS[i], { dash: DASHES[i] })),
    line(along(found.course), "query", { thick: true }),
    line(along(found.largest), "error", { dash: "3 3" }),
    s("circle", { cx: at, cy: y(found.similarity), r: 5, fill: color("query") }),
  ];
}

function byLayer(state, found, box) {
  const own = state.similarity[state.metric][state.way][state.moment];
  const all = [...state.similarity[state.metric].flat(2), ...state.nulls[state.metric].flat(3)];
  const low = Math.min(0, ...all);
  const high = Math.max(0.05, ...all) * 1.08;
  const y = scale([low, high], [box[3], box[1]]);
  const room = (box[2] - box[0]) / own.length;
  const middle = (i) => box[0] + (i + 0.5) * room;
  const width = Math.min(60, room * 0.5);
  const bars = own.map((v, i) => s("rect", {
    x: middle(i) - width / 2, y: Math.min(y(0), y(v)), width, height: Math.abs(y(v) - y(0)), fill: color("query"), "fill-opacity": 0.55,
  }));
  const marks = state.nulls[state.metric].flatMap((null_, k) => null_[state.way][state.moment].map((v, i) => s("line", {
    x1: middle(i) - width * 0.7, x2: middle(i) + width * 0.7, y1: y(v), y2: y(v), stroke: color(NULL_INKS[k]), "stroke-width": 3, "stroke-dasharray": [null, "6 3", "2 2"][k],
  })));
  const names = own.map((_, i) => text(middle(i), box[3] + 17, `layer ${i}`, { anchor: "middle", role: "muted" }));
  return [
    axes({ x: (v) => v, y, box, xTicks: [], yTicks: ticks(low, high, 5) }),
    ...bars, ...marks, ...names,
  ];
}

function legends(state) {
  const left = [
    ...CONDITIONS.map((name, i) => text(46 + 120 * i, 12, `${["┈", "—", "╌"][i]} ${name}`, { role: INKS[i], size: 12 })),
    text(46, 28, "— similarity, mean of layers", { role: "query", size: 12, weight: 700 }),
    text(246, 28, "┈ its largest control", { role: "error", size: 12 }),
  ];
  const right = [
    text(46, 12, `▮ ${state.metrics[state.metric]}`, { role: "query", size: 12, weight: 700 }),
    ...state.null_names[state.metric].map((name, k) => text(46, 28 + 15 * k, `${["—", "╌", "┈"][k]} ${name}`, { role: NULL_INKS[k], size: 12 })),
  ];
  return [left, right];
}

function render({ model, el, signal }) {
  const steps = model.get("steps");
  const [left, right] = [0, 1].map(() => drawing({ width: 420, height: 286, label: "" }));
  const box = [46, 72, 396, 244];
  const options = (trait) => model.get(trait).map((name, i) => [i, name]);
  const controls = [
    slider({ model, trait: "moment", label: "Training step", min: 0, max: steps.length - 1, step: 1, format: (i) => String(steps[i]) }),
    select({ model, trait: "metric", label: "Similarity", options: options("metrics") }),
    select({ model, trait: "way", label: "Finetuning", options: options("ways") }),
  ];
  const playback = player({ model, trait: "moment", last: () => steps.length - 1, noun: "measurement", interval: 700, signal });
  const never = (n) => (n < 0 ? "never" : number(n, 6));
  const shown = readouts([
    { name: "step", label: "training step", format: (n) => number(n, 6) },
    { name: "zero_shot", label: "zero-shot" },
    { name: "in_context", label: "in-context", role: "predicted" },
    { name: "finetuned", label: "finetuned", role: "key" },
    { name: "similarity", label: "similarity", role: "query" },
    { name: "control", label: "largest control", role: "error" },
    { name: "excess", label: "excess" },
    { name: "half_ability", label: "half of the gain by", format: never },
    { name: "half_similarity", label: "half of the similarity by", format: never },
  ]);
  const said = sentence();
  const update = () => {
    const state = Object.fromEntries(FIELDS.map((k) => [k, model.get(k)]));
    const { course: along, largest, ...found } = numbers(state);
    const [one, two] = legends(state);
    left.redraw(course(state, { ...found, course: along, largest }, box), one);
    right.redraw(byLayer(state, found, box), two);
    shown.set(found);
    left.describe(`Accuracies and similarity over the training. After ${found.step} steps: zero-shot ${number(found.zero_shot)}, in-context ${number(found.in_context)}, finetuned ${number(found.finetuned)}, similarity ${number(found.similarity)}.`);
    right.describe(`${state.metrics[state.metric]} by layer after ${found.step} steps: ${state.similarity[state.metric][state.way][state.moment].map((v) => number(v, 2)).join(", ")}; largest control ${number(found.control, 2)} on average.`);
    said.say(words(state, found));
  };
  frame({
    el, model, title: "Ability and similarity in training", controls,
    body: [playback, h("div", { class: "icl-pair" }, [left.element, right.element]), shown, said], update,
  });
}

export default { render };
