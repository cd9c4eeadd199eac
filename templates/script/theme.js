// A switch between the system's theme, light and dark, kept for the next page.
(() => {
  const head = document.querySelector(".page-head");
  if (!head) return;
  const themes = ["auto", "light", "dark"];
  const saved = reportgen.store.get("reportgen-theme");
  let theme = themes.includes(saved) ? saved : "auto";
  const button = reportgen.element("button", { type: "button", className: "theme" });
  const show = () => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    reportgen.store.set("reportgen-theme", theme);
    show();
  });
  show();
  head.append(button);
})();
