// Byte-pair merging on the reader's own sentence: the bytes, the rules in their order, the tokens.
import {
  h, s, axes, button, color, drawing, frame, number, path, readout, readouts, reducedMotion, scale, select, sentence,
  slider, text, ticks, uid,
} from "./kit.js";

const MOST_SHOWN = 400;
const LISTED = 60;

function shorts(data) {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Array.from({ length: bytes.length / 2 }, (_, i) => view.getUint16(2 * i, true));
}

/** The tokenizer from its packed form: token of each byte, rules by pair, bytes of every token. */
export function unpack({ bytes, rules, words }) {
  const singles = shorts(bytes);
  const spelled = new Map(singles.map((id, byte) => [id, [byte]]));
  const flat = shorts(rules);
  const ordered = [];
  const ranks = new Map();
  for (let i = 0; i < flat.length; i += 3) {
    const [left, right, made] = flat.slice(i, i + 3);
    ranks.set(left * 65536 + right, ordered.length);
    ordered.push({ left, right, made });
    spelled.set(made, [...spelled.get(left), ...spelled.get(right)]);
  }
  return { singles, rules: ordered, ranks, spelled, words: new RegExp(words, "gu") };
}

/** The text cut into words: what the expression finds, and what it leaves between. */
export function cut(textual, expression) {
  const found = [];
  let from = 0;
  for (const { 0: word, index } of textual.matchAll(expression)) {
    if (index > from) found.push(textual.slice(from, index));
    found.push(word);
    from = index + word.length;
  }
  return from < textual.length ? [...found, textual.slice(from)] : found;
}

/**
 * Merge the tokens of one word: always the earliest rule that fits, leftmost first.
 * Each event says which rule acted, and how many rules must be in use for that (`need`).
 */
export function merge(ids, { ranks, rules }, limit = rules.length) {
  const tokens = ids.map((id) => ({ id, rule: -1 }));
  const events = [];
  const rank = (i) => {
    const found = i >= 0 && i + 1 < tokens.length ? ranks.get(tokens[i].id * 65536 + tokens[i + 1].id) : undefined;
    return found === undefined || found >= limit ? limit : found;
  };
  const fits = tokens.map((_, i) => rank(i)); // the rule that joins a token with the next one
  let need = 0;
  for (;;) {
    let at = 0;
    for (let i = 1; i < fits.length; i += 1) if (fits[i] < fits[at]) at = i;
    if (!fits.length || fits[at] >= limit) return { tokens, events };
    const best = fits[at];
    need = Math.max(need, best + 1);
    events.push({ rule: best, need });
    tokens.splice(at, 2, { id: rules[best].made, rule: best });
    fits.splice(at, 1);
    fits[at] = rank(at);
    if (at > 0) fits[at - 1] = rank(at - 1);
  }
}

const byteIds = (word, codec) => Array.from(new TextEncoder().encode(word), (byte) => codec.singles[byte]);

/** Tokens of a text with the first `used` rules: [{id, rule, end}], `end` where a word ends. */
export function encode(textual, codec, used = codec.rules.length) {
  return cut(textual, codec.words).flatMap((word) => {
    const { tokens } = merge(byteIds(word, codec), codec, used);
    return tokens.map((token, i) => ({ ...token, end: i === tokens.length - 1 }));
  });
}

/** All merges of a text, each with the number of rules it needs, in that order. */
export function history(textual, codec) {
  const events = cut(textual, codec.words).flatMap((word) => merge(byteIds(word, codec), codec).events);
  return events.sort((a, b) => a.need - b.need);
}

const SIGNS = { " ": "␣", "\n": "⏎", "\t": "⇥" };

/** What a reader sees of one character: a sign for what is invisible. */
export function sign(character) {
  if (SIGNS[character]) return SIGNS[character];
  if (/^[\p{Cc}\p{Cf}\p{Cn}\p{Co}\p{Z}]$/u.test(character)) {
    return `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  }
  return /^\p{M}$/u.test(character) ? `◌${character}` : character;
}

/** Bytes as characters; a byte that belongs to none stands as {text: "E3", whole: false}. */
export function pieces(bytes) {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const found = [];
  for (let at = 0; at < bytes.length;) {
    let width = 1;
    let whole = null;
    for (; width <= 4 && at + width <= bytes.length && whole === null; width += 1) {
      try { whole = decoder.decode(Uint8Array.from(bytes.slice(at, at + width))); } catch { /* one byte more */ }
    }
    if (whole === null) found.push({ text: bytes[at].toString(16).toUpperCase().padStart(2, "0"), whole: false });
    else found.push({ text: sign(whole), whole: true });
    at += whole === null ? 1 : width - 1;
  }
  return found;
}

/** A token for reading: characters together, broken bytes apart. */
export function readable(id, codec) {
  let last = null;
  return pieces(codec.spelled.get(id)).map((piece) => {
    const gap = last === null || (last && piece.whole) ? "" : " ";
    last = piece.whole;
    return gap + piece.text;
  }).join("");
}

/** Everything that the figure shows, from its state. */
export function numbers(state, codec) {
  const tokens = encode(state.text, codec, state.used);
  const events = history(state.text, codec);
  const bytes = new TextEncoder().encode(state.text).length;
  const characters = [...state.text].length;
  const done = events.filter((event) => event.need <= state.used);
  const last = done.at(-1)?.need ?? 0;
  return {
    tokens, events, bytes, characters, last,
    places: done.filter((event) => event.need === last).length,
    next: events.find((event) => event.need > state.used)?.need ?? null,
    ids: tokens.map((token) => token.id),
    perToken: tokens.length ? bytes / tokens.length : 0,
    vocabulary: state.specials + 256 + new Set(codec.rules.slice(0, state.used).map((rule) => rule.made)).size,
    fits: tokens.length ? (state.context * characters) / tokens.length : 0,
    others: state.examples.map(([, one]) => encode(one, codec, state.used).length),
  };
}

const NAMES = ["text", "used", "examples", "context", "specials"];
const read = (model) => Object.fromEntries(NAMES.map((name) => [name, model.get(name)]));
const counted = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
const japanese = (words) => (/[\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Han}]/u.test(words) ? "ja" : null);
const speak = (node, words) => { const lang = japanese(words); if (lang) node.setAttribute("lang", lang); else node.removeAttribute("lang"); };

function say(state, found, codec) {
  if (!state.text) return "Type a sentence: its bytes appear here, and the tokens that they become.";
  const now = `${counted(found.characters, "character")} are ${counted(found.bytes, "byte")} and, with ${state.used} of `
    + `${codec.rules.length} rules, ${counted(found.tokens.length, "token")}.`;
  if (!found.events.length) return `${now} No rule fits anywhere in this text.`;
  if (!found.last) return `${now} No rule has acted yet; the first one that fits here is number ${found.next}.`;
  const { left, right } = codec.rules[found.last - 1];
  const joined = `Rule ${found.last} was the last to act: it joins “${readable(left, codec)}” and “${readable(right, codec)}” `
    + `in ${counted(found.places, "place")}.`;
  return `${now} ${joined} ${found.next ? `Number ${found.next} is next.` : "No later rule fits."}`;
}

function box(token, codec, fresh) {
  const name = readable(token.id, codec);
  const broken = pieces(codec.spelled.get(token.id)).some((piece) => !piece.whole);
  const kind = [
    "icl-piece", token.end && "icl-piece-end", broken && "icl-piece-bytes", fresh && "icl-piece-new",
  ].filter(Boolean).join(" ");
  return h("li", { class: kind }, [
    h("span", { text: name, lang: japanese(name) }), h("small", { text: String(token.id) }),
  ]);
}

const listed = (ids) => ids.slice(0, LISTED).join(" ") + (ids.length > LISTED ? " …" : "");

function boxes(codec) {
  const list = h("ol", { class: "icl-pieces", "aria-label": "Tokens with their numbers" });
  const more = h("p", { class: "icl-hint" });
  const set = (found) => {
    const fresh = (token) => token.rule >= 0 && token.rule === found.last - 1;
    list.replaceChildren(...found.tokens.slice(0, MOST_SHOWN).map((token) => box(token, codec, fresh(token))));
    const left = found.tokens.length - MOST_SHOWN;
    more.textContent = left > 0 ? `… and ${counted(left, "token")} more, counted but not drawn` : "";
  };
  return { element: h("div", {}, [list, more]), set };
}

function typed(model) {
  const id = uid();
  const area = h("textarea", { id, rows: 2, spellcheck: "false", autocapitalize: "off", autocomplete: "off" });
  let composing = false;
  const commit = () => { model.set("text", area.value); model.save_changes(); };
  area.addEventListener("compositionstart", () => { composing = true; });
  area.addEventListener("compositionend", () => { composing = false; commit(); });
  area.addEventListener("input", () => { if (!composing) commit(); });
  const set = (state) => {
    if (!composing && area.value !== state.text) area.value = state.text;
    speak(area, state.text);
  };
  return { element: h("div", { class: "icl-control icl-wide" }, [h("label", { for: id, text: "Your sentence" }), area]), set };
}

function examples(model) {
  const id = uid();
  const list = model.get("examples");
  const node = h("select", { id }, ["your own", ...list.map(([name]) => name)].map((words) => h("option", { text: words })));
  node.addEventListener("change", () => {
    model.set("text", node.selectedIndex ? list[node.selectedIndex - 1][1] : "");
    model.save_changes();
  });
  const set = (state) => { node.selectedIndex = 1 + list.findIndex(([, one]) => one === state.text); };
  return { element: h("div", { class: "icl-control" }, [h("label", { for: id, text: "Example" }), node]), set };
}

function walk(model, found, last, signal) {
  let timer = null;
  const go = (used) => { model.set("used", used); model.save_changes(); };
  const stop = () => { clearInterval(timer); timer = null; play.relabel("Play"); };
  const forward = () => go(found().next ?? last);
  const tick = () => { if (found().next === null) stop(); else forward(); };
  const play = button({
    label: "Play",
    onClick: () => {
      if (timer !== null) return stop();
      if (reducedMotion()) return go(last);
      if (found().next === null) go(0);
      play.relabel("Pause");
      timer = setInterval(tick, 700);
    },
  });
  const step = (label, to) => button({ label, onClick: () => { stop(); to(); } }).element;
  signal?.addEventListener("abort", stop);
  return {
    element: h("div", { class: "icl-buttons", role: "group", "aria-label": "Merges" }, [
      play.element, step("Previous", () => go(Math.max(0, found().last - 1))), step("Next", forward),
      step("Bytes only", () => go(0)), step("All merges", () => go(last)),
    ]),
  };
}

function curve(codec) {
  const [width, height] = [420, 220];
  const frameBox = [40, 28, 404, 172];
  const picture = drawing({ width, height, label: "" });
  const last = codec.rules.length;
  const x = scale([0, last], [frameBox[0], frameBox[2]]);
  const set = (state, found) => {
    const most = Math.max(4, found.bytes);
    const y = scale([0, most], [frameBox[3], frameBox[1]]);
    const points = [[0, found.bytes]];
    found.events.forEach(({ need }, i) => points.push([need, found.bytes - i], [need, found.bytes - i - 1]));
    points.push([last, found.bytes - found.events.length]);
    picture.redraw(
      axes({
        x, y, box: frameBox, xTicks: ticks(0, last, 4), yTicks: ticks(0, most, 4).filter(Number.isInteger),
        xLabel: "merge rules in use", yLabel: "tokens of your sentence",
      }),
      s("path", { d: path(points.map(([a, b]) => [x(a), y(b)])), fill: "none", stroke: color("neutral"), "stroke-width": 2 }),
      s("circle", { cx: x(state.used), cy: y(found.tokens.length), r: 6, fill: color("query") }),
    );
    picture.describe(
      `Tokens of the sentence against merge rules in use: ${found.bytes} without rules, `
      + `${found.tokens.length} with ${state.used}, ${found.bytes - found.events.length} with all ${last}.`,
    );
  };
  return { element: picture.element, set };
}

function comparison(state, codec) {
  const most = Math.max(...state.examples.map(([, one]) => encode(one, codec, 0).length), 1);
  const rows = state.examples.map(([name], i) => {
    const bar = h("div", { class: "icl-bar" });
    const value = readout({ name: `example_${i}`, label: `tokens of ${name}` });
    return { bar, value, row: h("li", { class: "icl-bar-row" }, [
      h("span", { class: "icl-bar-name", text: name, lang: japanese(name) }), h("div", { class: "icl-bar-track" }, bar), value.element,
    ]) };
  });
  const set = (found) => rows.forEach(({ bar, value }, i) => {
    bar.style.width = `${(100 * found.others[i]) / most}%`;
    value.set(found.others[i]);
  });
  const list = h("ol", { class: "icl-bars", "aria-label": "Tokens of the examples" }, rows.map((one) => one.row));
  return { element: h("div", {}, [h("p", { class: "icl-hint", text: "Tokens of the examples with the same rules" }), list]), set };
}

function render({ model, el, signal }) {
  const codec = unpack(model.get("codec"));
  const last = codec.rules.length;
  let found = numbers(read(model), codec);
  const area = typed(model);
  const chosen = examples(model);
  const used = slider({
    model, trait: "used", label: "Merge rules in use", min: 0, max: last, step: 1,
    format: (k) => `${k} of ${last}`,
  });
  const list = boxes(codec);
  const plot = curve(codec);
  const rows = comparison(read(model), codec);
  const keyNumbers = readouts([
    { name: "characters", label: "characters" },
    { name: "bytes", label: "bytes" },
    { name: "tokens", label: "tokens", role: "query" },
    { name: "vocabulary", label: "vocabulary" },
    { name: "bytes_per_token", label: "bytes per token" },
    { name: "fits", label: `characters in ${model.get("context")} tokens`, format: (x) => number(Math.round(x)) },
  ]);
  const ids = readout({ name: "ids", label: "what the model receives", format: listed });
  const said = sentence();
  const update = () => {
    const state = read(model);
    found = numbers(state, codec);
    area.set(state);
    chosen.set(state);
    list.set(found);
    plot.set(state, found);
    rows.set(found);
    keyNumbers.set({
      characters: found.characters, bytes: found.bytes, tokens: found.tokens.length, vocabulary: found.vocabulary,
      bytes_per_token: found.perToken, fits: found.fits,
    });
    ids.set(found.ids);
    said.say(say(state, found, codec));
  };
  const hint = "Each box is one token with its number. A dashed box holds bytes that are not yet a whole character, in "
    + "hexadecimal. ␣ is a space. Rules never join across the gaps.";
  frame({
    el, model, title: "From bytes to tokens", controls: [area, chosen, used],
    body: [
      walk(model, () => found, last, signal), list, h("p", { class: "icl-hint", text: hint }), said, keyNumbers,
      h("div", { class: "icl-pair" }, [plot.element, h("div", {}, [rows.element, ids.element])]),
    ],
    update,
  });
}

export default { render };
