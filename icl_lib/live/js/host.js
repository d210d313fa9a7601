// The custom element <icl-figure module="…" state="…">: plays on a plain page the part that
// anywidget plays in a notebook. A classic script that carries the sources of all figures, because
// a page opened straight from disk may not fetch modules.
(() => {
  const { kit, figures } = /*ICL_SOURCES*/ { kit: "", figures: {} };

  class StaticModel {
    #state;
    #listeners = new Map();
    constructor(state) { this.#state = { ...state }; }
    get state() { return structuredClone(this.#state); }
    get(name) { return this.#state[name]; }
    set(name, value) {
      const changes = typeof name === "object" ? name : { [name]: value };
      const fresh = Object.entries(changes).filter(([k, v]) => !Object.is(this.#state[k], v));
      for (const [k, v] of fresh) this.#state[k] = v;
      for (const [k, v] of fresh) this.#emit(`change:${k}`, this, v);
      if (fresh.length) this.#emit("change", this);
    }
    save_changes() {}
    send() {}
    on(names, callback) {
      for (const name of names.split(/\s+/)) {
        if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
        this.#listeners.get(name).add(callback);
      }
    }
    off(names, callback) {
      if (names === undefined || names === null) { this.#listeners.clear(); return; }
      for (const name of names.split(/\s+/)) {
        if (callback) this.#listeners.get(name)?.delete(callback);
        else this.#listeners.delete(name);
      }
    }
    #emit(name, ...rest) {
      for (const callback of [...(this.#listeners.get(name) ?? [])]) callback(...rest);
    }
  }

  async function load(source) {
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    try {
      return await import(url);
    } finally {
      URL.revokeObjectURL(url);
    }
  }

  class Figure extends HTMLElement {
    #abort = new AbortController();
    #model;
    #started = false;

    /** The present values of the figure's traits. */
    get state() { return this.#model?.state; }

    async connectedCallback() {
      if (this.#started) return;
      this.#started = true;
      try {
        const name = this.getAttribute("module") ?? "";
        if (!Object.hasOwn(figures, name)) throw new Error(`there is no live figure named "${name}"`);
        const { default: made } = await load(kit + figures[name]);
        const afm = typeof made === "function" ? await made() : made;
        const model = new StaticModel(JSON.parse(this.getAttribute("state") || "{}"));
        const el = document.createElement("div");
        const options = { model, el, experimental: {}, signal: this.#abort.signal };
        await afm.initialize?.(options);
        await afm.render?.(options);
        this.#model = model;
        this.replaceChildren(el);
        this.dataset.ready = "true";
      } catch (error) {
        this.dataset.ready = "error"; // the picture and its sentence stay
        console.error(error);
      }
    }

    disconnectedCallback() {
      queueMicrotask(() => { if (!this.isConnected) this.#abort.abort(); });
    }
  }

  if (!customElements.get("icl-figure")) customElements.define("icl-figure", Figure);
})();
