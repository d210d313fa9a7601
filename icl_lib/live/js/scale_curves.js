// Several sizes in training on one stream: loss by position at a chosen step, and the in-context
// score over the training, score = mean loss of the last two groups − mean loss of the first two.
import { h, s, axes, color, drawing, frame, number, path, player, readouts, scale, select, sentence, slider, text, ticks } from "./kit.js";

const FIELDS = ["names", "parameters", "steps", "losses", "accuracies", "shots", "width", "size", "moment", "shot"];
const INKS = ["neutral", "key", "query", "predicted", "value", "gold"];
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

/** Loss late in the document minus loss early in it. */
export function score(losses) {
  return mean(losses.slice(-2)) - mean(losses.slice(0, 2));
}

/** The first moment at which half of the final fall of the score is reached; −1 if it never falls. */
export function onset(scores) {
  const last = scores[scores.length - 1];
  const half = scores[0] + (last - scores[0]) / 2;
  return last < scores[0] ? scores.findIndex((value) => value <= half) : -1;
}

/** Everything that the figure shows, from its state. */
export function numbers(state) {
  const scores = state.losses.map((run) => run.map(score));
  const own = scores[state.size];
  const now = state.losses[state.size][state.moment];
  const first = onset(own);
  return {
    scores,
    step: state.steps[state.moment],
    early: mean(now.slice(0, 2)),
    late: mean(now.slice(-2)),
    score: own[state.moment],
    accuracy: state.accuracies[state.size][state.moment][state.shot],
    half_way: first < 0 ? -1 : state.steps[first],
  };
}

function words(state, found) {
  const falls = found.score < -0.05
    ? `its loss is ${number(-found.score)} nats lower late in a document than early: it uses the context`
    : "its loss is about the same late and early: the context does not help it";
  const half = found.half_way < 0
    ? "Its score never falls."
    : `Half of the fall of its score is reached by step ${found.half_way}.`;
  return `After ${found.step} steps the model ${state.names[state.size]} answers ${number(100 * found.accuracy)} % of the `
    + `questions with ${state.shots[state.shot]} demonstrations, and ${falls}. ${half}`;
}

const line = (points, role, thick) => s("path", {
  d: path(points), fill: "none", stroke: color(role), "stroke-width": thick ? 3 : 1.5, "stroke-opacity": thick ? 1 : 0.6,
});

function span(values) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const edge = 0.06 * (high - low || 1);
  return [low - edge, high + edge];
}

function byPosition(state, box) {
  const groups = state.losses[0][0].length;
  const x = scale([0, groups * state.width], [box[0], box[2]]);
  const [low, high] = span(state.losses.flat(2));
  const y = scale([low, high], [box[3], box[1]]);
  const order = state.names.map((_, i) => i).sort((a, b) => (a === state.size) - (b === state.size));
  return [
    axes({ x, y, box, xTicks: ticks(0, groups * state.width, 4), yTicks: ticks(low, high, 5), xLabel: "position in the document", yLabel: "loss (nats)" }),
    ...order.map((i) => line(
      state.losses[i][state.moment].map((v, g) => [x((g + 0.5) * state.width), y(v)]), INKS[i % INKS.length], i === state.size,
    )),
  ];
}

function history(state, found, box) {
  const last = state.steps[state.steps.length - 1];
  const x = scale([0, last], [box[0], box[2]]);
  const [low, high] = span(found.scores.flat());
  const y = scale([low, high], [box[3], box[1]]);
  const at = x(found.step);
  return [
    axes({ x, y, box, xTicks: ticks(0, last, 4), yTicks: ticks(low, high, 5), xLabel: "training step", yLabel: "in-context score (nats)" }),
    s("line", { x1: at, y1: box[1], x2: at, y2: box[3], stroke: color("muted"), "stroke-width": 1, "stroke-dasharray": "4 3" }),
    ...found.scores.map((run, i) => line(run.map((v, m) => [x(state.steps[m]), y(v)]), INKS[i % INKS.length], i === state.size)),
    s("circle", { cx: at, cy: y(found.score), r: 5, fill: color(INKS[state.size % INKS.length]) }),
  ];
}

function legend(state) {
  return state.names.map((name, i) => text(46 + (372 / state.names.length) * i, 12, `— ${name}`, { role: INKS[i % INKS.length], size: 12, weight: i === state.size ? 700 : 400 }));
}

function render({ model, el, signal }) {
  const steps = model.get("steps");
  const box = [48, 40, 408, 210];
  const [left, right] = [0, 1].map(() => drawing({ width: 420, height: 256, label: "" }));
  const controls = [
    select({ model, trait: "size", label: "Size", options: model.get("names").map((name, i) => [i, `${name}, ${number(model.get("parameters")[i], 6)} parameters`]) }),
    slider({ model, trait: "moment", label: "Training step", min: 0, max: steps.length - 1, step: 1, format: (i) => String(steps[i]) }),
    select({ model, trait: "shot", label: "Demonstrations in the prompt", options: model.get("shots").map((k, i) => [i, String(k)]) }),
  ];
  const playback = player({ model, trait: "moment", last: () => steps.length - 1, noun: "measurement", interval: 350, signal });
  const shown = readouts([
    { name: "step", label: "training step" },
    { name: "early", label: "loss, early positions" },
    { name: "late", label: "loss, late positions" },
    { name: "score", label: "in-context score", role: "error" },
    { name: "accuracy", label: "few-shot accuracy" },
    { name: "half_way", label: "half of the fall by step", format: (n) => (n < 0 ? "never" : number(n)) },
  ]);
  const said = sentence();
  const update = () => {
    const state = Object.fromEntries(FIELDS.map((k) => [k, model.get(k)]));
    const { scores, ...found } = numbers(state);
    left.redraw(byPosition(state, box), legend(state));
    right.redraw(history(state, { ...found, scores }, box), legend(state));
    shown.set(found);
    left.describe(`Loss by position after ${found.step} steps: ${number(found.early)} early, ${number(found.late)} late for ${state.names[state.size]}.`);
    right.describe(`In-context score of ${state.names.length} sizes over the training; ${state.names[state.size]} is at ${number(found.score)}.`);
    said.say(words(state, found));
  };
  frame({
    el, model, title: "Sizes in training", controls,
    body: [playback, h("div", { class: "icl-pair" }, [left.element, right.element]), shown, said], update,
  });
}

export default { render };
