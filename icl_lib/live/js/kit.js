// Controls, drawing helpers and key numbers that all live figures share.
// The bundler puts this file in front of each figure; a figure imports from "./kit.js" and nothing else.

const SVG = "http://www.w3.org/2000/svg";
let serial = 0;
const page = Math.random().toString(36).slice(2, 8);

/** A new element id that no other figure on the page uses. */
export function uid() {
  serial += 1;
  return `icl-${page}-${serial}`;
}

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "text") node.textContent = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...[children ?? []].flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** An HTML element: h("p", {class: "note", onclick: f, text: "…"}, [children]). */
export function h(tag, attributes, children) {
  return build(document.createElement(tag), attributes, children);
}

/** An SVG element, same arguments as h. */
export function s(tag, attributes, children) {
  return build(document.createElementNS(SVG, tag), attributes, children);
}

/** The CSS colour of a palette role; it follows the theme by itself. */
export function color(role) {
  return `var(--icl-${role})`;
}

/** True where the reader asked for less motion. */
export function reducedMotion() {
  return globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches ?? false;
}

/** A number for reading: significant digits, a true minus sign, words for what is no number. */
export function number(x, digits = 3) {
  if (Number.isNaN(x)) return "undefined";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  const size = Math.abs(x);
  let text;
  if (Number.isInteger(x) && size < 1e6) text = String(x);
  else if (size !== 0 && (size < 1e-3 || size >= 1e6)) text = Number(x.toPrecision(digits)).toExponential();
  else text = String(Number(x.toPrecision(digits)));
  return text.replace(/-/g, "−").replace("e+", "e");
}

/** A linear map from domain to range; `log: true` maps the logarithm. */
export function scale([a, b], [c, d], { log = false } = {}) {
  const f = log ? Math.log : (x) => x;
  const map = (x) => c + ((f(x) - f(a)) / (f(b) - f(a))) * (d - c);
  map.invert = (y) => {
    const t = f(a) + ((y - c) / (d - c)) * (f(b) - f(a));
    return log ? Math.exp(t) : t;
  };
  return map;
}

/** About `count` round values between a and b. */
export function ticks(a, b, count = 5) {
  const rough = (b - a) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(a / step - 1e-9); i * step <= b + 1e-9 * step; i += 1) {
    found.push(Number((i * step).toPrecision(12)));
  }
  return found;
}

/** The drawing surface: an SVG that scales with the page and tells its message to screen readers. */
export function drawing({ width, height, label }) {
  const svg = s("svg", {
    viewBox: `0 0 ${width} ${height}`, class: "icl-drawing", role: "img", "aria-label": label,
  });
  return {
    element: svg,
    describe: (text) => svg.setAttribute("aria-label", text),
    redraw: (...children) => svg.replaceChildren(...children.flat(3).filter(Boolean)),
  };
}

/** Axes of a plot: frame lines, ticks and labels, as a list of SVG nodes. */
export function axes({ x, y, box, xTicks, yTicks, xLabel, yLabel, format = number }) {
  const [left, top, right, bottom] = box;
  const line = (x1, y1, x2, y2, role) =>
    s("line", { x1, y1, x2, y2, stroke: color(role), "stroke-width": 1 });
  return [
    ...yTicks.flatMap((v) => [
      line(left, y(v), right, y(v), "grid"),
      text(left - 6, y(v) + 4, format(v), { anchor: "end", role: "muted" }),
    ]),
    ...xTicks.flatMap((v) => [
      line(x(v), bottom, x(v), bottom + 4, "muted"),
      text(x(v), bottom + 17, format(v), { anchor: "middle", role: "muted" }),
    ]),
    line(left, bottom, right, bottom, "muted"),
    xLabel && text((left + right) / 2, bottom + 34, xLabel, { anchor: "middle" }),
    yLabel && text(left, top - 8, yLabel),
  ].filter(Boolean);
}

/** SVG text in a palette role; with `halo` it stays readable where a line runs through it. */
export function text(x, y, content, { anchor = "start", role = "text", size = 13, weight, halo = false } = {}) {
  const around = halo && { "paint-order": "stroke", stroke: color("background"), "stroke-width": 4, "stroke-linejoin": "round" };
  return s("text", {
    x, y, "text-anchor": anchor, fill: color(role), "font-size": size, "font-weight": weight, ...around,
    text: content,
  });
}

/** The path "M … L …" through points [[x, y], …]; points that are no numbers are left out. */
export function path(points) {
  return points
    .filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y))
    .map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`)
    .join("");
}

function write(model, trait, value) {
  model.set(trait, value);
  model.save_changes();
}

/**
 * A labelled range slider bound to one trait.
 * `log: true` spaces the values evenly in their logarithm. `setMarks([{value, label}])` puts marks
 * with words under the track, `relabel()` re-reads the trait.
 */
export function slider({ model, trait, label, min, max, step, log = false, format = number }) {
  const id = uid();
  const steps = log ? Math.round(step) : Math.round((max - min) / step);
  const toValue = (position) => {
    if (log) return min * (max / min) ** (position / steps);
    return Number((min + position * step).toPrecision(12));
  };
  const toPosition = (value) =>
    log ? (Math.log(value / min) / Math.log(max / min)) * steps : (value - min) / step;
  const input = h("input", { type: "range", id, min: 0, max: steps, step: 1 });
  const shown = h("output", { for: id, class: "icl-slider-value", "aria-live": "off" });
  const marks = h("div", { class: "icl-marks" });
  const show = () => {
    const value = model.get(trait);
    const position = Math.round(toPosition(value));
    if (Number(input.value) !== position) input.value = position;
    shown.textContent = format(value);
    input.setAttribute("aria-valuetext", format(value));
  };
  input.addEventListener("input", () => write(model, trait, toValue(Number(input.value))));
  model.on(`change:${trait}`, show);
  show();
  const setMarks = (list) => {
    const inside = list.filter(({ value }) => value >= min && value <= max);
    marks.replaceChildren(
      ...inside.map(({ value, label: words, role = "error" }) => {
        const f = toPosition(value) / steps;
        const side = f > 0.6 ? "end" : f < 0.4 ? "start" : "middle";
        return h("span", {
          class: `icl-mark icl-mark-${side}`,
          style: `left:calc(10px + (100% - 20px) * ${f.toFixed(4)});color:${color(role)}`,
          text: words,
        });
      }),
    );
  };
  const element = h("div", { class: "icl-control" }, [
    h("div", { class: "icl-control-head" }, [h("label", { for: id, text: label }), shown]),
    input,
    marks,
  ]);
  return { element, input, setMarks, relabel: show };
}

/** A labelled choice bound to one trait; `options` is a list of [value, words]. */
export function select({ model, trait, label, options }) {
  const id = uid();
  const node = h("select", { id }, options.map(([, words]) => h("option", { text: words })));
  const show = () => {
    node.selectedIndex = options.findIndex(([value]) => value === model.get(trait));
  };
  node.addEventListener("change", () => write(model, trait, options[node.selectedIndex][0]));
  model.on(`change:${trait}`, show);
  show();
  return { element: h("div", { class: "icl-control" }, [h("label", { for: id, text: label }), node]), input: node };
}

/** A labelled checkbox bound to one boolean trait. */
export function toggle({ model, trait, label }) {
  const id = uid();
  const input = h("input", { type: "checkbox", id });
  const show = () => { input.checked = model.get(trait); };
  input.addEventListener("change", () => write(model, trait, input.checked));
  model.on(`change:${trait}`, show);
  show();
  const element = h("div", { class: "icl-control icl-toggle" }, [input, h("label", { for: id, text: label })]);
  return { element, input };
}

/** A button. */
export function button({ label, onClick }) {
  const element = h("button", { type: "button", class: "icl-button", text: label });
  element.addEventListener("click", onClick);
  return { element, relabel: (words) => { element.textContent = words; } };
}

/** A button that sets traits: button label and the values to write. */
export function setter({ model, label, values }) {
  return button({
    label,
    onClick: () => {
      for (const [trait, value] of Object.entries(values())) model.set(trait, value);
      model.save_changes();
    },
  });
}

/**
 * A key number: label and <output data-value="name" data-exact="full precision">.
 * A list is kept as JSON in data-exact; `format` makes the words that a reader sees.
 */
export function readout({ name, label, format = number, role }) {
  const value = h("output", { "data-value": name, "aria-live": "off" });
  if (role) value.style.color = color(role);
  const element = h("div", { class: "icl-readout" }, [h("span", { text: label }), value]);
  return {
    element,
    set: (x) => {
      value.setAttribute("data-exact", Array.isArray(x) ? JSON.stringify(x) : String(x));
      value.textContent = format(x);
    },
  };
}

/** A row of key numbers: readouts([{name, label, …}]) with one `set({name: value})`. */
export function readouts(list) {
  const made = new Map(list.map((options) => [options.name, readout(options)]));
  return {
    element: h("div", { class: "icl-readouts" }, [...made.values()].map((r) => r.element)),
    set: (values) => {
      for (const [name, value] of Object.entries(values)) made.get(name).set(value);
    },
  };
}

/** The sentence that says what the figure shows now; read out after a change, not during a drag. */
export function sentence() {
  const shown = h("p", { class: "icl-sentence" });
  const spoken = h("p", { class: "icl-hidden", role: "status" });
  let timer;
  return {
    element: h("div", {}, [shown, spoken]),
    say: (words) => {
      if (shown.textContent === words) return;
      const first = shown.textContent === "";
      shown.textContent = words;
      clearTimeout(timer);
      if (!first) timer = setTimeout(() => { spoken.textContent = words; }, 600);
    },
  };
}

/**
 * Play, step and restart for a trait that counts from 0 to last().
 * With reduced motion "Play" goes to the end at once: nothing moves by itself.
 */
export function player({ model, trait, last, noun = "step", interval = 120, signal }) {
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.relabel("Play");
  };
  const go = (value) => write(model, trait, Math.max(0, Math.min(last(), value)));
  const tick = () => {
    if (model.get(trait) >= last()) stop();
    else go(model.get(trait) + 1);
  };
  const play = button({
    label: "Play",
    onClick: () => {
      if (timer !== null) return stop();
      if (reducedMotion()) return go(last());
      if (model.get(trait) >= last()) go(0);
      play.relabel("Pause");
      timer = setInterval(tick, interval);
    },
  });
  const forward = button({ label: `One ${noun}`, onClick: () => { stop(); go(model.get(trait) + 1); } });
  const restart = button({ label: "Restart", onClick: () => { stop(); go(0); } });
  signal?.addEventListener("abort", stop);
  return {
    element: h("div", { class: "icl-buttons", role: "group", "aria-label": "Playback" }, [
      play.element, forward.element, restart.element,
    ]),
    stop,
  };
}

/**
 * The frame of a figure: title, controls, drawing, key numbers, sentence.
 * `update` is called once now and again whenever any trait changes.
 */
export function frame({ el, model, title, controls = [], body = [], update }) {
  const id = uid();
  // JupyterLab takes arrow keys and Enter for itself unless the focused element says not to
  el.addEventListener("focusin", ({ target }) => target.setAttribute("data-lm-suppress-shortcuts", ""));
  el.append(
    h("section", { class: "icl-live", "aria-labelledby": id }, [
      h("p", { class: "icl-title", id, text: title }),
      h("div", { class: "icl-controls" }, controls.map((c) => c.element ?? c)),
      ...body.map((b) => b.element ?? b),
    ]),
  );
  model.on("change", update);
  update();
}
