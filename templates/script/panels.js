// Pictures side by side with one zoom, one place and one cross: what moves in one, moves in all.
(() => {
  const SCALES = [1 / 16, 1 / 12, 1 / 8, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 1, 1.5, 2, 3, 4, 6, 8, 12, 16,
    24, 32, 48, 64];
  const STRIDE = 60; // pixels of the window that an arrow key moves by
  const made = reportgen.element;
  const between = (low, value, high) => Math.min(high, Math.max(low, value));

  // How many columns leave the most room to so many pictures of one shape.
  function columnsFor(count, shape, width, height) {
    let best = [0, 1];
    for (let columns = 1; columns <= count; columns += 1) {
      const rows = Math.ceil(count / columns);
      const scale = Math.min(width / columns / shape[0], (height / rows - 30) / shape[1]);
      if (scale > best[0]) best = [scale, columns];
    }
    return best[1];
  }

  // `changed` is told of every new scale, `pointed` of the place under the cursor, as parts of width
  // and height, or of null.
  reportgen.Panels = class {
    constructor(changed, pointed) {
      this.changed = changed;
      this.pointed = pointed;
      this.element = made("div", { className: "viewer-panels", tabIndex: 0 });
      this.element.setAttribute("role", "group");
      this.element.setAttribute("aria-label", "Pictures");
      this.panels = [];
      this.pointers = new Map();
      new ResizeObserver(() => this.arrange()).observe(this.element);
    }

    // Panels have a `label`, `layers` (sources or elements, the lowest first) and `alt`; all have one `size` in
    // pixels, which are enlarged crisply or, of drawings, smoothly; a cross is in those with places.
    show(panels, size, { crisp, places }) {
      this.size = size;
      this.crisp = crisp;
      this.places = places;
      this.fitted = true;
      this.place = null;
      this.centre = [0.5, 0.5];
      this.panels = panels.map((panel) => this.#built(panel));
      this.element.replaceChildren(...this.panels.map(({ root }) => root));
      this.arrange();
    }

    #built({ label, layers, alt }) {
      const images = layers.map((src, index) => src instanceof Element ? src
        : made("img", { src, alt: index ? "" : alt, draggable: false }));
      const stack = made("div", { className: "viewer-stack" }, ...images);
      const cross = made("div", { className: "viewer-cross", hidden: true });
      const pane = made("div", { className: "viewer-pane" }, stack, cross);
      const value = made("span", { className: "value" });
      const words = made("p", { className: "viewer-label" }, made("span", { textContent: label }), value);
      const root = made("div", { className: "viewer-panel" }, pane, words);
      this.#listen(pane);
      return { root, pane, stack, images, cross, value };
    }

    #listen(pane) {
      pane.addEventListener("pointerdown", (event) => {
        pane.setPointerCapture(event.pointerId);
        this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
        this.#point(pane, event);
      });
      pane.addEventListener("pointermove", (event) => {
        if (this.pointers.has(event.pointerId)) this.#drag(pane, event);
        else this.#point(pane, event);
      });
      for (const end of ["pointerup", "pointercancel"]) {
        pane.addEventListener(end, (event) => {
          this.pointers.delete(event.pointerId);
          pane.classList.remove("moved");
        });
      }
      pane.addEventListener("pointerleave", () => this.setPlace(null));
      pane.addEventListener("wheel", (event) => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        const factor = Math.exp(-between(-60, event.deltaY, 60) / 150);
        this.zoomTo(this.scale * factor, this.#from(pane, event));
      }, { passive: false });
    }

    // Two fingers zoom by their distance, about the middle of them; one moves the picture.
    #drag(pane, event) {
      const before = [...this.pointers.values()];
      const last = this.pointers.get(event.pointerId);
      this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
      if (before.length === 2) {
        const apart = ([[a, b], [c, d]]) => Math.hypot(a - c, b - d) || 1;
        const after = [...this.pointers.values()];
        const [clientX, clientY] = [0, 1].map((axis) => (after[0][axis] + after[1][axis]) / 2);
        this.zoomTo((this.scale * apart(after)) / apart(before), this.#from(pane, { clientX, clientY }));
      } else {
        pane.classList.add("moved");
        this.move(last[0] - event.clientX, last[1] - event.clientY);
      }
    }

    #from(pane, { clientX, clientY }) {
      const box = pane.getBoundingClientRect();
      return [clientX - box.left - pane.clientLeft, clientY - box.top - pane.clientTop];
    }

    #point(pane, event) {
      const at = this.#from(pane, event);
      const place = [0, 1].map((axis) => (at[axis] - this.#start(axis)) / (this.size[axis] * this.scale));
      this.setPlace(place.every((part) => part >= 0 && part < 1) ? place : null);
    }

    // Where the picture begins in its window.
    #start(axis) {
      return this.window[axis] / 2 - this.centre[axis] * this.size[axis] * this.scale;
    }

    arrange() {
      if (!this.panels.length || !this.element.clientWidth) return;
      const { clientWidth, clientHeight } = this.element;
      const columns = columnsFor(this.panels.length, this.size, clientWidth, clientHeight);
      this.element.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
      const { pane } = this.panels[0];
      this.window = [pane.clientWidth, pane.clientHeight];
      if (this.fitted) this.scale = this.#fitting();
      this.#draw();
    }

    // Pixels are enlarged by quarters, from three times on by whole factors; drawings at most twice.
    #fitting() {
      const most = Math.min(...[0, 1].map((axis) => this.window[axis] / this.size[axis]));
      if (!this.crisp) return Math.min(2, most);
      if (most < 1) return most;
      return between(1, most < 3 ? Math.floor(most * 4) / 4 : Math.floor(most), 64);
    }

    get enlarged() {
      return [0, 1].some((axis) => this.size[axis] * this.scale > this.window[axis] + 1);
    }

    fit() {
      this.fitted = true;
      this.centre = [0.5, 0.5];
      this.arrange();
    }

    // To the next scale of the list.
    zoom(closer) {
      const next = closer
        ? SCALES.find((scale) => scale > this.scale * 1.001)
        : SCALES.findLast((scale) => scale < this.scale * 0.999);
      if (next) this.zoomTo(next);
    }

    // What is `at` that point of the window stays there.
    zoomTo(scale, at = this.window.map((side) => side / 2)) {
      const next = between(SCALES[0], scale, SCALES.at(-1));
      this.centre = this.centre.map((centre, axis) => {
        const place = (at[axis] - this.#start(axis)) / (this.size[axis] * this.scale);
        return place + (this.window[axis] / 2 - at[axis]) / (this.size[axis] * next);
      });
      this.scale = next;
      this.fitted = false;
      this.#draw();
    }

    // Moves the window over the picture by so many pixels of the screen.
    move(x, y) {
      this.centre = [x, y].map((by, axis) => this.centre[axis] + by / (this.size[axis] * this.scale));
      this.#draw();
    }

    stride(x, y) {
      this.move(x * STRIDE, y * STRIDE);
    }

    // Moves the cross by pixels of the picture, from its middle if there is none.
    step(x, y) {
      const pixel = this.size.map((side, axis) =>
        between(0, Math.floor((this.place?.[axis] ?? 0.5) * side) + [x, y][axis], side - 1));
      this.setPlace(pixel.map((at, axis) => (at + 0.5) / this.size[axis]));
    }

    setPlace(place) {
      this.place = place;
      this.#drawCross();
      this.pointed(place);
    }

    blend(opacities) {
      for (const { images } of this.panels) {
        if (images.length < 2) continue;
        images.forEach((image, index) => { image.style.opacity = opacities[index]; });
      }
    }

    #draw() {
      this.centre = this.centre.map((centre, axis) => {
        const half = this.window[axis] / 2 / (this.size[axis] * this.scale);
        return half >= 0.5 ? 0.5 : between(half, centre, 1 - half);
      });
      for (const { stack } of this.panels) {
        stack.style.width = `${this.size[0] * this.scale}px`;
        stack.style.height = `${this.size[1] * this.scale}px`;
        stack.style.transform = `translate(${this.#start(0)}px, ${this.#start(1)}px)`;
        stack.classList.toggle("crisp", this.crisp && this.scale > 1);
      }
      this.#drawCross();
      this.changed(this.scale);
    }

    #drawCross() {
      const place = this.places ? this.place : null;
      for (const { cross } of this.panels) {
        cross.hidden = !place;
        if (!place) continue;
        const [x, y] = place.map((part, axis) => {
          const pixel = Math.floor(part * this.size[axis]) + 0.5;
          return this.#start(axis) + pixel * this.scale;
        });
        cross.style.transform = `translate(${x}px, ${y}px)`;
      }
    }
  };
})();
