// Adds a filter, a theme switch, tile names and keys; the page is complete without it.
"use strict";

(() => {
  const root = document.documentElement;

  const store = {
    get(key) { try { return localStorage.getItem(key); } catch { return null; } },
    set(key, value) { try { localStorage.setItem(key, value); } catch { /* private window */ } },
  };

  const element = (tag, properties = {}) => Object.assign(document.createElement(tag), properties);

  function applyTheme(theme) {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
  }

  function addThemeSwitch(head) {
    const themes = ["auto", "light", "dark"];
    const saved = store.get("reportgen-theme");
    let theme = themes.includes(saved) ? saved : "auto";
    const button = element("button", { type: "button", className: "theme" });
    const show = () => {
      applyTheme(theme);
      button.textContent = `Theme: ${theme}`;
    };
    button.addEventListener("click", () => {
      theme = themes[(themes.indexOf(theme) + 1) % themes.length];
      store.set("reportgen-theme", theme);
      show();
    });
    show();
    head.append(button);
  }

  function addFilter(nav) {
    const field = element("input", {
      type: "search", placeholder: "Filter (press /)", className: "filter",
    });
    field.setAttribute("aria-label", "Filter the contents");
    field.addEventListener("input", () => {
      const wanted = field.value.trim().toLowerCase();
      for (const item of nav.querySelectorAll("li")) {
        item.hidden = wanted !== "" && !item.textContent.toLowerCase().includes(wanted);
      }
    });
    nav.querySelector(".nav-title").after(field);
    return field;
  }

  function nameTiles(figure) {
    const labels = [...figure.querySelectorAll(".labels li")].map((item) => item.textContent);
    const image = figure.querySelector("img");
    if (!labels.length || !image) return;
    const columns = Math.max(1, Math.min(Number(figure.dataset.columns), Number(figure.dataset.tiles)));
    const rows = Math.ceil(Number(figure.dataset.tiles) / columns);
    image.addEventListener("mousemove", (event) => {
      const column = Math.floor((event.offsetX / image.clientWidth) * columns);
      const row = Math.floor((event.offsetY / image.clientHeight) * rows);
      image.title = labels[row * columns + column] ?? "";
    });
  }

  function stepFigures(step) {
    const figures = [...document.querySelectorAll("figure")];
    const tops = figures.map((figure) => figure.getBoundingClientRect().top);
    const next = step > 0 ? tops.findIndex((top) => top > 24) : tops.findLastIndex((top) => top < 0);
    if (next >= 0) figures[next].scrollIntoView({ block: "start" });
  }

  const head = document.querySelector(".page-head");
  if (head) addThemeSwitch(head);
  const nav = document.querySelector(".contents-wide");
  const field = nav ? addFilter(nav) : null;
  document.querySelectorAll("figure.montage").forEach(nameTiles);

  document.addEventListener("keydown", (event) => {
    if (event.target instanceof HTMLInputElement || event.metaKey || event.ctrlKey || event.altKey) return;
    if (event.key === "/" && field && field.offsetParent) {
      event.preventDefault();
      field.focus();
    } else if (event.key === "j") stepFigures(1);
    else if (event.key === "k") stepFigures(-1);
  });
})();
