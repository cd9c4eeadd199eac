// A filter of the contents, and keys: / to the filter, j and k to the next and previous figure.
(() => {
  function addFilter(nav) {
    const field = reportgen.element("input", {
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

  function stepFigures(step) {
    const figures = [...document.querySelectorAll("figure")];
    const tops = figures.map((figure) => figure.getBoundingClientRect().top);
    const next = step > 0 ? tops.findIndex((top) => top > 24) : tops.findLastIndex((top) => top < 0);
    if (next >= 0) figures[next].scrollIntoView({ block: "start" });
  }

  const nav = document.querySelector(".contents-wide");
  const field = nav ? addFilter(nav) : null;
  reportgen.onKey((event) => {
    if (event.key === "/" && field && field.offsetParent) {
      event.preventDefault();
      field.focus();
    } else if (event.key === "j") stepFigures(1);
    else if (event.key === "k") stepFigures(-1);
  });
})();
