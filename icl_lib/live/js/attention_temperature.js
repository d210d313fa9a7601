// One token's attention over a sentence: weights = softmax(q·k / (√K τ)).
import { h, s, axes, color, drawing, frame, number, path, readout, readouts, scale, sentence, slider, text, toggle } from "./kit.js";

const LOWEST = 0.05;
const HIGHEST = 20;

/** Scaled scores q·k/√K of one query with each key. */
export function scores(query, keys) {
  const root = Math.sqrt(query.length);
  return keys.map((key) => key.reduce((sum, value, i) => sum + value * query[i], 0) / root);
}

/** softmax(scores / temperature) over the visible scores; hidden ones get 0. */
export function weights(values, temperature, visible = values.length) {
  const seen = values.slice(0, visible);
  const top = Math.max(...seen);
  const grown = seen.map((value) => Math.exp((value - top) / temperature));
  const total = grown.reduce((a, b) => a + b, 0);
  return values.map((_, i) => (i < visible ? grown[i] / total : 0));
}

/** Entropy −Σ w log₂ w in bits. */
export function entropy(w) {
  return w.reduce((sum, p) => (p > 0 ? sum - p * Math.log2(p) : sum), 0);
}

/** Everything that the figure shows, from its state. */
export function numbers(state) {
  const all = scores(state.query_vectors[state.query], state.key_vectors);
  const visible = state.causal ? state.query + 1 : all.length;
  const w = weights(all, state.temperature, visible);
  const bits = entropy(w);
  return { scores: all, weights: w, visible, entropy: bits, effective: 2 ** bits };
}

const read = (model) =>
  Object.fromEntries(
    ["tokens", "query_vectors", "key_vectors", "query", "causal", "temperature"].map((k) => [k, model.get(k)]),
  );

function words(state, found) {
  const { tokens, query, temperature } = state;
  const best = found.weights.indexOf(Math.max(...found.weights));
  const start = `At τ = ${number(temperature)}, “${tokens[query]}” spreads its attention over ${number(found.effective)} `
    + `of ${found.visible} token${found.visible === 1 ? "" : "s"}; the largest weight, `
    + `${number(found.weights[best])}, is on “${tokens[best]}”.`;
  if (found.visible === 1) return `${start} It sees nothing but itself, whatever the temperature.`;
  if (found.effective < 1.1) return `${start} This is almost a look-up: one value comes back.`;
  if (found.effective > 0.97 * found.visible) return `${start} This is almost a plain average.`;
  return start;
}

function bars(model) {
  const tokens = model.get("tokens");
  const choose = (i) => { model.set("query", i); model.save_changes(); };
  const rows = tokens.map((token, i) => {
    const button = h("button", {
      type: "button", class: "icl-button icl-token", text: token, onclick: () => choose(i),
      "aria-label": `Query token ${i + 1}: ${token}`,
    });
    const bar = h("div", { class: "icl-bar" });
    const value = readout({ name: `weight_${i}`, label: `weight on ${token}`, format: (w) => w.toFixed(3) });
    const row = h("li", { class: "icl-bar-row" }, [button, h("div", { class: "icl-bar-track" }, bar), value.element]);
    return { button, bar, value, row };
  });
  const list = h("ol", { class: "icl-bars", "aria-label": "Attention weights" }, rows.map((r) => r.row));
  const set = (state, found) => rows.forEach(({ button, bar, value, row }, i) => {
    button.setAttribute("aria-pressed", String(i === state.query));
    bar.style.width = `${100 * found.weights[i]}%`;
    row.classList.toggle("icl-masked", i >= found.visible);
    value.set(found.weights[i]);
  });
  return { element: list, set };
}

function curve() {
  const [width, height] = [420, 210];
  const box = [44, 26, 404, 166];
  const picture = drawing({ width, height, label: "" });
  const x = scale([LOWEST, HIGHEST], [box[0], box[2]], { log: true });
  const set = (state, found) => {
    const most = Math.max(2, found.visible);
    const y = scale([0, most], [box[3], box[1]]);
    const at = (t) => 2 ** entropy(weights(found.scores, t, found.visible));
    const line = Array.from({ length: 81 }, (_, i) => x.invert(box[0] + ((box[2] - box[0]) * i) / 80));
    picture.redraw(
      axes({
        x, y, box, xTicks: [0.05, 0.2, 1, 5, 20], yTicks: [1, found.visible].filter((v, i, a) => a.indexOf(v) === i),
        xLabel: "temperature τ", yLabel: "effective number of tokens",
      }),
      s("path", { d: path(line.map((t) => [x(t), y(at(t))])), fill: "none", stroke: color("neutral"), "stroke-width": 2 }),
      s("circle", { cx: x(state.temperature), cy: y(found.effective), r: 6, fill: color("query") }),
    );
    picture.describe(
      `Effective number of tokens against temperature: it rises from ${number(at(LOWEST))} at τ = 0.05 `
      + `to ${number(at(HIGHEST))} at τ = 20 and is ${number(found.effective)} now.`,
    );
  };
  return { element: picture.element, set };
}

function render({ model, el }) {
  const temperature = slider({
    model, trait: "temperature", label: "Temperature τ", min: LOWEST, max: HIGHEST, step: 100, log: true,
  });
  temperature.setMarks([{ value: 1, label: "τ = 1: plain attention", role: "muted" }]);
  const causal = toggle({ model, trait: "causal", label: "Causal: later tokens are hidden" });
  const rows = bars(model);
  const plot = curve();
  const keyNumbers = readouts([
    { name: "entropy", label: "entropy, bits" },
    { name: "effective", label: "effective number of tokens", role: "query" },
  ]);
  const said = sentence();
  const update = () => {
    const state = read(model);
    const found = numbers(state);
    rows.set(state, found);
    plot.set(state, found);
    keyNumbers.set({ entropy: found.entropy, effective: found.effective });
    said.say(words(state, found));
  };
  frame({
    el, model, title: "Attention under a temperature", controls: [temperature, causal],
    body: [h("p", { class: "icl-hint", text: "Choose the token that asks; the bars are its weights on all tokens." }),
      h("div", { class: "icl-pair" }, [rows.element, h("div", {}, [keyNumbers.element, plot.element])]), said],
    update,
  });
}

export default { render };
