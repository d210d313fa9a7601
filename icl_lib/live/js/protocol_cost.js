// Seconds and memory of the paper's protocol: demonstrations read once for all queries, or each time.
import { color, drawing, frame, h, number, readouts, s, select, sentence, slider, text } from "./kit.js";

const PARTS = [
  ["demonstrations", "reading demonstrations", "key"],
  ["queries", "reading queries", "query"],
  ["finetuning", "finetuning", "error"],
  ["updates", "weight updates", "gold"],
  ["rankings", "rankings", "neutral"],
];
const HELD = [
  ["weights", "weights", "key"],
  ["copies", "finetuned copies", "error"],
  ["keys and values", "keys and values", "value"],
  ["trace", "trace of training", "gold"],
  ["queries", "what queries show", "query"],
  ["logits", "logits", "neutral"],
];
const GIB = 2 ** 30;

/** Operations of each part; texts of equal length, one token each for opening, label, separator. */
export function operations(model, parts, { demonstrations: N, doublings, tokens }, shared) {
  const Q = 2 ** doublings;
  const { layers: L, width: D, heads: H } = model;
  const square = D * D;
  const head = 2 * D * model.vocabulary;
  const m = tokens + 2;
  const n = 1 + N * m;
  const blocks = 24 * L * square;
  const reading = (before) =>
    (blocks - 18 * square) * tokens + 18 * square + 4 * D * (tokens + before) * ((L - 1) * tokens + 1) + head;
  const step = (2 * blocks - 6 * square + 4 * L * square) * m + 2 * head * (m - 1) + 14 * L * D * m * m;
  const pair = 8 * L * square * tokens + Math.floor((4 * L * square) / H) * tokens;
  return {
    demonstrations: parts.long * (blocks * n + 4 * L * D * n * n) * (shared ? 1 : Q),
    queries: Q * (parts.long * reading(n) + parts.short * reading(1)),
    finetuning: parts.trainings * N * step,
    updates: parts.comparisons * Q * pair,
    rankings: parts.ranked * Q * 2 * N * m * L * D * (4 + H),
  };
}

/** Bytes of each part in 32 bits; two batches of 2,048 tokens are held. */
export function memory(model, parts, { demonstrations: N, doublings, tokens }, shared) {
  const big = model.layers * model.width;
  const m = tokens + 2;
  const n = 1 + N * m;
  const together = shared ? Math.max(tokens, Math.min(4096, 2 ** doublings * tokens)) : tokens;
  const twice = parts.long > 1 ? 1 : 0;
  const states = 2 + parts.copies - parts.fresh + twice;
  const numbers = {
    weights: model.parameters * (1 + parts.fresh),
    copies: parts.copies * 2 * big * model.width,
    "keys and values": (1 + twice) * 2 * big * n,
    trace: parts.traces * N * m * 4 * big,
    queries: together * (states * 3 * big + 3 * model.heads * n),
    logits: 4 * m * model.vocabulary,
  };
  return Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, 4 * value]));
}

const grouped = (x) => x.toLocaleString("en-US");
const sum = (parts) => Object.values(parts).reduce((a, b) => a + b, 0);

/** Everything that the figure shows, from its state. */
export function numbers(state) {
  const model = state.models.find((one) => one.name === state.chosen);
  const parts = state.scopes.find((one) => one.name === state.scope);
  const way = (shared) => {
    const work = operations(model, parts, state, shared);
    const seconds = Object.fromEntries(Object.entries(work).map(([name, x]) => [name, x / state.rate]));
    return { seconds, bytes: memory(model, parts, state, shared) };
  };
  const [fast, slow] = [way(true), way(false)];
  const prompt = 1 + state.demonstrations * (state.tokens + 2) + state.tokens + 1;
  return {
    fast,
    slow,
    shown: {
      seconds_shared: sum(fast.seconds),
      seconds_straight: sum(slow.seconds),
      ratio: sum(slow.seconds) / sum(fast.seconds),
      gib_shared: sum(fast.bytes) / GIB,
      gib_straight: sum(slow.bytes) / GIB,
      prompt,
      room: model.context - prompt,
      fit: Math.max(0, Math.floor((model.context - state.tokens - 2) / (state.tokens + 2))),
    },
  };
}

/** Seconds as a reader says them. */
export function duration(x) {
  if (x >= 2 * 86400) return `${number(x / 86400)} days`;
  if (x >= 2 * 3600) return `${number(x / 3600)} h`;
  if (x >= 120) return `${number(x / 60)} min`;
  return `${number(x)} s`;
}

const NAMES = ["models", "scopes", "chosen", "scope", "demonstrations", "doublings", "tokens", "rate"];
const read = (model) => Object.fromEntries(NAMES.map((name) => [name, model.get(name)]));

function words(state, { shown }) {
  const fits = shown.room >= 0
    ? ""
    : ` The longest prompt needs ${grouped(shown.prompt)} positions, ${grouped(-shown.room)} too many: this run would be refused. `
      + `${shown.fit} demonstrations of this length would fit.`;
  return `${state.chosen}: ${duration(shown.seconds_shared)} if demonstrations are read once, `
    + `${duration(shown.seconds_straight)} if every query reads its whole prompt: ${number(shown.ratio)} times as long. `
    + `It holds ${number(shown.gib_shared)} GiB.${fits}`;
}

/** Two stacked bars on one scale, each with its sum. */
function bars(title, list, say) {
  const picture = drawing({ width: 420, height: 130, label: "" });
  const set = (rows) => {
    const most = Math.max(...rows.map(([, parts]) => sum(parts)));
    picture.redraw(
      text(4, 16, title, { size: 15 }),
      rows.map(([name, parts], i) => {
        const y = 26 + 52 * i;
        let left = 4;
        return [
          list.map(([part, , role]) => {
            const width = (412 * parts[part]) / most;
            const piece = s("rect", { x: left, y, width, height: 22, fill: color(role) });
            left += width;
            return piece;
          }),
          text(4, y + 39, `${name}: ${say(sum(parts))}`, { role: "muted", size: 15 }),
        ];
      }),
    );
    picture.describe(`${title}. ${rows.map(([name, parts]) => `${name} ${say(sum(parts))}: ${list.map(([part, label]) => `${label} ${number((100 * parts[part]) / sum(parts), 2)} %`).join(", ")}`).join("; ")}.`);
  };
  return { element: picture.element, set };
}

const legend = (list) => h("p", { class: "icl-hint" }, list.map(([, label, role]) => h("span", {
  style: `color:${color(role)};display:inline-block;margin-right:1em`, text: `■ ${label}`,
})));

function render({ model, el }) {
  const names = (trait) => model.get(trait).map(({ name }) => [name, name]);
  const measured = model.get("rate");
  const rate = slider({
    model, trait: "rate", label: "Operations a second", min: 1e9, max: 1e15, step: 120, log: true, format: (x) => number(x, 2),
  });
  rate.setMarks([{ value: measured, label: "here", role: "muted" }]);
  const controls = [
    select({ model, trait: "chosen", label: "Model", options: names("models") }),
    select({ model, trait: "scope", label: "Measured", options: names("scopes") }),
    slider({ model, trait: "demonstrations", label: "Demonstrations N", min: 1, max: 64, step: 1 }),
    slider({ model, trait: "doublings", label: "Queries Q", min: 0, max: 11, step: 1, format: (x) => grouped(2 ** x) }),
    slider({ model, trait: "tokens", label: "Tokens of a text t", min: 4, max: 128, step: 1 }),
    rate,
  ];
  const time = bars("Time", PARTS, duration);
  const space = bars("Memory", HELD, (x) => `${number(x / GIB)} GiB`);
  const shown = readouts([
    { name: "seconds_shared", label: "read once", format: duration, role: "query" },
    { name: "seconds_straight", label: "prompt by prompt", format: duration, role: "error" },
    { name: "ratio", label: "times as long" },
    { name: "gib_shared", label: "GiB, read once" },
    { name: "gib_straight", label: "GiB, prompt by prompt" },
    { name: "prompt", label: "positions of a prompt", format: grouped },
    { name: "room", label: "positions left", format: (x) => number(x) },
    { name: "fit", label: "demonstrations that fit" },
  ]);
  const said = sentence();
  const update = () => {
    const state = read(model);
    const found = numbers(state);
    time.set([["read once", found.fast.seconds], ["prompt by prompt", found.slow.seconds]]);
    space.set([["read once", found.fast.bytes], ["prompt by prompt", found.slow.bytes]]);
    shown.set(found.shown);
    said.say(words(state, found));
  };
  const hint = "Take one query, then many: where does the time go, and how much is there to save?";
  frame({
    el, model, title: "What a comparison costs", controls,
    body: [
      h("p", { class: "icl-hint", text: hint }),
      h("div", { class: "icl-pair" }, [
        h("div", {}, [time.element, legend(PARTS)]),
        h("div", {}, [space.element, legend(HELD)]),
      ]),
      shown, said,
    ],
    update,
  });
}

export default { render };
