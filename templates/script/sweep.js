// A sweep's page: its table sorted by any column, and two of its jobs side by side.
(() => {
  const page = document.querySelector("main.sweep");
  if (!page) return;
  const { element } = reportgen;
  const table = page.querySelector(".sortable");
  const heads = [...table.tHead.rows[0].cells];
  const names = heads.map((head) => head.textContent);
  const rows = [...table.tBodies[0].rows]; // in the jobs' order
  const rowOf = (job) => rows.find((row) => row.dataset.job === job);

  // Headers of rows stay in sight below those of columns, however tall these are.
  const matrix = page.querySelector(".matrix");
  const measure = () => matrix.style.setProperty("--head", `${matrix.tHead.offsetHeight}px`);
  window.addEventListener("resize", measure);
  measure();

  // Sorting. Numbers are compared unrounded; what has none comes last, whichever way.
  const collator = new Intl.Collator("en", { numeric: true });

  function numberOf(cell) {
    const text = cell.dataset.value ?? cell.textContent;
    return text.trim() === "" ? NaN : Number(text);
  }

  function sortBy(column, direction) {
    const numbers = rows.map((row) => numberOf(row.cells[column]));
    const measured = heads[column].classList.contains("number") || !numbers.some(Number.isNaN);
    const order = rows.map((row, place) => ({ row, number: numbers[place] }));
    if (direction) {
      order.sort((a, b) => {
        if (!measured) {
          const [first, second] = [a, b].map((one) => one.row.cells[column].textContent);
          return direction * collator.compare(first, second);
        }
        const [last, other] = [a, b].map((one) => Number.isNaN(one.number));
        if (last || other) return last - other;
        return a.number === b.number ? 0 : direction * (a.number < b.number ? -1 : 1);
      });
    }
    table.tBodies[0].append(...order.map((one) => one.row));
  }

  heads.forEach((head, column) => {
    const button = element("button", { type: "button" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: "" }[head.ariaSort] ?? "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      if (next) head.setAttribute("aria-sort", next);
      sortBy(column, { ascending: 1, descending: -1 }[next] ?? 0);
    });
  });

  // Choosing two jobs, in the matrix or in the table.
  let chosen = []; // the last one chosen comes last
  const boxes = [];
  const said = element("p", { role: "status" });
  const compare = element("button", {
    type: "button", className: "compare-button", textContent: "Compare",
  });
  const clear = element("button", {
    type: "button", className: "compare-button", textContent: "Clear",
  });
  const bar = element("div", { className: "compare-bar", hidden: true }, said, compare, clear);
  bar.setAttribute("role", "region");
  bar.setAttribute("aria-label", "Comparison");
  document.body.append(bar);

  function choose(jobs) {
    chosen = jobs.slice(-2);
    for (const box of boxes) box.checked = chosen.includes(box.value);
    bar.hidden = chosen.length === 0;
    compare.disabled = chosen.length < 2;
    said.textContent = chosen.length < 2
      ? `Job ${chosen[0]} is chosen; choose another.`
      : `Jobs ${chosen[0]} and ${chosen[1]} are chosen.`;
  }

  function madeBox(job, words) {
    const box = element("input", { type: "checkbox", value: job });
    box.setAttribute("aria-label", `Compare job ${job}`);
    box.addEventListener("change", () => {
      const others = chosen.filter((other) => other !== job);
      choose(box.checked ? [...others, job] : others);
    });
    boxes.push(box);
    return element("label", { className: "pick" }, box, words);
  }

  if (rows.length > 1) {
    for (const cell of page.querySelectorAll(".job")) {
      cell.querySelector(".job-text").append(madeBox(cell.dataset.job, "Compare"));
    }
    for (const row of rows) row.cells[0].prepend(madeBox(row.dataset.job, ""));
  }
  compare.addEventListener("click", () => { location.hash = `compare=${chosen.join(",")}`; });
  clear.addEventListener("click", () => choose([]));

  // Both side by side: what differs, and the two reports.
  const dialog = element("dialog", { className: "compare" });
  dialog.setAttribute("aria-labelledby", "compare-title");
  document.body.append(dialog);
  const reportOf = (job) => rowOf(job).cells[1].querySelector("a")?.getAttribute("href") ?? "";
  const cellOf = (job) => page.querySelector(`.job[data-job="${job}"]`);

  function rounded(size) {
    return Number.isInteger(size) ? size.toLocaleString("en") : String(Number(size.toPrecision(4)));
  }

  function difference(kind, first, second) {
    const change = second - first;
    if (!Number.isFinite(change)) return "";
    if (change === 0) return "the same";
    const sign = change > 0 ? "+" : "−";
    if (kind === "share") return `${sign}${rounded(Math.abs(100 * change))} points`;
    const relative = first ? ` (${sign}${rounded(Math.abs((100 * change) / first))} %)` : "";
    return `${sign}${rounded(Math.abs(change))}${relative}`;
  }

  function tableRow(name, cells, same) {
    const head = element("th", { scope: "row", textContent: name });
    const made = cells.map((cell) => element("td", {}, cell));
    return element("tr", { className: same ? "same" : "" }, head, ...made);
  }

  function compared(column, pair) {
    const cells = pair.map((job) => rowOf(job).cells[column]);
    const texts = cells.map((cell) => cell.textContent);
    const kind = heads[column].dataset.kind;
    if (kind !== "number" && kind !== "share") {
      const same = texts[0] === texts[1];
      return tableRow(names[column], [...texts, same ? "the same" : "differs"], same);
    }
    const exact = cells.map((cell) => cell.dataset.value ?? "");
    const shown = texts.map((text, side) => {
      const whole = exact[side] === "" || text.replaceAll(",", "") === exact[side];
      const full = whole ? "" : element("span", { className: "exact", textContent: exact[side] });
      return element("span", {}, text, " ", full);
    });
    const change = exact.includes("") ? "" : difference(kind, ...exact.map(Number));
    return tableRow(names[column], [...shown, change], change === "the same");
  }

  function pictures(pair) {
    const found = pair.map((job) => cellOf(job).querySelector(".thumb")?.cloneNode(true) ?? "–");
    return tableRow("picture", [...found, ""], false);
  }

  function differences(pair) {
    const titles = [...pair.map((job) => `Job ${job}`), "difference"];
    const head = element("tr", {}, element("td"), ...titles.map((textContent) => {
      return element("th", { scope: "col", textContent });
    }));
    const kinds = ["key", "outcome", "number", "share"];
    const columns = heads.map((_, column) => column)
      .filter((column) => kinds.includes(heads[column].dataset.kind));
    const body = columns.map((column) => compared(column, pair));
    const said = pair.map((job) => cellOf(job).querySelector(".message")?.textContent ?? "");
    if (said.some(Boolean)) body.push(tableRow("message", [...said, ""], false));
    const made = element("table", { className: "data compare-table" },
      element("thead", {}, head), element("tbody", {}, pictures(pair), ...body));
    const box = element("div", { className: "scroll", tabIndex: 0 }, made);
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "What differs");
    return box;
  }

  function framed(job) {
    const link = element("a", { href: reportOf(job), textContent: `Report ${job}` });
    const frame = element("iframe", { src: reportOf(job), title: `Report ${job}` });
    return element("figure", {}, element("figcaption", {}, link), frame);
  }

  // A page from a file may not look into another: there only the menu moves both.
  function scrollTogether(frames) {
    let leader = null;
    for (const [own, other] of [frames, [...frames].reverse()]) {
      own.addEventListener("load", () => {
        const inner = own.contentDocument;
        if (!inner) return;
        for (const name of ["wheel", "pointerdown", "touchstart", "keydown"]) {
          inner.addEventListener(name, () => { leader = own; }, { passive: true });
        }
        inner.addEventListener("scroll", () => {
          if (leader === own && other.contentDocument) follow(inner, other);
        });
      });
    }
  }

  function follow(inner, other) {
    const sections = [...inner.querySelectorAll("main > section[id]")];
    const current = sections.findLast((part) => part.getBoundingClientRect().top <= 1);
    const same = current && other.contentDocument.getElementById(current.id);
    if (!same) return;
    const [ours, theirs] = [current, same].map((part) => part.getBoundingClientRect());
    const down = theirs.top - (ours.top / ours.height) * theirs.height;
    other.contentWindow.scrollBy({ top: down, behavior: "instant" });
  }

  function menu(pair, frames) {
    const own = pair.map((job) => JSON.parse(rowOf(job).dataset.sections));
    const titles = { top: "Top", ...own[1], ...own[0] };
    const select = element("select", {}, ...Object.entries(titles).map(([value, textContent]) => {
      return element("option", { value, textContent });
    }));
    select.addEventListener("change", () => {
      frames.forEach((frame) => {
        const href = new URL(frame.getAttribute("src"), location.href);
        href.hash = select.value;
        frame.contentWindow.location.replace(href);
      });
    });
    return element("label", { className: "compare-where" }, "Show in both", select);
  }

  function reports(pair) {
    const there = pair.filter(reportOf);
    const figures = there.map(framed);
    const frames = figures.map((figure) => figure.querySelector("iframe"));
    if (frames.length === 2) scrollTogether(frames);
    const shown = element("div", { className: "compare-frames" }, ...figures);
    return frames.length ? [menu(there, frames), shown] : [];
  }

  function open(pair) {
    const title = element("h2", { id: "compare-title", textContent: `Jobs ${pair.join(" and ")}` });
    const close = element("button", {
      type: "button", className: "compare-button", textContent: "Close",
    });
    close.addEventListener("click", () => dialog.close());
    dialog.replaceChildren(
      element("div", { className: "compare-head" }, title, close),
      element("div", { className: "compare-body" }, differences(pair), ...reports(pair)),
    );
    if (!dialog.open) dialog.showModal();
  }

  dialog.addEventListener("close", () => {
    dialog.replaceChildren();
    if (location.hash.startsWith("#compare=")) {
      history.replaceState(null, "", location.href.split("#")[0]);
    }
  });

  function followLink() {
    const found = /^#compare=(\d+)(?:,|%2c)(\d+)$/i.exec(location.hash);
    if (!found) {
      if (dialog.open) dialog.close();
      return;
    }
    const pair = found.slice(1);
    const missing = pair.find((job) => !rowOf(job));
    if (missing === undefined) {
      choose(pair);
      open(pair);
    } else {
      choose([]);
      bar.hidden = false;
      said.textContent = `There is no job ${missing} in this sweep.`;
    }
  }
  window.addEventListener("hashchange", followLink);
  followLink();
})();
