// A trained transformer reads (x, y) pairs in its prompt; its guess beside that of ridge, least squares, gradient descent.
import { h, s, axes, button, color, drawing, frame, number, path, readouts, scale, select, sentence, setter, slider, text } from "./kit.js";

const WIDE = 2.5;
const HIGH = 5;
const CURVE = Array.from({ length: 51 }, (_, i) => (i - 25) / 10);

/** The tensors of the network by name, from base64 of little-endian 32-bit floats. */
export function unpack({ layout, data }) {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const tensors = {};
  let at = 0;
  for (const [name, shape] of layout) {
    const size = shape.reduce((a, b) => a * b, 1);
    tensors[name] = Float64Array.from({ length: size }, (_, i) => view.getFloat32(4 * (at + i), true));
    at += size;
  }
  return { tensors, bytes };
}

/** CRC-32 of bytes: one number that changes if any bit does. */
export function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return (crc ^ 0xffffffff) >>> 0;
}

const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const add = (a, b) => a.map((value, i) => value + b[i]);

function linear(tensors, name, x) {
  const weight = tensors[`${name}.weight`];
  return Array.from(tensors[`${name}.bias`], (bias, row) => {
    let sum = bias;
    const start = row * x.length;
    for (let i = 0; i < x.length; i += 1) sum += weight[start + i] * x[i];
    return sum;
  });
}

function normalize(tensors, name, x) {
  const mean = x.reduce((a, b) => a + b, 0) / x.length;
  const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
  const root = Math.sqrt(variance + 1e-5);
  return x.map((value, i) => ((value - mean) / root) * tensors[`${name}.weight`][i] + tensors[`${name}.bias`][i]);
}

const gelu = (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

/** A transformer that reads token after token; `read(token, keep)` returns what it says there. */
export function reader({ layers, heads, width }, tensors) {
  const memory = Array.from({ length: layers }, () => []);
  const size = width / heads;
  const attend = (layer, x, keep) => {
    const [q, k, v] = ["query", "key", "value"].map((part) => linear(tensors, `${layer}.${part}`, x));
    const seen = [...memory[layer], { k, v }];
    if (keep) memory[layer] = seen;
    const mixed = [];
    for (let a = 0; a < width; a += size) {
      const part = q.slice(a, a + size);
      const scores = seen.map((token) => dot(part, token.k.slice(a, a + size)) / Math.sqrt(size));
      const top = Math.max(...scores);
      const grown = scores.map((score) => Math.exp(score - top));
      const total = grown.reduce((x0, x1) => x0 + x1, 0);
      for (let i = a; i < a + size; i += 1) {
        mixed.push(seen.reduce((sum, token, j) => sum + grown[j] * token.v[i], 0) / total);
      }
    }
    return linear(tensors, `${layer}.out`, mixed);
  };
  return (token, keep = true) => {
    const place = memory[0].length;
    const position = Array.from({ length: width }, (_, i) => tensors["positions"][place * width + i]);
    let x = add(linear(tensors, "read_in", token), position);
    for (let layer = 0; layer < layers; layer += 1) {
      x = add(x, attend(layer, normalize(tensors, `${layer}.norm_attention`, x), keep));
      const hidden = linear(tensors, `${layer}.up`, normalize(tensors, `${layer}.norm_mlp`, x)).map(gelu);
      x = add(x, linear(tensors, `${layer}.down`, hidden));
    }
    return linear(tensors, "read_out", normalize(tensors, "norm", x))[0];
  };
}

/** What the network says at each x after the pairs: f(x) with the prompt kept. */
export function networkFunction(network, tensors, pairs) {
  const read = reader(network, tensors);
  for (const [x, y] of pairs) {
    read([x, 1, 0]);
    read([0, 0, y]);
  }
  return (x) => read([x, 1, 0], false);
}

function sums(pairs) {
  const total = { n: pairs.length, xx: 0, x: 0, xy: 0, y: 0 };
  for (const [x, y] of pairs) {
    total.xx += x * x; total.x += x; total.xy += x * y; total.y += y;
  }
  return total;
}

/** Slope and intercept of ridge regression. */
export function ridge(pairs, penalty) {
  const { n, xx, x, xy, y } = sums(pairs);
  const [a, d] = [xx + penalty, n + penalty];
  const det = a * d - x * x;
  return [(d * xy - x * y) / det, (a * y - x * xy) / det];
}

/** Slope and intercept of least squares; of all lines that fit equally well, the one nearest to 0. */
export function leastSquares(pairs) {
  const { n, xx, x, xy, y } = sums(pairs);
  if (n === 0) return [0, 0];
  if (xx * n - x * x <= 1e-12 * (xx + n) ** 2) return [xy / (xx + n), y / (xx + n)];
  return ridge(pairs, 0);
}

/** Slope and intercept after some steps of gradient descent from (0, 0). */
export function gradientDescent(pairs, steps, stepSize) {
  const { n, xx, x, xy, y } = sums(pairs);
  let [slope, shift] = [0, 0];
  for (let i = 0; i < steps && n > 0; i += 1) {
    const a = (xx * slope + x * shift - xy) / n;
    const b = (x * slope + n * shift - y) / n;
    slope -= stepSize * a;
    shift -= stepSize * b;
  }
  return [slope, shift];
}

function rule(state, pairs) {
  if (state.rule === "ridge") return ridge(pairs, state.penalty);
  if (state.rule === "least squares") return leastSquares(pairs);
  return gradientDescent(pairs, state.steps, state.step_size);
}

/** All readers at once: every step of gradient descent, least squares, ridge. */
function everyReader(state, pairs) {
  const walk = Array.from({ length: state.steps + 1 }, (_, i) => gradientDescent(pairs, i, state.step_size));
  const [squares, best] = [leastSquares(pairs), ridge(pairs, state.penalty)];
  const at = ([slope, shift]) => slope * state.question + shift;
  return { walk, squaresLine: squares, descent: at(walk[state.steps]), squares: at(squares), ridge: at(best) };
}

/** Everything that the figure shows, from its state. */
export function numbers(state, { tensors, bytes }) {
  const pairs = state.pairs.slice(0, state.shown);
  const says = networkFunction(state.network, tensors, pairs);
  if (state.together) {
    return {
      curve: CURVE.map((x) => [x, says(x)]), network: says(state.question), checksum: crc32(bytes),
      ...everyReader(state, pairs),
    };
  }
  const line = rule(state, pairs);
  const network = says(state.question);
  const other = line[0] * state.question + line[1];
  return {
    curve: CURVE.map((x) => [x, says(x)]), line, network, rule: other, gap: Math.abs(network - other),
    checksum: crc32(bytes),
  };
}

const NAMES = ["network", "pairs", "shown", "question", "rule", "steps", "step_size", "penalty", "together"];
const read = (model) => Object.fromEntries(NAMES.map((name) => [name, model.get(name)]));
const hex = (x) => x.toString(16).padStart(8, "0");
const clamp = (x, most) => Math.max(-most, Math.min(most, Number(x.toFixed(2))));

function words(state, found) {
  const after = state.shown === 0 ? "Without a demonstration" : `After ${state.shown} demonstration${state.shown === 1 ? "" : "s"}`;
  const taken = `${state.steps} step${state.steps === 1 ? "" : "s"} of gradient descent`;
  if (state.together) {
    return `${after} the network guesses ${number(found.network)} at x = ${number(state.question)}; ${taken} `
      + `say${state.steps === 1 ? "s" : ""} ${number(found.descent)}, least squares ${number(found.squares)}, ridge ${number(found.ridge)}.`;
  }
  const name = state.rule === "gradient descent" ? taken : state.rule;
  return `${after} the network guesses ${number(found.network)} at x = ${number(state.question)}; ${name} `
    + `on the same demonstrations gives ${number(found.rule)}. The checksum of its weights is still ${hex(found.checksum)}.`;
}

function handles(model, x, y, [width, height]) {
  const moved = (i, [dx, dy]) => {
    const pairs = model.get("pairs").map((pair) => [...pair]);
    pairs[i] = [clamp(dx, WIDE), clamp(dy, HIGH)];
    model.set("pairs", pairs);
    model.save_changes();
  };
  const make = (_, i) => {
    const node = h("button", {
      type: "button", "aria-label": `Demonstration ${i + 1}: drag, or use the arrow keys`,
      style: "position:absolute;width:44px;height:44px;margin:-22px 0 0 -22px;padding:0;border:0;background:transparent;cursor:grab;touch-action:none;display:grid;place-items:center",
    }, h("span", { style: `width:14px;height:14px;border-radius:50%;background:${color("gold")};border:2px solid ${color("background")}` }));
    node.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
      if (!step) return;
      event.preventDefault();
      moved(i, add(model.get("pairs")[i], step));
    });
    node.addEventListener("pointerdown", (event) => node.setPointerCapture(event.pointerId));
    node.addEventListener("pointermove", (event) => {
      if (!node.hasPointerCapture(event.pointerId)) return;
      const ground = node.parentElement.getBoundingClientRect();
      const to = [((event.clientX - ground.left) / ground.width) * width, ((event.clientY - ground.top) / ground.height) * height];
      moved(i, [x.invert(to[0]), y.invert(to[1])]);
    });
    return node;
  };
  const all = model.get("pairs").map(make);
  const ground = h("div", { style: "position:absolute;inset:0" });
  const set = (state) => {
    if (ground.childElementCount !== state.shown) ground.replaceChildren(...all.slice(0, state.shown));
    state.pairs.slice(0, state.shown).forEach(([px, py], i) => {
      all[i].style.left = `${(100 * x(px)) / width}%`;
      all[i].style.top = `${(100 * y(py)) / height}%`;
    });
  };
  return { element: ground, set };
}

function plane(model) {
  const [width, height] = [420, 330];
  const box = [46, 26, 392, 282];
  const picture = drawing({ width, height, label: "" });
  picture.element.style.margin = "0";
  const x = scale([-WIDE, WIDE], [box[0], box[2]]);
  const y = scale([-HIGH, HIGH], [box[3], box[1]]);
  const points = handles(model, x, y, [width, height]);
  const inside = ([, value]) => Math.abs(value) <= HIGH;
  const place = (list) => path(list.map(([a, b]) => [x(a), y(b)]));
  const straight = ([slope, shift]) => CURVE.map((t) => [t, slope * t + shift]).filter(inside);
  const stroke = (line, role, options) => s("path", { d: place(straight(line)), fill: "none", stroke: color(role), ...options });
  const rules = (state, found) => (state.together ? [
    ...found.walk.map((line, i) => stroke(line, "key", i === state.steps
      ? { "stroke-width": 2.5, "stroke-dasharray": "2 4" } : { "stroke-width": 1, opacity: 0.55 })),
    stroke(found.squaresLine, "gold", { "stroke-width": 2.5, "stroke-dasharray": "9 5" }),
  ] : [stroke(found.line, "neutral", { "stroke-width": 2, "stroke-dasharray": "7 5" })]);
  const set = (state, found) => {
    picture.redraw(
      axes({ x, y, box, xTicks: [-2, -1, 0, 1, 2], yTicks: [-4, -2, 0, 2, 4], xLabel: "x", yLabel: "y" }),
      s("line", { x1: x(state.question), x2: x(state.question), y1: box[1], y2: box[3], stroke: color("query"), "stroke-dasharray": "4 4" }),
      text(x(state.question), box[1] - 4, "?", { anchor: "middle", role: "query", size: 16, weight: 700 }),
      ...rules(state, found),
      s("path", { d: place(found.curve.filter(inside)), fill: "none", stroke: color("predicted"), "stroke-width": 3 }),
      inside([0, found.network]) && s("circle", { cx: x(state.question), cy: y(found.network), r: 6, fill: color("predicted") }),
    );
    const dashed = state.together
      ? "the thin lines are the steps of gradient descent, the dotted one the last; least squares is dashed"
      : `the dashed line is ${state.rule}`;
    picture.describe(`${words(state, found)} The solid curve is the network, ${dashed}.`);
    points.set(state);
  };
  const element = h("div", { style: "position:relative" }, [picture.element, points.element]);
  return { element, set };
}

function render({ model, el }) {
  const unpacked = unpack(model.get("network"));
  const most = model.get("pairs").length;
  const shown = slider({ model, trait: "shown", label: "Demonstrations in the prompt", min: 0, max: most, step: 1 });
  const question = slider({ model, trait: "question", label: "Question x", min: -WIDE, max: WIDE, step: 0.1 });
  const rules = select({
    model, trait: "rule", label: "Compare with",
    options: [["ridge", "ridge regression: the best possible here"], ["least squares", "least squares"], ["gradient descent", "gradient descent"]],
  });
  const steps = slider({ model, trait: "steps", label: "Steps of gradient descent", min: 0, max: 50, step: 1 });
  const rotate = setter({
    model, label: "Swap the answers", values: () => {
      const [pairs, n] = [model.get("pairs"), model.get("shown")];
      return { pairs: pairs.map(([a, b], i) => [a, i < n ? pairs[(i + 1) % n][1] : b]) };
    },
  });
  const start = model.get("pairs");
  const reset = button({ label: "Back to the start", onClick: () => { model.set("pairs", start); model.save_changes(); } });
  const picture = plane(model);
  const together = model.get("together");
  const keyNumbers = readouts([
    { name: "network", label: "the network's guess", role: "predicted" },
    ...(together ? [
      { name: "descent", label: "gradient descent, last step", role: "key" },
      { name: "squares", label: "least squares", role: "gold" },
      { name: "ridge", label: "ridge: the best possible here" },
    ] : [
      { name: "rule", label: "the dashed rule's guess" },
      { name: "gap", label: "gap between them", role: "error" },
    ]),
    { name: "checksum", label: "checksum of the weights", format: hex },
  ]);
  const shownNumbers = together ? ["network", "descent", "squares", "ridge", "checksum"] : ["network", "rule", "gap", "checksum"];
  const hint = together
    ? "Solid: the network. Dashed: least squares. Thin: the steps of gradient descent, dotted the last."
    : "Solid: the network. Dashed: the rule you compare with.";
  const said = sentence();
  const update = () => {
    const state = read(model);
    const found = numbers(state, unpacked);
    picture.set(state, found);
    keyNumbers.set(Object.fromEntries(shownNumbers.map((name) => [name, found[name]])));
    said.say(words(state, found));
  };
  frame({
    el, model, title: together ? "Readers of the same examples" : "A network that reads examples",
    controls: together ? [shown, question, steps] : [shown, question, rules, steps],
    body: [
      h("div", { class: "icl-pair" }, [
        h("div", {}, [picture.element, h("p", { class: "icl-hint", text: `Drag a point, or focus it and use the arrow keys. ${hint}` })]),
        h("div", {}, [keyNumbers.element, h("div", { class: "icl-buttons" }, [rotate.element, reset.element])]),
      ]),
      said,
    ],
    update,
  });
}

export default { render };
