// What the other scripts share, which come after it in one file. The page is complete without them.
"use strict";

const reportgen = {
  store: {
    get(key) { try { return localStorage.getItem(key); } catch { return null; } },
    set(key, value) { try { localStorage.setItem(key, value); } catch { /* private window */ } },
  },

  values: {}, // raw values of pictures by the path of their script

  element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  },

  // Neither filtered out nor folded away. The page is not laid out for it, as of thousands of
  // pictures that would take seconds.
  shown: (element) => !element.closest("[hidden], details:not([open])"),

  // Keys that are pressed outside of fields and dialogs, without Ctrl, Alt or the command key.
  onKey(react) {
    document.addEventListener("keydown", (event) => {
      const field = event.target.closest?.("input, select, textarea");
      if (field || document.querySelector("dialog[open]") || event.metaKey || event.ctrlKey || event.altKey) return;
      react(event);
    });
  },
};
