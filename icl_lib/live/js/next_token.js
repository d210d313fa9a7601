// The next token after a text: softmax(z / τ), cut by top-k and top-p, over the whole vocabulary.
import {
  h, s, axes, button, color, drawing, frame, number, path, readout, readouts, scale, select, sentence, setter, slider, text,
} from "./kit.js";

const ROWS = 12;
const DRAWS = 20;
const FULL = [0.1, 0.2, 0.5, 1];
const CHOICES = [1, 2, 3, 5, 10, 20, 50, 100];

/** The logits, one array for each text, from base64 of little-endian 32-bit floats. */
export function unpack(data, count) {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const size = bytes.length / 4 / count;
  return Array.from({ length: count }, (_, row) =>
    Float64Array.from({ length: size }, (__, i) => view.getFloat32(4 * (row * size + i), true)));
}

function softmax(z) {
  const top = z.reduce((a, b) => Math.max(a, b), -Infinity);
  const grown = z.map((value) => Math.exp(value - top));
  const total = grown.reduce((a, b) => a + b, 0);
  return grown.map((value) => value / total);
}

/** Positions from the largest value to the smallest; equal values keep their order. */
export function ranking(values) {
  return Array.from(values, (_, i) => i).sort((a, b) => values[b] - values[a] || a - b);
}

/** Probabilities before the cuts and after them. `top_k` 0 keeps all tokens, as does `top_p` 1. */
export function distribution(logits, { temperature, top_k, top_p }) {
  const z = logits.map((value) => value / temperature);
  const before = softmax(z);
  let after = before;
  if (top_k > 0 && top_k < z.length) {
    const least = z[ranking(z)[top_k - 1]];
    after = softmax(z.map((value) => (value < least ? -Infinity : value)));
  }
  if (top_p === 1) return { before, after };
  let sum = 0;
  const kept = new Float64Array(z.length);
  for (const i of ranking(after)) {
    sum += after[i];
    if (sum - after[i] < top_p) kept[i] = after[i];
  }
  const total = kept.reduce((a, b) => a + b, 0);
  return { before, after: kept.map((value) => value / total) };
}

/** Entropy −Σ p log₂ p in bits. */
export function entropy(p) {
  return p.reduce((sum, x) => (x > 0 ? sum - x * Math.log2(x) : sum), 0);
}

/** Uniform numbers in [0, 1) from a seed: mulberry32. */
export function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Tokens drawn: the first, from the likeliest, at which the summed probability exceeds u. */
export function draw(p, order, seed, count) {
  const next = uniform(seed);
  return Array.from({ length: count }, () => {
    const u = next();
    let sum = 0;
    return order.find((i) => (sum += p[i]) > u) ?? order.findLast((i) => p[i] > 0);
  });
}

const allowedBy = ({ top_k }, logits) => {
  const least = top_k ? logits[ranking(logits)[top_k - 1]] : -Infinity;
  return logits.reduce((count, z) => count + (z >= least), 0);
};

/** Everything that the figure shows, from its state. */
export function numbers(state, rows) {
  const logits = rows[state.prefix];
  const { before, after } = distribution(logits, state);
  const order = ranking(logits);
  const shown = order.slice(0, ROWS);
  const allowed = order.filter((i) => after[i] > 0);
  return {
    before, after, order, shown, kept: allowed.length,
    share: allowed.reduce((sum, i) => sum + before[i], 0),
    line: state.top_p * order.slice(0, allowedBy(state, logits)).reduce((sum, i) => sum + before[i], 0),
    others: order.slice(ROWS).reduce((sum, i) => sum + after[i], 0),
    entropyBefore: entropy(before), entropy: entropy(after), perplexity: 2 ** entropy(after),
    draws: state.seed ? draw(after, order, state.seed, DRAWS) : [],
  };
}

const NAMES = ["prefixes", "prefix", "temperature", "top_k", "top_p", "seed", "links"];
const read = (model) => Object.fromEntries(NAMES.map((name) => [name, model.get(name)]));
const cuts = (model) => model.get("top_k") > 0 || model.get("top_p") < 1;
const probability = (p) => (p > 0 && p < 0.0005 ? "<0.001" : p.toFixed(3));
const japanese = (words) => (/[\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Han}]/u.test(words) ? "ja" : null);
const quoted = (words) => (japanese(words) ? `「${words}」` : `“${words}”`);

function words(state, found, tokens) {
  const best = found.order[0];
  const start = `After ${quoted(state.prefixes[state.prefix])}, at τ = ${number(state.temperature)}, the likeliest token is `
    + `${quoted(tokens[best])} with probability ${number(found.after[best])}.`;
  const cut = found.kept === found.after.length
    ? `All ${found.kept} tokens may follow`
    : `${found.kept} of ${found.after.length} tokens may follow; before the cut they had ${number(100 * found.share)} % of the probability`;
  if (found.kept === 1) return `${start} Nothing else may follow: this is greedy decoding.`;
  return `${start} ${cut}. The choice is as open as one among ${number(found.perplexity)} equally likely tokens.`;
}

function bars(model, tokens, landing) {
  const go = (to) => { model.set("prefix", to); model.save_changes(); landing.focus(); };
  const rows = Array.from({ length: Math.min(ROWS, tokens.length) + 1 }, (_, i) => {
    const name = h("span", { class: "icl-bar-name" });
    const bar = h("div", { class: "icl-bar" });
    const tick = h("div", { class: "icl-bar-tick" });
    const last = i === Math.min(ROWS, tokens.length);
    const value = readout({
      name: last ? "others" : `p_${i}`, label: last ? "probability of all others" : `probability of rank ${i + 1}`,
      format: (p) => (p > 0 || last || !cuts(model) ? probability(p) : "cut"),
    });
    const track = last ? h("span", { class: "icl-hint", text: "together" }) : h("div", { class: "icl-bar-track" }, [bar, tick]);
    const row = h("li", { class: "icl-bar-row" }, [name, track, value.element]);
    return { name, bar, tick, value, row };
  });
  const list = h("ol", { class: "icl-bars", "aria-label": "Probabilities of the likeliest tokens" }, rows.map((one) => one.row));
  const end = h("span");
  const axis = h("div", { class: "icl-bar-row icl-bar-axis", "aria-hidden": "true" }, [
    h("span"), h("div", {}, [h("span", { text: "0" }), end]), h("span"),
  ]);
  const label = (node, words, to) => {
    const inside = to === undefined
      ? [words]
      : h("button", { type: "button", class: "icl-button icl-token", text: `${words} ›`, onclick: () => go(to), "aria-label": `Append ${words}` });
    node.replaceChildren(...[inside].flat());
    node.setAttribute("lang", japanese(words) ?? "en");
  };
  const fill = ({ bar, tick, value, row }, before, after, full) => {
    bar.style.width = `${(100 * after) / full}%`;
    tick.style.left = `${(100 * before) / full}%`;
    row.classList.toggle("icl-masked", after === 0 && cuts(model));
    value.set(after);
  };
  const set = (state, found) => {
    const full = FULL.find((most) => most >= Math.max(found.before[found.shown[0]], found.after[found.shown[0]]) - 1e-9);
    end.textContent = number(full);
    list.classList.toggle("icl-uncut", found.kept === tokens.length);
    found.shown.forEach((id, i) => {
      const link = state.links.find(([from, token]) => from === state.prefix && token === id);
      label(rows[i].name, tokens[id], link?.[2]);
      fill(rows[i], found.before[id], found.after[id], full);
    });
    label(rows.at(-1).name, `${tokens.length - found.shown.length} others`);
    rows.at(-1).value.set(found.others);
  };
  return { element: h("div", { class: "icl-ranked" }, [axis, list]), set };
}

const cutLabel = ({ top_p, top_k }) => `p = ${number(top_p)}${top_k ? ` of the ${top_k} likeliest` : ""}`;

function curve(size) {
  const [width, height] = [420, 230];
  const box = [40, 28, 404, 180];
  const picture = drawing({ width, height, label: "" });
  const x = scale([1, Math.max(2, size)], [box[0], box[2]], { log: true });
  const y = scale([0, 1], [box[3], box[1]]);
  const set = (state, found) => {
    let sum = 0;
    const points = found.order.map((id, i) => { sum += found.before[id]; return [x(i + 1), y(Math.min(1, sum))]; });
    const dashed = { stroke: color("key"), "stroke-width": 1.5, "stroke-dasharray": "5 4" };
    picture.redraw(
      axes({
        x, y, box, xTicks: [1, 3, 10, 30, 100, 300, 1000].filter((v) => v <= size), yTicks: [0, 0.25, 0.5, 0.75, 1],
        xLabel: "number of likeliest tokens", yLabel: "their summed probability, before any cut",
      }),
      s("line", { x1: box[0], x2: box[2], y1: y(found.line), y2: y(found.line), ...dashed }),
      text(box[2], y(found.line) + (found.line > 0.5 ? 16 : -6), cutLabel(state), { anchor: "end", role: "key" }),
      s("path", { d: path(points), fill: "none", stroke: color("neutral"), "stroke-width": 2 }),
      s("circle", { cx: x(found.kept), cy: y(Math.min(1, found.share)), r: 6, fill: color("query") }),
    );
    picture.describe(
      `Summed probability of the likeliest tokens: 1 token has ${number(found.before[found.order[0]])}, `
      + `the ${found.kept} kept have ${number(found.share)}.`,
    );
  };
  return { element: picture.element, set };
}

function drawn(model, tokens, reset) {
  const again = setter({ model, label: `Draw ${DRAWS} tokens`, values: () => ({ seed: model.get("seed") + 1 }) });
  const ids = readout({ name: "draws", label: "tokens drawn", format: (list) => (list.length ? `seed ${model.get("seed")}` : "none yet") });
  const list = h("ol", { class: "icl-pieces", "aria-label": "Tokens drawn" });
  const set = (found) => {
    ids.set(found.draws);
    list.replaceChildren(...found.draws.map((id) =>
      h("li", { class: "icl-piece" }, h("span", { text: tokens[id], lang: japanese(tokens[id]) }))));
  };
  return { element: h("div", {}, [h("div", { class: "icl-buttons" }, [again.element, reset.element, ids.element]), list]), set };
}

function render({ model, el }) {
  const prefixes = model.get("prefixes");
  const tokens = model.get("tokens").split("\n");
  const rows = unpack(model.get("logits"), prefixes.length);
  const choices = CHOICES.filter((k) => k < tokens.length).map((k) => [k, k === 1 ? "the likeliest token" : `the ${k} likeliest tokens`]);
  const chosen = select({ model, trait: "prefix", label: "Text so far", options: prefixes.map((one, i) => [i, one || "(nothing)"]) });
  const temperature = slider({ model, trait: "temperature", label: "Temperature τ", min: 0.05, max: 5, step: 100, log: true });
  temperature.setMarks([{ value: 1, label: "τ = 1: as trained", role: "muted" }]);
  const topP = slider({ model, trait: "top_p", label: "Top-p", min: 0.01, max: 1, step: 0.01, format: (p) => p.toFixed(2) });
  const topK = select({ model, trait: "top_k", label: "Top-k keeps", options: [[0, "all tokens"], ...choices] });
  const start = { temperature: 1, top_p: 1, top_k: 0 };
  const reset = setter({ model, label: "Plain: τ = 1, no cut", values: () => start });
  const list = bars(model, tokens, chosen.input);
  const plot = curve(tokens.length);
  const keyNumbers = readouts([
    { name: "kept", label: "tokens that may follow", role: "query" },
    { name: "share", label: "their share before the cut" },
    { name: "entropy_before", label: "bits before the cut" },
    { name: "entropy", label: "bits of entropy" },
    { name: "perplexity", label: "perplexity" },
  ]);
  const sample = drawn(model, tokens, reset);
  const said = sentence();
  const update = () => {
    const state = read(model);
    const found = numbers(state, rows);
    list.set(state, found);
    plot.set(state, found);
    keyNumbers.set({
      kept: found.kept, share: found.share, entropy_before: found.entropyBefore, entropy: found.entropy,
      perplexity: found.perplexity,
    });
    sample.set(found);
    said.say(words(state, found, tokens));
  };
  const hint = "Bars: probability of being drawn. The thin mark: probability before the cuts. Hatched: cut away.";
  frame({
    el, model, title: "What comes next?", controls: [chosen, topK, temperature, topP],
    body: [
      h("div", { class: "icl-pair" }, [
        h("div", {}, [h("p", { class: "icl-hint", text: hint }), list.element]),
        h("div", {}, [keyNumbers.element, plot.element]),
      ]),
      sample, said,
    ],
    update,
  });
}

export default { render };
