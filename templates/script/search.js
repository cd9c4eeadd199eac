// Search by layer, unit, class, image or caption: a list of matches, of which Enter opens one.
(() => {
  const MOST = 40;
  const bar = document.querySelector(".contents-bar");
  if (!bar) return;
  const nav = bar.closest("nav");
  const made = reportgen.element;
  let entries = null;

  const text = (element) => element?.textContent.replace(/\s+/g, " ").trim() ?? "";

  // In the order of their worth: of two matches that are as good, what is found first comes first.
  function* everything() {
    const of = (element) => text(element.closest("main > section")?.querySelector("h2"));
    for (const section of document.querySelectorAll("main > section[id]")) {
      yield { name: text(section.querySelector("h2")), where: "section", element: section };
    }
    for (const card of document.querySelectorAll("[data-layer][data-unit]")) {
      const name = `${card.dataset.layer} · unit ${card.dataset.unit}`;
      yield { name, where: of(card), element: card };
    }
    for (const group of document.querySelectorAll("article.group:not([data-unit])")) {
      const [title, subtitle] = [".group-title", ":scope > .subtitle"].map((found) =>
        text(group.querySelector(found)));
      yield { name: title, where: [of(group), subtitle].filter(Boolean).join(" · "), element: group };
    }
    for (const item of document.querySelectorAll(".gallery:not(.comparison) .item")) {
      const about = [".item-subtitle", ".bar-label"].map((found) => text(item.querySelector(found)));
      const where = [of(item), ...about].filter(Boolean).join(" · ");
      yield { name: text(item.querySelector(".item-title")), where, element: item };
    }
    for (const figure of document.querySelectorAll("main figure[id]")) {
      yield { name: text(figure.querySelector(".caption-title")), where: of(figure), element: figure };
    }
    for (const tile of document.querySelectorAll("[data-layer] figure.montage .labels li")) {
      const { layer } = tile.closest("[data-layer]").dataset;
      const figure = tile.closest("figure");
      const where = `${of(tile)} · ${text(figure.querySelector(".caption-title"))}`;
      yield { name: `${layer} · ${text(tile)}`, where, element: figure };
    }
    for (const row of document.querySelectorAll("main table.data tbody tr")) {
      yield { name: text(row.cells[0]), where: `${of(row)} · table`, element: row };
    }
  }

  function indexed() {
    return [...everything()].filter(({ name }) => name).map((entry) => {
      const whole = `${entry.name} ${entry.where}`.toLowerCase();
      return { ...entry, whole, words: new Set(whole.split(/[^\p{L}\p{N}]+/u)) };
    });
  }

  function matches(query) {
    entries ??= indexed();
    const wanted = query.toLowerCase().split(/\s+/).filter(Boolean);
    const worth = ({ name, words }) =>
      wanted.filter((word) => words.has(word)).length + (name.toLowerCase() === query.toLowerCase());
    return entries
      .filter(({ whole }) => wanted.every((word) => whole.includes(word)))
      .map((entry) => ({ entry, worth: worth(entry) }))
      .sort((a, b) => b.worth - a.worth)
      .map(({ entry }) => entry);
  }

  const field = made("input", {
    type: "search", className: "search", placeholder: "Layer, unit, class, image", autocomplete: "off",
  });
  const list = made("ul", { id: "found", className: "found", hidden: true });
  const count = made("p", { className: "found-count", role: "status", hidden: true });
  const attributes = {
    role: "combobox", "aria-label": "Search the report (press /)", "aria-expanded": "false",
    "aria-controls": list.id, "aria-autocomplete": "list",
  };
  for (const [name, value] of Object.entries(attributes)) field.setAttribute(name, value);
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Matches");
  let found = [];
  let chosen = -1;

  function choose(index) {
    chosen = index;
    for (const [place, item] of [...list.children].entries()) {
      item.setAttribute("aria-selected", String(place === index));
    }
    const item = list.children[index];
    if (item) {
      field.setAttribute("aria-activedescendant", item.id);
      item.scrollIntoView({ block: "nearest" });
    } else field.removeAttribute("aria-activedescendant");
  }

  function show() {
    const query = field.value.trim();
    const all = query ? matches(query) : [];
    found = all.slice(0, MOST);
    list.replaceChildren(...found.map(({ name, where }, index) => {
      const item = made("li", { id: `found-${index}` }, name);
      if (where) item.append(made("span", { className: "found-where", textContent: where }));
      item.setAttribute("role", "option");
      return item;
    }));
    nav.classList.toggle("searching", query !== "");
    list.hidden = !found.length;
    count.hidden = query === "";
    const more = all.length > found.length ? `; the first ${found.length} are listed` : "";
    count.textContent = `${all.length || "No"} ${all.length === 1 ? "match" : "matches"}${more}`;
    field.setAttribute("aria-expanded", String(found.length > 0));
    choose(found.length ? 0 : -1);
  }

  function clear() {
    field.value = "";
    show();
  }

  function open(index) {
    const match = found[index];
    if (!match) return;
    clear();
    nav.classList.remove("open");
    if (match.element.id) history.pushState(null, "", `#${encodeURIComponent(match.element.id)}`);
    reportgen.reveal(match.element);
  }

  field.addEventListener("input", show);
  field.addEventListener("keydown", (event) => {
    const last = found.length - 1;
    if (event.key === "ArrowDown") choose(chosen < last ? chosen + 1 : 0);
    else if (event.key === "ArrowUp") choose(chosen > 0 ? chosen - 1 : last);
    else if (event.key === "Enter") open(chosen);
    else if (event.key === "Escape" && field.value) clear();
    else if (event.key === "Escape") field.blur();
    else return;
    event.preventDefault();
  });
  // Before the field loses its focus, which on a telephone would move the list away.
  list.addEventListener("pointerdown", (event) => event.preventDefault());
  list.addEventListener("click", (event) => {
    const item = event.target.closest("li");
    if (item) open([...list.children].indexOf(item));
  });
  bar.querySelector(".nav-title").after(field);
  bar.after(list);
  bar.after(count);
  reportgen.onKey((event) => {
    if (event.key !== "/") return;
    event.preventDefault();
    field.focus();
  });
})();
