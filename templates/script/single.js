// On a page that is one file, a picture shown several times is a rule of the style sheet. Scripts
// that look at pictures find them as on any other page.
(() => {
  const found = new Map();
  for (const image of document.querySelectorAll("img[data-picture]:not(.bar)")) {
    const number = image.dataset.picture;
    if (!found.has(number)) {
      found.set(number, getComputedStyle(image).content.match(/^url\("(data:[^"]*)"\)/)?.[1]);
    }
    if (found.get(number)) image.src = found.get(number);
  }
})();
