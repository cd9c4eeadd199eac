// The name of the tile under the cursor.
for (const figure of document.querySelectorAll("figure.montage")) {
  const labels = [...figure.querySelectorAll(".labels li")].map((item) => item.textContent);
  const image = figure.querySelector("img");
  if (!labels.length || !image) continue;
  const columns = Math.max(1, Math.min(Number(figure.dataset.columns), Number(figure.dataset.tiles)));
  const rows = Math.ceil(Number(figure.dataset.tiles) / columns);
  image.addEventListener("mousemove", (event) => {
    const column = Math.floor((event.offsetX / image.clientWidth) * columns);
    const row = Math.floor((event.offsetY / image.clientHeight) * rows);
    image.title = labels[row * columns + column] ?? "";
  });
}
