// Cards of units: sorted and filtered, layer by layer. Without this they stand in their order.
(() => {
  // Cards without the number come last; equal ones stay in the order of their units.
  const orders = {
    index: { words: "unit", key: (card) => -Number(card.dataset.unit) },
    activation: { words: "largest response", key: (card) => number(card.dataset.activation) },
    sparsity: { words: "sparsity", key: (card) => number(card.dataset.sparsity) },
    loss: { words: "score of the synthesised picture", key: (card) => number(card.dataset.loss) },
  };
  const marked = (kind) => (card) => card.querySelector(`.mark.${kind}`) !== null;
  const [dead, repeats] = [marked("dead"), marked("repeats")];
  const filters = {
    all: { words: "all", keep: () => true },
    fit: { words: "neither dead nor repeating", keep: (card) => !dead(card) && !repeats(card) },
    dead: { words: "dead only", keep: dead },
    repeats: { words: "repeating only", keep: repeats },
  };

  function number(text) {
    return text === undefined || text === "" ? -Infinity : Number(text);
  }

  function choice(name, options) {
    const select = reportgen.element("select");
    for (const [value, { words }] of Object.entries(options)) {
      select.append(reportgen.element("option", { value, textContent: words }));
    }
    return { select, label: reportgen.element("label", { textContent: name }, select) };
  }

  function equip(units) {
    const grid = units.querySelector(".unit-cards");
    const cards = [...grid.children];
    if (cards.length < 2) return;
    const has = (name) => cards.some((card) => card.dataset[name]);
    const sort = choice("Sort by", Object.fromEntries(
      Object.entries(orders).filter(([name]) => name === "index" || has(name)),
    ));
    const any = cards.some((card) => dead(card) || repeats(card));
    const show = choice("Show", any ? filters : { all: filters.all });
    const told = reportgen.element("span", { className: "unit-count" });
    told.setAttribute("role", "status");

    function apply(announce) {
      const { key, words } = orders[sort.select.value];
      const sorted = cards.map((card) => [key(card), card]);
      sorted.sort(([first, one], [second, other]) =>
        (second - first || 0) || Number(one.dataset.unit) - Number(other.dataset.unit));
      grid.append(...sorted.map(([, card]) => card));
      let shown = 0;
      for (const card of cards) {
        card.hidden = !filters[show.select.value].keep(card);
        shown += card.hidden ? 0 : 1;
      }
      told.textContent = `${shown} of ${cards.length} units${announce ? `, by ${words}` : ""}`;
    }

    for (const { select } of [sort, show]) select.addEventListener("change", () => apply(true));
    // A link to a card that is filtered out shows all again.
    units.addEventListener("reveal", () => {
      show.select.value = "all";
      apply(true);
    });
    apply(false);
    grid.before(reportgen.element(
      "div", { className: "unit-tools" }, sort.label, ...(any ? [show.label] : []), told,
    ));
  }

  // The card that the address names, by its id or as layer=conv2&unit=17.
  function addressed() {
    const named = new URLSearchParams(location.hash.slice(1));
    const cards = [...document.querySelectorAll("article.unit")];
    return document.querySelector("article.unit:target") ?? cards.find(
      (card) => card.dataset.layer === named.get("layer") && card.dataset.unit === named.get("unit"),
    );
  }

  for (const units of document.querySelectorAll(".units")) equip(units);
  addEventListener("hashchange", () => {
    const card = addressed();
    if (!card?.matches("article.unit[hidden]")) return;
    card.closest(".units").dispatchEvent(new Event("reveal"));
    card.scrollIntoView();
  });
})();
