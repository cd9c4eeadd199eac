// Contents: where one is, opened on narrow windows; and keys for figures, sections, top and help.
(() => {
  const nav = document.querySelector("nav.contents");
  const sections = [...document.querySelectorAll("main > section[id]")];

  // Of what is on the screen, the last that has begun is marked; if its link is folded, the nearest.
  function follow() {
    const links = new Map(
      [...nav.querySelectorAll(".contents-tree a")].map((link) => [link.hash.slice(1), link]),
    );
    const places = [...document.querySelectorAll("main > section[id], article.group[id]")]
      .filter((place) => links.has(place.id));
    const order = new Map(places.map((place, index) => [place, index]));
    const seen = new Set();
    let current = null;
    const show = () => {
      const last = [...seen].sort((a, b) => order.get(a) - order.get(b)).at(-1);
      let place = last;
      while (place && !(links.has(place.id) && reportgen.shown(links.get(place.id)))) {
        place = place.parentElement?.closest("article.group[id], main > section[id]");
      }
      const link = place ? links.get(place.id) : null;
      if (link === current) return;
      current?.removeAttribute("aria-current");
      current = link;
      if (!link) return;
      link.setAttribute("aria-current", "location");
      const tree = link.closest(".contents-tree");
      const [box, within] = [link.getBoundingClientRect(), tree.getBoundingClientRect()];
      if (box.top < within.top) tree.scrollTop -= within.top - box.top + 40;
      else if (box.bottom > within.bottom) tree.scrollTop += box.bottom - within.bottom + 40;
    };
    const watch = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) seen.add(target);
        else seen.delete(target);
      }
      if (seen.size) show();
    }, { rootMargin: "-15% 0px -80% 0px" });
    for (const place of places) watch.observe(place);
    nav.addEventListener("toggle", show, true);
  }

  function openOnNarrow() {
    const button = nav.querySelector(".contents-open");
    const toggle = (open) => {
      nav.classList.toggle("open", open);
      button.setAttribute("aria-expanded", String(open));
    };
    nav.classList.add("scripted");
    nav.querySelector(".contents-tree").id = "contents-tree";
    button.setAttribute("aria-controls", "contents-tree");
    toggle(false);
    button.addEventListener("click", (event) => {
      event.preventDefault();
      toggle(!nav.classList.contains("open"));
    });
    document.addEventListener("click", (event) => {
      if (!nav.contains(event.target) || event.target.closest(".contents-tree a")) toggle(false);
    });
    nav.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !nav.classList.contains("open")) return;
      toggle(false);
      button.focus();
    });
  }

  // To the first that begins below the top of the window, or the last above it, by halving: where
  // something far off is, costs a layout of what is around it.
  function step(elements, forward) {
    const shown = elements.filter(reportgen.shown);
    const edge = Number.parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop) || 0;
    const line = edge + (forward ? 8 : -8);
    let [from, to] = [0, shown.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (shown[middle].getBoundingClientRect().top > line) to = middle;
      else from = middle + 1;
    }
    shown[forward ? from : from - 1]?.scrollIntoView({ block: "start" });
  }

  function keyList() {
    const made = reportgen.element;
    const groups = {
      "On the page": [
        ["j", "k", "next, previous figure"],
        ["]", "[", "next, previous section"],
        ["/", "search for a layer, unit, class or image"],
        ["e", "enlarge the pictures of the card of a unit that has the focus"],
        ["t", "top of the page"],
        ["?", "this list"],
      ],
      "In an enlarged picture": [
        ["+", "−", "0", "zoom in, out, all of it; also Ctrl and wheel"],
        ["← ↑ → ↓", "move what is enlarged; else next, previous picture"],
        ["j", "k", "next, previous picture of the section"],
        ["Shift ←…", "move the cross by a pixel and hear its value"],
        ["Esc", "close"],
      ],
    };
    const title = made("h2", { id: "keys-title", textContent: "Keys" });
    const close = made("button", { type: "button", textContent: "Close" });
    const lists = Object.entries(groups).flatMap(([name, rows]) => [
      made("h3", { textContent: name }),
      made("dl", {}, ...rows.map((row) => made("div", {},
        made("dt", {}, ...row.slice(0, -1).flatMap((key) => [made("kbd", { textContent: key }), " "])),
        made("dd", { textContent: row.at(-1) }),
      ))),
    ]);
    const dialog = made("dialog", { className: "keys-dialog" }, title, ...lists, close);
    dialog.setAttribute("aria-labelledby", title.id);
    close.addEventListener("click", () => dialog.close());
    document.body.append(dialog);
    return dialog;
  }

  let help = null;
  const showHelp = () => (help ??= keyList()).showModal();

  if (nav) {
    follow();
    openOnNarrow();
    const button = reportgen.element("button", { type: "button", className: "keys", textContent: "?" });
    button.setAttribute("aria-label", "Keys");
    button.addEventListener("click", showHelp);
    nav.querySelector(".contents-bar").append(button);
  }
  const figures = () => [...document.querySelectorAll("main figure")];
  const reactions = {
    j: () => step(figures(), true),
    k: () => step(figures(), false),
    "]": () => step(sections, true),
    "[": () => step(sections, false),
    J: () => step(sections, true),
    K: () => step(sections, false),
    t: () => scrollTo({ top: 0 }),
    "?": showHelp,
  };
  reportgen.onKey((event) => reactions[event.key]?.());
})();
