// What a link leads to is opened and marked, also that of a layer or a unit: #layer=conv2&unit=17.
(() => {
  let marked = null;

  function decoded(text) {
    try { return decodeURIComponent(text); } catch { return text; }
  }

  function wanted(fragment) {
    if (!fragment.startsWith("layer=")) return document.getElementById(decoded(fragment));
    const named = Object.fromEntries(fragment.split("&").map((part) => {
      const [key, ...value] = part.split("=");
      return [key, decoded(value.join("="))];
    }));
    const layer = `[data-layer="${CSS.escape(named.layer)}"]`;
    const unit = "unit" in named ? `[data-unit="${CSS.escape(named.unit)}"]` : null;
    return (unit && document.querySelector(layer + unit))
      || document.querySelector(`${layer}:not([data-unit])`) || document.querySelector(layer);
  }

  // Opens whatever an element is folded into, scrolls to it and marks it for a while. Filters that
  // have hidden it hear "reveal" first.
  reportgen.reveal = (element) => {
    element.dispatchEvent(new Event("reveal", { bubbles: true }));
    for (let holder = element; holder; holder = holder.parentElement) {
      if (holder !== element && holder.localName === "details") holder.open = true;
      if (holder.hidden) holder.hidden = false;
    }
    element.scrollIntoView({ block: "start" });
    // Again when what is above it has been laid out: far off, heights are estimates.
    requestAnimationFrame(() => element.scrollIntoView({ block: "start" }));
    if (!element.matches("a[href], button, input, summary, [tabindex]")) element.tabIndex = -1;
    element.focus({ preventScroll: true });
    clearTimeout(marked?.timer);
    marked?.element.classList.remove("arrived");
    element.classList.add("arrived");
    marked = { element, timer: setTimeout(() => element.classList.remove("arrived"), 2500) };
  };

  function follow() {
    const fragment = location.hash.slice(1);
    const element = fragment ? wanted(fragment) : null;
    if (!element || element.closest("nav")) return;
    if (element.matches("main > section, .page-head")) element.scrollIntoView({ block: "start" });
    else reportgen.reveal(element);
  }

  addEventListener("hashchange", follow);
  // Pictures that are still without a size would push the target away again.
  if (document.readyState === "complete") follow();
  else addEventListener("load", follow);
})();
