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

    function count() {
      return `${cards.filter((card) => !card.hidden).length} of ${cards.length} units`;
    }

    function apply() {
      const { key, words } = orders[sort.select.value];
      const sorted = cards.map((card) => [key(card), card]);
      sorted.sort(([first, one], [second, other]) =>
        (second - first || 0) || Number(one.dataset.unit) - Number(other.dataset.unit));
      for (const card of cards) card.hidden = !filters[show.select.value].keep(card);
      grid.append(...sorted.map(([, card]) => card));
      told.textContent = `${count()}, by ${words}`;
    }

    for (const { select } of [sort, show]) select.addEventListener("change", apply);
    // A link to a card that is filtered out shows all again.
    units.addEventListener("reveal", () => {
      show.select.value = "all";
      apply();
    });
    told.textContent = count();
    grid.before(reportgen.element(
      "div", { className: "unit-tools" }, sort.label, ...(any ? [show.label] : []), told,
    ));
  }

  for (const units of document.querySelectorAll(".units")) equip(units);
})();
