// Fine-tuning runs that were measured: what each method gained on the task and lost on old text.
import { h, s, axes, color, drawing, frame, number, path, readouts, scale, select, sentence, slider, text, ticks } from "./kit.js";

const FIELDS = ["methods", "method", "setting", "target", "base_accuracy", "base_perplexity", "prompt", "before"];
const ROLES = ["query", "key", "value", "error", "gold", "predicted"];
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "4 2", "1 2"];

/** What a curve has cost where it first reaches a gain; between two points log(cost) runs along a line; −1 if never. */
export function costAtGain(gains, costs, target) {
  const there = gains.findIndex((gain) => gain >= target);
  if (there < 0) return -1;
  if (there === 0) return costs[0];
  const way = (target - gains[there - 1]) / (gains[there] - gains[there - 1]);
  return costs[there - 1] * (costs[there] / costs[there - 1]) ** way;
}

/** Everything that the figure shows, from its state. */
export function numbers(state) {
  const run = state.methods[state.method];
  const at = (list) => list[state.setting];
  const accuracy = at(run.accuracy);
  const perplexity = at(run.perplexity);
  return {
    step_size: at(run.step_size),
    accuracy,
    gain: accuracy - state.base_accuracy,
    perplexity,
    lost_bits: Math.log2(perplexity / state.base_perplexity),
    change: at(run.change),
    price: state.methods.map((m) => costAtGain(m.accuracy, m.perplexity, state.target)),
  };
}

const read = (model) => Object.fromEntries(FIELDS.map((k) => [k, model.get(k)]));
const percent = (x) => `${number(100 * x)} %`;

function words(state, found) {
  const run = state.methods[state.method];
  const ratio = found.perplexity / state.base_perplexity;
  const lost = ratio > 1.005 ? `${percent(ratio - 1)} more than before` : "no more than before";
  const start = `${run.name}, step size ${number(found.step_size)}: accuracy ${number(found.accuracy)} on the task, `
    + `perplexity ${number(found.perplexity)} on old text, ${lost}.`;
  const reached = state.methods.map((m, i) => [m.name, found.price[i]]).filter(([, cost]) => cost >= 0);
  if (!reached.length) return `${start} No method reaches accuracy ${number(state.target)}.`;
  const [name, cost] = reached.reduce((best, one) => (one[1] < best[1] ? one : best));
  return `${start} Accuracy ${number(state.target)} costs least with ${name}: perplexity ${number(cost)}.`;
}

function logTicks(low, high) {
  const found = [];
  for (let power = 10 ** Math.floor(Math.log10(low)); power <= high; power *= 10) {
    for (const m of high / low > 8 ? [1, 3] : high / low > 3 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9]) {
      if (m * power >= low && m * power <= high) found.push(m * power);
    }
  }
  return found;
}

function range(state) {
  const gains = [...state.methods.flatMap((m) => m.accuracy), state.base_accuracy];
  const costs = [...state.methods.flatMap((m) => m.perplexity), state.base_perplexity];
  const [least, most] = [Math.min(...costs), 1.05 * Math.max(...costs)];
  const room = Math.max(1.08, (most / least) ** 0.14); // below the curves, for the word "before"
  return { left: Math.floor(20 * Math.min(...gains) - 1e-9) / 20, low: least / room, high: most };
}

const legend = (state) => state.methods.flatMap((m, i) => {
  const [x, y] = [14 + 136 * (i % 3), 14 + 20 * Math.floor(i / 3)];
  const now = i === state.method;
  return [
    s("line", { x1: x, x2: x + 26, y1: y - 4, y2: y - 4, stroke: color(ROLES[i]), "stroke-width": now ? 4 : 2, "stroke-dasharray": DASHES[i] || null }),
    text(x + 32, y, m.name, { weight: now ? 700 : null }),
  ];
});

function plot(state, found, box) {
  const { left, low, high } = range(state);
  const x = scale([left, 1.01], [box[0], box[2]]);
  const y = scale([low, high], [box[3], box[1]], { log: true });
  const rule = (x1, y1, x2, y2, role, dash) => s("line", { x1, y1, x2, y2, stroke: color(role), "stroke-width": 1.5, "stroke-dasharray": dash });
  return [
    legend(state),
    axes({
      x, y, box, xTicks: ticks(left, 1, 5), yTicks: logTicks(low, high),
      xLabel: "accuracy on the task", yLabel: "perplexity on old text",
    }),
    rule(box[0], y(state.base_perplexity), box[2], y(state.base_perplexity), "neutral", "2 4"),
    rule(x(state.target), box[1], x(state.target), box[3], "text", "5 4"),
    state.methods.flatMap((m, i) => {
      const points = m.accuracy.map((a, k) => [x(a), y(m.perplexity[k])]);
      const now = i === state.method;
      return [
        s("path", { d: path(points), fill: "none", stroke: color(ROLES[i]), "stroke-width": now ? 3.5 : 1.8, "stroke-dasharray": DASHES[i] || null }),
        ...points.map(([cx, cy]) => s("circle", { cx, cy, r: now ? 4 : 2.5, fill: color(ROLES[i]) })),
      ];
    }),
    text(x(state.base_accuracy) + 9, y(state.base_perplexity) + 17, "before", { role: "muted" }),
    s("rect", { x: x(state.base_accuracy) - 5, y: y(state.base_perplexity) - 5, width: 10, height: 10, fill: color("text") }),
    s("circle", { cx: x(found.accuracy), cy: y(found.perplexity), r: 9, fill: "none", stroke: color("text"), "stroke-width": 2.5 }),
  ];
}

function render({ model, el }) {
  const { methods, prompt, before } = read(model);
  const setting = slider({
    model, trait: "setting", label: "Step size", min: 0, max: methods[0].step_size.length - 1, step: 1,
    format: (i) => number(model.get("methods")[model.get("method")].step_size[i]),
  });
  const method = select({ model, trait: "method", label: "Method", options: methods.map((m, i) => [i, m.name]) });
  const target = slider({ model, trait: "target", label: "Accuracy you need", min: 0.5, max: 1, step: 0.01 });
  const picture = drawing({ width: 420, height: 300, label: "" });
  const box = [52, 74, 404, 258];
  const shown = readouts([
    { name: "step_size", label: "step size η" },
    { name: "accuracy", label: "accuracy on the task" },
    { name: "gain", label: "gained", role: "value" },
    { name: "perplexity", label: "perplexity on old text" },
    { name: "lost_bits", label: "bits lost per token", role: "error" },
    { name: "change", label: "‖ΔW‖ / ‖W‖", format: (v) => number(v) },
    {
      name: "price", label: "perplexity at the accuracy you need",
      format: (list) => list.map((v, i) => `${methods[i].name} ${v < 0 ? "–" : number(v)}`).join("; "),
    },
  ]);
  const line = (words_) => h("p", { class: "icl-hint", text: words_ });
  const after = line("");
  const said = sentence();
  const update = () => {
    const state = read(model);
    const found = numbers(state);
    setting.relabel();
    picture.redraw(plot(state, found, box));
    picture.describe(`Accuracy against perplexity for ${methods.length} methods; ${state.methods[state.method].name} stands at ${number(found.accuracy)} and ${number(found.perplexity)}.`);
    shown.set(found);
    after.textContent = `After: ${prompt}${state.methods[state.method].completion[state.setting]}`;
    said.say(words(state, found));
  };
  frame({
    el, model, title: "What the task gains and the old text loses", controls: [method, setting, target],
    body: [h("div", { class: "icl-pair" }, [
      picture.element,
      h("div", {}, [shown.element, line(`Before: ${prompt}${before}`), after]),
    ]), said],
    update,
  });
}

export default { render };
