// Where the parameters of a GPT sit, and how much memory they need.
import { color, drawing, frame, h, number, readouts, s, scale, select, sentence, slider, text } from "./kit.js";

const SIZES = ["layers", "width", "heads", "vocabulary", "context"];
const PARTS = [
  ["token", "token embedding V·D", "gold"],
  ["position", "position embedding T·D", "predicted"],
  ["attention", "attention L(4D² + 4D)", "query"],
  ["mlp", "MLP L(8D² + 5D)", "key"],
  ["norms", "layer norms L·4D + 2D", "neutral"],
];

/** Parameters of each part of a GPT with tied embeddings, biases and an MLP four times as wide. */
export function count({ layers: L, width: D, vocabulary: V, context: T }) {
  const parts = {
    token: V * D,
    position: T * D,
    attention: L * (4 * D * D + 4 * D),
    mlp: L * (8 * D * D + 5 * D),
    norms: L * 4 * D + 2 * D,
  };
  return { ...parts, total: Object.values(parts).reduce((a, b) => a + b, 0) };
}

/** Everything that the figure shows, from its state. */
export function numbers(state) {
  const parts = count(state);
  return {
    ...parts,
    head_width: state.width / state.heads,
    gigabytes_32: (4 * parts.total) / 1e9,
    gigabytes_16: (2 * parts.total) / 1e9,
  };
}

/** A count as a reader says it: 124 million, 175 billion. */
export function spoken(x) {
  if (x >= 1e9) return `${number(x / 1e9)} billion`;
  if (x >= 1e6) return `${number(x / 1e6)} million`;
  return `${number(x)}`;
}

const grouped = (x) => x.toLocaleString("en-US");
const read = (model) => Object.fromEntries([...SIZES, "preset", "models"].map((name) => [name, model.get(name)]));
const fits = (entry, state) => SIZES.every((name) => entry[name] === state[name]);

function words(state, found) {
  const entry = state.models.find((one) => fits(one, state));
  const name = entry ? `${entry.name} has` : "This model has";
  const share = number((100 * (found.attention + found.mlp)) / found.total);
  const heads = Number.isInteger(found.head_width)
    ? ""
    : ` A width of ${state.width} does not divide into ${state.heads} heads: this one cannot be built.`;
  return `${name} ${grouped(found.total)} parameters, ${share} % of them in its blocks; in 16 bits they take `
    + `${number(found.gigabytes_16)} GB.${heads}`;
}

function bar() {
  const picture = drawing({ width: 420, height: 46, label: "" });
  const set = (found) => {
    let left = 4;
    picture.redraw(
      PARTS.map(([name, , role]) => {
        const width = (412 * found[name]) / found.total;
        const part = s("rect", { x: left, y: 8, width, height: 30, fill: color(role) });
        left += width;
        return part;
      }),
    );
    picture.describe(
      `Shares of the parameters: ${PARTS.map(([name, label]) => `${label} ${number((100 * found[name]) / found.total)} %`).join(", ")}.`,
    );
  };
  return { element: picture.element, set };
}

function ruler() {
  const picture = drawing({ width: 420, height: 96, label: "" });
  const x = scale([1e5, 1e12], [16, 404], { log: true });
  const mark = (value, label, top, role) => [
    s("line", { x1: x(value), y1: top, x2: x(value), y2: 62, stroke: color(role), "stroke-width": 1 }),
    text(x(value), top - 3, label, { anchor: "middle", role, size: 11 }),
  ];
  const set = (state, found) => {
    const chosen = state.models.filter((one) => one.mark);
    const at = Math.min(1e12, Math.max(1e5, found.total));
    picture.redraw(
      s("line", { x1: 16, y1: 62, x2: 404, y2: 62, stroke: color("muted") }),
      [5, 6, 7, 8, 9, 10, 11, 12].map((power) => [
        s("line", { x1: x(10 ** power), y1: 62, x2: x(10 ** power), y2: 66, stroke: color("muted") }),
        power % 3 ? null : text(x(10 ** power), 80, { 6: "1 million", 9: "1 billion", 12: "10¹²" }[power], {
          anchor: power === 12 ? "end" : "middle", role: "muted", size: 11,
        }),
      ]),
      chosen.map((one, i) => mark(count(one).total, one.name, i % 2 ? 34 : 18, "muted")),
      s("circle", { cx: x(at), cy: 62, r: 7, fill: color("query") }),
    );
    picture.describe(
      `On a logarithmic ruler the model stands at ${spoken(found.total)} parameters, among `
      + `${chosen.map((one) => `${one.name} with ${spoken(count(one).total)}`).join(", ")}.`,
    );
  };
  return { element: picture.element, set };
}

function follow(model) {
  let applying = false;
  model.on("change:preset", () => {
    const entry = model.get("models").find((one) => one.name === model.get("preset"));
    if (!entry) return;
    applying = true;
    for (const name of SIZES) model.set(name, entry[name]);
    applying = false;
    model.save_changes();
  });
  const leave = () => {
    const state = read(model);
    const entry = state.models.find((one) => one.name === state.preset);
    if (applying || !entry || fits(entry, state)) return;
    model.set("preset", "");
    model.save_changes();
  };
  for (const name of SIZES) model.on(`change:${name}`, leave);
}

function render({ model, el }) {
  follow(model);
  const names = model.get("models").map((one) => [one.name, one.name]);
  const preset = select({ model, trait: "preset", label: "Sizes of", options: [["", "your own choice"], ...names] });
  const size = (trait, label, min, max, step) => slider({ model, trait, label, min, max, step, format: grouped });
  const controls = [
    preset,
    size("layers", "Layers L", 1, 120, 1),
    size("width", "Width D", 64, 12800, 64),
    size("heads", "Heads H", 1, 128, 1),
    size("vocabulary", "Vocabulary V", 257, 100257, 1000),
    size("context", "Context T", 128, 4096, 128),
  ];
  const shares = bar();
  const line = ruler();
  const items = readouts(PARTS.map(([name, label, role]) => ({ name, label, role, format: grouped })));
  const sums = readouts([
    { name: "total", label: "all parameters", format: grouped },
    { name: "gigabytes_32", label: "GB in 32 bits" },
    { name: "gigabytes_16", label: "GB in 16 bits" },
    { name: "head_width", label: "head width D / H" },
  ]);
  const said = sentence();
  const update = () => {
    const state = read(model);
    const found = numbers(state);
    const { token, position, attention, mlp, norms } = found;
    items.set({ token, position, attention, mlp, norms });
    sums.set({
      total: found.total, gigabytes_32: found.gigabytes_32, gigabytes_16: found.gigabytes_16,
      head_width: found.head_width,
    });
    shares.set(found);
    line.set(state, found);
    said.say(words(state, found));
  };
  const hint = "Move the heads: nothing changes but the head width. Double the width: the blocks grow fourfold.";
  frame({
    el, model, title: "Where the parameters of a GPT sit", controls,
    body: [h("p", { class: "icl-hint", text: hint }), shares, items, line, sums, said],
    update,
  });
}

export default { render };
