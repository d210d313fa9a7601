// The best policy on a leash: π* ∝ π_ref exp(r / β), and two mean rewards against KL(π* ‖ π_ref).
import { h, s, axes, color, drawing, frame, number, path, readouts, scale, sentence, slider, text, ticks, toggle } from "./kit.js";

const LOWEST = 0.02;
const HIGHEST = 20;
const PLACES = 120;

/** π_ref exp(r / β) / Z. */
export function optimum(reference, rewards, beta) {
  const scores = reference.map((q, i) => Math.log(q) + rewards[i] / beta);
  const top = Math.max(...scores);
  const grown = scores.map((x) => Math.exp(x - top));
  const total = grown.reduce((a, b) => a + b, 0);
  return { policy: grown.map((g) => g / total), logZ: top + Math.log(total) };
}

/** Σ p log (p / q). */
export function divergence(p, q) {
  return p.reduce((sum, a, i) => (a > 0 ? sum + a * Math.log(a / q[i]) : sum), 0);
}

const mean = (p, r) => p.reduce((sum, a, i) => sum + a * r[i], 0);

/** Everything that the figure shows, from its state. */
export function numbers(state, beta = state.beta) {
  const rewards = state.use_true ? state.true : state.proxy;
  const { policy, logZ } = optimum(state.reference, rewards, beta);
  return {
    policy,
    kl: divergence(policy, state.reference),
    proxy: mean(policy, state.proxy),
    true: mean(policy, state.true),
    objective: beta * logZ,
  };
}

/** The curve over all β, from a tight leash to a loose one. */
export function course(state) {
  return Array.from({ length: PLACES + 1 }, (_, i) => {
    const beta = HIGHEST * (LOWEST / HIGHEST) ** (i / PLACES);
    return { beta, ...numbers(state, beta) };
  });
}

const TRAITS = ["answers", "reference", "proxy", "true", "beta", "use_true"];
const read = (model) => Object.fromEntries(TRAITS.map((name) => [name, model.get(name)]));
const peak = (curve) => curve.reduce((best, at) => (at.true > best.true + 1e-12 ? at : best), curve[0]);

function words(state, found, best) {
  const start = `At β = ${number(state.beta)} the best policy is ${number(found.kl)} nats away from the reference. `
    + `Proxy reward ${number(found.proxy)}, true reward ${number(found.true)}.`;
  if (state.use_true) return `${start} The true reward itself is maximised: a looser leash can only raise it.`;
  if (found.true < best.true - 0.01 * (Math.abs(best.true) + 1) && state.beta < best.beta) {
    return `${start} The leash is too loose: the true reward was higher at β = ${number(best.beta)}.`;
  }
  return start;
}

function bars(model) {
  const rows = model.get("answers").map((answer, i) => {
    const bar = h("div", { style: `height:0.9rem;background:${color("query")}` });
    const mark = h("div", { style: `position:absolute;top:-0.2rem;bottom:-0.2rem;width:3px;background:${color("text")}` });
    const track = h("div", { style: `position:relative;flex:1;border-left:1px solid ${color("muted")}` }, [bar, mark]);
    const value = h("output", { "data-value": `policy_${i}`, "aria-live": "off", "aria-label": `probability of answer ${i + 1}`, style: "width:3.5rem;text-align:right" });
    const worth = h("span", { class: "icl-hint", text: `proxy ${number(model.get("proxy")[i])}, true ${number(model.get("true")[i])}` });
    const row = h("li", { style: "margin:0.5rem 0;list-style:none" }, [
      h("div", {}, [h("span", { text: `${answer} ` }), worth]),
      h("div", { style: "display:flex;align-items:center;gap:0.5rem" }, [track, value]),
    ]);
    return { bar, mark, value, row };
  });
  const set = (state, found) => rows.forEach(({ bar, mark, value }, i) => {
    bar.style.width = `${100 * found.policy[i]}%`;
    mark.style.left = `calc(${100 * state.reference[i]}% - 1px)`;
    value.setAttribute("data-exact", String(found.policy[i]));
    value.textContent = found.policy[i].toFixed(3);
  });
  const hint = h("p", { class: "icl-hint", text: "Bars: probability under the best policy π*. Upright marks: under the reference." });
  const list = h("ol", { style: "padding:0;margin:0", "aria-label": "Answers" }, rows.map((r) => r.row));
  return { element: h("div", {}, [hint, list]), set };
}

function plot() {
  const box = [46, 26, 404, 226];
  const picture = drawing({ width: 420, height: 312, label: "" });
  const set = (state, found, curve) => {
    const all = curve.flatMap((at) => [at.proxy, at.true]);
    const [low, high] = [Math.min(...all), Math.max(...all)];
    const pad = 0.08 * (high - low || 1);
    const far = Math.max(0.1, curve.at(-1).kl);
    const x = scale([0, 1.03 * far], [box[0], box[2]]);
    const y = scale([low - pad, high + pad], [box[3], box[1]]);
    const line = (name, role, dash) => s("path", {
      d: path(curve.map((at) => [x(at.kl), y(at[name])])), fill: "none", stroke: color(role), "stroke-width": 2.5, "stroke-dasharray": dash,
    });
    picture.redraw(
      axes({
        x, y, box, xTicks: ticks(0, far, 5), yTicks: ticks(low - pad, high + pad, 5),
        xLabel: "KL(π* ‖ reference), nats", yLabel: "mean reward",
      }),
      line("proxy", "predicted", "6 4"), line("true", "gold"),
      s("circle", { cx: x(found.kl), cy: y(found.proxy), r: 6, fill: color("predicted") }),
      s("rect", { x: x(found.kl) - 6, y: y(found.true) - 6, width: 12, height: 12, fill: color("gold") }),
      s("circle", { cx: 56, cy: 282, r: 6, fill: color("predicted") }), text(70, 287, "proxy, what the reward model says"),
      s("rect", { x: 50, y: 295, width: 12, height: 12, fill: color("gold") }), text(70, 306, "true, what it is worth"),
    );
    picture.describe(
      `Mean rewards against KL as the leash gets looser: the proxy goes from ${number(curve[0].proxy)} to ${number(curve.at(-1).proxy)}, `
      + `the true reward from ${number(curve[0].true)} to ${number(curve.at(-1).true)}.`,
    );
  };
  return { element: picture.element, set };
}

function render({ model, el }) {
  const leash = slider({ model, trait: "beta", label: "Leash β", min: LOWEST, max: HIGHEST, step: PLACES, log: true });
  const which = toggle({ model, trait: "use_true", label: "Maximise the true reward" });
  const rows = bars(model);
  const curve = plot();
  const keyNumbers = readouts([
    { name: "kl", label: "KL, nats" },
    { name: "proxy", label: "proxy reward", role: "predicted" },
    { name: "true", label: "true reward", role: "gold" },
    { name: "objective", label: "E[r] − β KL" },
  ]);
  const said = sentence();
  const update = () => {
    const state = read(model);
    const found = numbers(state);
    const all = course(state);
    const best = peak(all);
    leash.setMarks(state.use_true ? [] : [{ value: best.beta, label: `true reward highest at ${number(best.beta)}`, role: "gold" }]);
    rows.set(state, found);
    curve.set(state, found, all);
    keyNumbers.set({ kl: found.kl, proxy: found.proxy, true: found.true, objective: found.objective });
    said.say(words(state, found, best));
  };
  frame({
    el, model, title: "The best policy on a leash", controls: [leash, which],
    body: [h("div", { class: "icl-pair" }, [rows.element, h("div", {}, [curve.element])]), keyNumbers, said],
    update,
  });
}

export default { render };
