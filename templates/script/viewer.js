// Pictures enlarged in place, maps beside their image, with the raw values under the cursor.
(() => {
  const QUIET = 500; // milliseconds that the cross rests before its value is read out
  const made = reportgen.element;
  const LINKED = "figure.heatmap, figure.comparison";
  const TILES = "article.unit svg:not(.answers)"; // parts of sheets, which are no links

  // What is shown at once: the pictures of a map or of a comparison, else one; those of a section in
  // their order.
  function viewsAround(link) {
    const within = link.closest("main > section") ?? document;
    const views = [];
    for (const one of within.querySelectorAll(`a.zoom, ${TILES}`)) {
      const figure = one.closest(LINKED);
      if (figure && views.at(-1)?.figure === figure) views.at(-1).links.push(one);
      else if (one === link || reportgen.shown(one)) views.push({ figure, links: [one] });
    }
    return views;
  }

  // Of two dresses of a drawing the one that is worn.
  function source(link) {
    const images = [...link.querySelectorAll("img")];
    return images.find((image) => image.checkVisibility()) ?? images[0];
  }

  const named = (links, label) => links.find((link) => link.dataset.label === label);

  function tileOf({ links: [tile] }) {
    const drawn = tile.cloneNode(true);
    drawn.removeAttribute("class");
    return [{ label: "", alt: "", layers: [drawn], link: tile, reads: "" }];
  }

  const said = (tile) => tile.getAttribute("aria-label") ?? text(tile, "title");

  // A panel for each picture of a map, or for each method of a comparison. An overlay lies between
  // its image and its map.
  function panelsOf({ figure, links }) {
    const comparison = figure?.matches(".comparison");
    const cells = comparison ? [...figure.querySelectorAll(".item")].map((item) => ({
      links: links.filter((link) => item.contains(link)),
      label: item.querySelector(".item-title").textContent,
    })) : links.map((link) => ({ links: [link], label: figure ? link.dataset.label : "" }));
    return cells.map((cell) => {
      const overlay = named(cell.links, "overlay");
      const map = named(cell.links, "map") ?? (overlay && named(links, "map"));
      const layers = overlay ? [named(links, "image"), overlay, map] : cell.links;
      const alone = comparison || !overlay;
      return {
        label: cell.label,
        alt: source(overlay ?? layers[0]).alt,
        layers: layers.map((link) => source(link).src),
        link: overlay ? map : layers[0],
        reads: alone ? (overlay ? map : layers[0]).dataset.values : "",
      };
    });
  }

  function size(link) {
    if (link.matches(TILES)) return [link.viewBox.baseVal.width, link.viewBox.baseVal.height];
    if (link.dataset.native) return link.dataset.native.split(" ").map(Number);
    const image = source(link);
    return [image.width || image.naturalWidth, image.height || image.naturalHeight];
  }

  const text = (element, found) => element?.querySelector(found)?.textContent.trim() ?? "";

  function titleOf({ links: [link] }) {
    const card = link.closest("article.unit");
    if (card) return `${card.dataset.layer} · unit ${card.dataset.unit}`;
    const item = link.closest(".item:not(.comparison .item)");
    const figure = text(link.closest("figure"), ".caption-title");
    const own = text(item, ".item-title");
    return [...new Set([own, figure])].filter(Boolean).join(" · ") || source(link).alt;
  }

  function wordsOf({ links: [link] }) {
    if (link.matches(TILES)) return [made("p", { textContent: said(link) })];
    const caption = link.closest("figure")?.querySelector("figcaption")?.cloneNode(true);
    if (!caption) return [];
    caption.querySelector(".caption-title")?.remove();
    for (const one of [caption, ...caption.querySelectorAll("[id]")]) one.removeAttribute("id");
    return [...caption.childNodes];
  }

  class Viewer {
    constructor() {
      this.panels = new reportgen.Panels((scale) => this.#scaled(scale), () => this.#read());
      this.title = made("h2", { id: "viewer-title", className: "viewer-title" });
      this.scale = made("span", { className: "viewer-scale" });
      this.reading = made("p", { className: "viewer-reading" });
      this.spoken = made("p", { className: "unseen" });
      this.spoken.setAttribute("role", "status");
      this.words = made("div", { className: "viewer-words", tabIndex: 0 });
      this.words.setAttribute("role", "group");
      this.words.setAttribute("aria-label", "Caption");
      const tools = made("div", { className: "viewer-tools" }, this.#slider(),
        this.#button("−", "Zoom out", () => this.panels.zoom(false)), this.scale,
        this.#button("+", "Zoom in", () => this.panels.zoom(true)),
        this.#button("Fit", "Fit to the window", () => this.panels.fit()),
        this.before = this.#button("‹", "Previous picture", () => this.step(-1)),
        this.after = this.#button("›", "Next picture", () => this.step(1)),
        this.#button("✕", "Close", () => this.dialog.close()));
      this.dialog = made("dialog", { className: "viewer" },
        made("div", { className: "viewer-head" }, this.title, tools), this.panels.element,
        made("div", { className: "viewer-foot" }, this.reading, this.spoken, this.words));
      this.dialog.setAttribute("aria-labelledby", this.title.id);
      this.dialog.addEventListener("keydown", (event) => this.#key(event));
      this.dialog.addEventListener("close", () => {
        const [link] = this.view.links;
        (link.closest("article.unit")?.querySelector("a") ?? link).focus();
      });
      // A link in the caption leads to a place in the page.
      this.words.addEventListener("click", (event) => event.target.closest("a") && this.dialog.close());
      document.body.append(this.dialog);
    }

    #button(label, name, react) {
      const button = made("button", { type: "button", textContent: label, title: name });
      button.setAttribute("aria-label", name);
      button.addEventListener("click", react);
      return button;
    }

    // From the image alone over the overlay of the report to the map alone.
    #slider() {
      this.slider = made("input", { type: "range", min: 0, max: 100, step: 5, value: 50 });
      this.opacity = made("span");
      this.opacity.setAttribute("aria-hidden", "true");
      this.slider.addEventListener("input", () => this.#blend());
      return this.blend = made("label", { className: "viewer-blend" }, "Map opacity", this.slider, this.opacity);
    }

    #blend() {
      const part = Number(this.slider.value) / 50;
      const percent = (share) => `${Math.round(share * 100)} %`;
      const words = part === 0 ? "the image alone"
        : part < 1 ? `overlay at ${percent(part)}`
        : part === 1 ? "overlay as in the report"
        : part < 2 ? `map at ${percent(part - 1)}` : "the map alone";
      this.opacity.textContent = words;
      this.slider.setAttribute("aria-valuetext", words);
      this.panels.blend([1, Math.min(1, part), Math.max(0, part - 1)]);
    }

    open(link) {
      this.views = viewsAround(link);
      this.index = this.views.findIndex(({ links }) => links.includes(link));
      this.dialog.showModal();
      this.#show();
      // The focus returns to the picture that was asked for.
      const { links } = this.view;
      this.view = { ...this.view, links: [link, ...links.filter((one) => one !== link)] };
      this.panels.element.focus();
    }

    step(by) {
      const index = this.index + by;
      if (!this.views[index]) return;
      this.index = index;
      this.#show();
    }

    #show() {
      this.view = this.views[this.index];
      const [first] = this.view.links;
      const panels = this.shown = first.matches(TILES) ? tileOf(this.view) : panelsOf(this.view);
      const place = `${this.index + 1} of ${this.views.length}`;
      this.title.replaceChildren(titleOf(this.view), " ", made("span", { className: "count", textContent: place }));
      this.words.replaceChildren(...wordsOf(this.view));
      this.before.disabled = this.index === 0;
      this.after.disabled = this.index === this.views.length - 1;
      this.blend.hidden = panels.every(({ layers }) => layers.length < 2);
      const [{ link }] = panels;
      this.names = link.dataset.grid ? reportgen.tileNames(link) : [];
      const places = Boolean(link.dataset.native);
      const crisp = places || getComputedStyle(link).imageRendering === "pixelated";
      this.panels.show(panels, size(link), { crisp, places });
      this.#blend();
      this.#read();
      for (const panel of panels) this.#load(panel);
    }

    async #load(panel) {
      if (!panel.reads) return;
      panel.array = await reportgen.unpacked(panel.reads);
      if (this.shown.includes(panel)) this.#read();
    }

    #scaled(scale) {
      this.scale.textContent = `${Number((scale * 100).toPrecision(3))} %`;
    }

    // "x 17, y 4: 0.731 (to ±0.002)"; of several pictures each value is below its own.
    #read() {
      const { place } = this.panels;
      const alone = this.shown.length === 1;
      let words = "";
      for (const [index, panel] of this.shown.entries()) {
        const at = place && panel.link.dataset.native ? reportgen.place(panel.link, ...place) : null;
        const value = at && panel.array ? reportgen.valueText(panel.array, at) : "";
        this.panels.panels[index].value.textContent = alone ? "" : value;
        if (!at || words) continue;
        const tile = at.tile === undefined ? "" : `${this.names[at.tile] ?? `tile ${at.tile}`}, `;
        words = `${tile}x ${at.x}, y ${at.y}${alone && value ? `: ${value}` : ""}`;
      }
      this.reading.textContent = words;
    }

    // For those who move the cross by keys, once it rests.
    #speak() {
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => {
        const values = this.panels.panels.map(({ root }) => text(root, ".value") && root.innerText);
        this.spoken.textContent = [this.reading.textContent, ...values].filter(Boolean).join("; ");
      }, QUIET);
    }

    #key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      const inField = event.target === this.slider || event.target === this.words;
      const arrow = inField ? null : arrows[event.key];
      const reactions = {
        "+": () => this.panels.zoom(true), "=": () => this.panels.zoom(true),
        "-": () => this.panels.zoom(false), 0: () => this.panels.fit(),
        j: () => this.step(1), k: () => this.step(-1),
        PageDown: () => this.step(1), PageUp: () => this.step(-1),
      };
      if (arrow && event.shiftKey) {
        this.panels.step(...arrow);
        this.#speak();
      } else if (arrow && this.panels.enlarged) this.panels.stride(...arrow);
      else if (arrow) this.step(arrow[0] + arrow[1]);
      else if (!inField && reactions[event.key]) reactions[event.key]();
      else return;
      event.preventDefault();
    }
  }

  let viewer = null;
  document.addEventListener("click", (event) => {
    const link = event.target.closest(`a.zoom, ${TILES}`);
    const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
    if (!link || !plain || event.button !== 0 || event.defaultPrevented) return;
    event.preventDefault();
    (viewer ??= new Viewer()).open(link);
  });
  reportgen.onKey((event) => {
    const tile = event.key === "e" && document.activeElement.closest("article.unit")?.querySelector(TILES);
    if (tile) (viewer ??= new Viewer()).open(tile);
  });
})();
