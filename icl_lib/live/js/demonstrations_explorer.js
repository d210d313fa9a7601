// Which demonstrations are in the prompt? Attention and answers are looked up in records made beforehand.
import { button, color, frame, h, readouts, select, sentence, setter } from "./kit.js";

const SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const PARTS = 10000;
const FULL = [0.05, 0.1, 0.2, 0.5, 1];
const CONDITIONS = [
  ["zero_shot", "zero-shot", "neutral"],
  ["in_context", "in context", "query"],
  ["finetuned", "finetuned", "error"],
  ["bayes", "best reader", "gold"],
];

/** Places of the prompt that are there: opening, chosen demonstrations, query. */
export function places(record, shown) {
  const before = record.owners.map((owner, i) => ({ owner, word: record.words[i], label: record.is_label[i] === 1 }));
  return before.filter(({ owner }) => owner < 0 || (shown >> owner) & 1);
}

/** Attention of one head on all places that are there: squared signs, scaled to sum 1. */
export function headWeights(record, { shown, query }, layer, head, count) {
  const [layers, heads] = record.heads;
  const start = ((query * layers + layer) * heads + head) * count;
  const squares = Array.from(record.attention[shown].slice(start, start + count), (sign) => SIGNS.indexOf(sign) ** 2);
  const total = squares.reduce((a, b) => a + b, 0);
  return squares.map((n) => n / total);
}

/** The mean over the heads that "mean", "layer 2" or "layer 2, head 1" names. */
export function attention(record, state, there) {
  const [layers, heads] = record.heads;
  const count = record.attention[state.shown].length / (record.queries.length * layers * heads);
  const [, layer, head] = /^(?:mean|layer (\d+)(?:, head (\d+))?)$/.exec(state.look) ?? [];
  const sum = new Array(count).fill(0);
  let used = 0;
  for (let l = 0; l < layers; l += 1) {
    for (let k = 0; k < heads; k += 1) {
      if ((layer && l !== layer - 1) || (head && k !== head - 1)) continue;
      headWeights(record, state, l, k, count).forEach((w, i) => { sum[i] += w; });
      used += 1;
    }
  }
  const length = there.length + record.queries[state.query].length;
  return sum.slice(0, length).map((w) => w / used);
}

/** Label probabilities of each condition on one query. */
export function answers(record, { shown }, query) {
  const found = {};
  for (const [name] of CONDITIONS) {
    const rows = record[name === "zero_shot" ? "in_context" : name];
    if (rows.length) found[name] = rows[name === "zero_shot" ? 0 : shown][query].map((p) => p / PARTS);
  }
  return found;
}

const best = (p) => p.indexOf(Math.max(...p));
const total = (list) => list.reduce((a, b) => a + b, 0);

/** Everything that the figure shows, from its state. */
export function numbers(state) {
  const record = state.records[state.task];
  const there = places(record, state.shown);
  const weights = attention(record, state, there);
  const on = (test) => total(weights.filter((_, i) => (i < there.length ? test(there[i]) : test(null))));
  const each = record.asked.map((_, query) => answers(record, state, query));
  const right = Object.fromEntries(Object.keys(each[0]).map((name) =>
    [name, each.filter((one, query) => best(one[name]) === record.asked[query]).length]));
  return {
    record, there, weights, answers: each[state.query], right, gold: record.asked[state.query],
    on_labels: on((place) => place?.label), on_texts: on((place) => place && place.owner >= 0 && !place.label),
    on_query: on((place) => place === null), on_opening: on((place) => place?.owner < 0),
  };
}

const NAMES = ["records", "task", "query", "shown", "look"];
const read = (model) => Object.fromEntries(NAMES.map((name) => [name, model.get(name)]));
const percent = (w) => String(Math.round(100 * w));
const quoted = (words) => `“${words}”`;

function list(numbers) {
  if (numbers.length < 2) return numbers.join("");
  return `${numbers.slice(0, -1).join(", ")} and ${numbers.at(-1)}`;
}

function words(state, { record, answers: said, right, gold }) {
  const members = record.shown.flatMap((_, i) => ((state.shown >> i) & 1 ? [i + 1] : []));
  const p = (name) => said[name][gold].toFixed(2);
  const reader = said.bayes ? ` The best possible reader gives it ${p("bayes")}.` : "";
  const count = record.asked.length;
  if (!members.length) {
    return `Without demonstrations the model gives the right label, ${quoted(record.labels[gold])}, probability ${p("zero_shot")}: `
      + `there is nothing to read and nothing to train on.${reader} It answers ${right.zero_shot} of ${count} queries rightly.`;
  }
  return `With demonstration${members.length > 1 ? "s" : ""} ${list(members)} in the prompt the model gives the right label, ${quoted(record.labels[gold])}, `
    + `probability ${p("in_context")}, without any ${p("zero_shot")}. Trained on the same instead, it gives ${p("finetuned")}.${reader} `
    + `Of ${count} queries it answers ${right.zero_shot} rightly without demonstrations, ${right.in_context} in context and ${right.finetuned} finetuned.`;
}

/** A word: what stands between stars is bold. */
function written(word) {
  return word.split("*").map((part, i) => (i % 2 ? h("strong", { text: part }) : part)).filter((part) => part !== "");
}

function chip({ word, label }, weight, full) {
  const inside = weight !== undefined;
  const bar = h("span", { class: "icl-column", "aria-hidden": "true" },
    inside ? h("span", { style: `height:${(100 * Math.min(1, weight / full)).toFixed(1)}%` }) : null);
  return h("li", { class: `icl-chip${label ? " icl-chip-label" : ""}${inside ? "" : " icl-chip-out"}` }, [
    bar, h("span", { class: "icl-chip-word" }, written(word)), h("small", { text: inside ? percent(weight) : "–" }),
  ]);
}

function row(head, name) {
  const chips = h("ol", { class: "icl-chips", "aria-label": name });
  return { element: h("li", { class: "icl-prompt-row" }, [head, chips]), chips };
}

/** The prompt, a row for each demonstration with its switch; columns show attention. */
function prompt(model, count) {
  const flip = (i) => { model.set("shown", model.get("shown") ^ (1 << i)); model.save_changes(); };
  const switches = Array.from({ length: count }, (_, i) => button({ label: String(i + 1), onClick: () => flip(i) }).element);
  switches.forEach((node, i) => node.setAttribute("aria-label", `Demonstration ${i + 1}`));
  const opening = row(h("span", { class: "icl-row-name", text: "start" }), "Opening of the prompt");
  const rows = switches.map((node, i) => row(node, ""));
  const query = row(h("span", { class: "icl-row-name", text: "query" }), "Words of the query, per cent of attention");
  const hint = h("p", { class: "icl-hint" });
  const set = (state, { record, there, weights, answers: said }) => {
    const full = FULL.find((most) => most >= Math.max(...weights) - 1e-9) ?? 1;
    let at = 0;
    const weightOf = record.owners.map((owner) => (owner < 0 || (state.shown >> owner) & 1 ? weights[at++] : undefined));
    const chips = (mine) => record.owners.flatMap((owner, i) =>
      (owner === mine ? [chip({ word: record.words[i], label: record.is_label[i] === 1 }, weightOf[i], full)] : []));
    opening.chips.replaceChildren(...chips(-1));
    opening.element.hidden = !record.owners.includes(-1);
    rows.forEach((one, i) => {
      const inside = Boolean((state.shown >> i) & 1);
      one.chips.replaceChildren(...chips(i));
      one.chips.setAttribute("aria-label", `Words of demonstration ${i + 1}, ${inside ? "per cent of attention" : "left out"}`);
      switches[i].setAttribute("aria-pressed", String(inside));
    });
    query.chips.replaceChildren(
      ...record.queries[state.query].map((word, i) => chip({ word }, weights[there.length + i], full)),
      h("li", { class: "icl-chip-said" }, [h("span", { "aria-hidden": "true", text: "→ " }), record.labels[best(said.in_context)]]),
    );
    const asked = record.queries.some((one) => one.some((word) => word.includes("*")));
    hint.textContent = "Switch demonstrations in and out by their numbers. Columns: attention of the query’s last word, where the label is predicted; "
      + `orange on labels, filled to the top at ${percent(full)} %. Small numbers: per cent.${asked ? " Underlined: what decides the label, which no reader is told." : ""}`;
  };
  const element = h("ol", { class: "icl-prompt", "aria-label": "The prompt" }, [opening, ...rows, query].map((one) => one.element));
  return { element, hint, set };
}

function cell(name, value, role) {
  return h("td", {}, [
    h("output", { "data-value": name, "data-exact": String(value), "aria-live": "off", text: value.toFixed(2) }),
    h("div", { class: "icl-bar-track", "aria-hidden": "true" }, h("div", { class: "icl-bar", style: `width:${(100 * value).toFixed(2)}%;background:${color(role)}` })),
  ]);
}

/** A row for each label, a column for each condition. */
function table() {
  const element = h("table", { class: "icl-answers" });
  const set = (state, { record, answers: said, right, gold }) => {
    const columns = CONDITIONS.filter(([name]) => said[name]);
    const head = h("tr", {}, [h("th", { scope: "col", text: "label" }), ...columns.map(([, title]) => h("th", { scope: "col", text: title }))]);
    const body = record.labels.map((label, c) => h("tr", { class: c === gold ? "icl-gold" : null }, [
      h("th", { scope: "row" }, [label, c === gold ? h("small", { text: " ✓ right" }) : null, record.meanings.length ? h("small", { class: "icl-meaning", text: record.meanings[c] }) : null]),
      ...columns.map(([name, , role]) => cell(`${name}_${c}`, said[name][c], role)),
    ]));
    const mark = (name) => (best(said[name]) === gold ? "✓" : "✗");
    const foot = [
      h("tr", {}, [h("th", { scope: "row", text: "its answer" }), ...columns.map(([name]) =>
        h("td", {}, [h("span", { text: record.labels[best(said[name])] }), h("span", { "aria-label": mark(name) === "✓" ? "right" : "wrong", role: "img", text: ` ${mark(name)}` })]))]),
      h("tr", {}, [h("th", { scope: "row", text: `right of ${record.asked.length} queries` }), ...columns.map(([name]) =>
        h("td", {}, h("output", { "data-value": `right_${name}`, "data-exact": String(right[name]), "aria-live": "off", text: String(right[name]) })))]),
    ];
    element.replaceChildren(
      h("caption", { text: `Probability of each label for query ${state.query + 1}` }),
      h("thead", {}, head), h("tbody", {}, body), h("tfoot", {}, foot),
    );
  };
  return { element, set };
}

function views([layers, heads]) {
  const found = [["mean", "mean of all heads"]];
  for (let l = 1; l <= layers; l += 1) {
    found.push([`layer ${l}`, heads > 1 ? `layer ${l}, mean of its heads` : `layer ${l}`]);
    for (let k = 1; heads > 1 && k <= heads; k += 1) found.push([`layer ${l}, head ${k}`, `layer ${l}, head ${k}`]);
  }
  return found;
}

function render({ model, el }) {
  const records = model.get("records");
  const count = records[0].shown.length;
  const tasks = records.map((record, i) => [i, `${record.task}: ${record.labels.join(", ")}`]);
  const controls = [
    records.length > 1 && select({ model, trait: "task", label: "Task and its labels", options: tasks }),
    select({ model, trait: "query", label: "Query", options: records[0].asked.map((_, i) => [i, `query ${i + 1}`]) }),
    select({ model, trait: "look", label: "Attention of", options: views(records[0].heads) }),
  ].filter(Boolean);
  const all = setter({ model, label: "All demonstrations", values: () => ({ shown: 2 ** count - 1 }) });
  const none = setter({ model, label: "None", values: () => ({ shown: 0 }) });
  const shown = prompt(model, count);
  const probabilities = table();
  const share = readouts([
    { name: "on_labels", label: "attention on labels", format: (w) => `${percent(w)} %` },
    { name: "on_texts", label: "on demonstrations’ words", format: (w) => `${percent(w)} %` },
    { name: "on_query", label: "on the query", format: (w) => `${percent(w)} %` },
    { name: "on_opening", label: "on the start", format: (w) => `${percent(w)} %` },
    { name: "attention", label: "largest on", format: () => "" },
  ]);
  const largest = share.element.querySelector('[data-value="attention"]');
  const said = sentence();
  const update = () => {
    const state = read(model);
    const found = numbers(state);
    shown.set(state, found);
    probabilities.set(state, found);
    const { on_labels, on_texts, on_query, on_opening, weights, there, record } = found;
    share.set({ on_labels, on_texts, on_query, on_opening, attention: weights });
    const top = best(weights);
    const place = there[top];
    const word = place?.word ?? record.queries[state.query][top - there.length];
    largest.textContent = `${word.replaceAll("*", "")} (${place ? (place.owner < 0 ? "start" : place.owner + 1) : "query"})`;
    said.say(words(state, found));
  };
  frame({
    el, model, title: "Which demonstrations are in the prompt?", controls,
    body: [
      h("div", { class: "icl-pair" }, [
        h("div", {}, [h("div", { class: "icl-buttons" }, [all.element, none.element]), shown.element]),
        h("div", {}, [probabilities.element, share.element]),
      ]),
      shown.hint, said,
    ],
    update,
  });
}

export default { render };
