// The name of the tile under the cursor.
for (const link of document.querySelectorAll("figure.montage a.zoom[data-grid]")) {
  const names = reportgen.tileNames(link);
  const image = link.querySelector("img");
  if (!names.length || !image) continue;
  image.addEventListener("mousemove", (event) => {
    const [across, down] = [event.offsetX / image.clientWidth, event.offsetY / image.clientHeight];
    image.title = names[reportgen.place(link, across, down)?.tile] ?? "";
  });
}
