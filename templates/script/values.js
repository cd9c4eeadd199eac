// Places in pictures, and the raw values there: scripts beside the page, read when first asked for.
(() => {
  const NOT_FINITE = ["NaN", "∞", "−∞"];
  const asked = new Map();

  function loaded(path) {
    if (reportgen.values[path]) return Promise.resolve(reportgen.values[path]);
    return new Promise((resolve) => {
      const script = reportgen.element("script", { src: path });
      script.addEventListener("load", () => resolve(reportgen.values[path] ?? null));
      script.addEventListener("error", () => resolve(null));
      document.head.append(script);
    });
  }

  async function inflated(text) {
    const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(plain).arrayBuffer());
  }

  // Differences from the value `back` places before, the high bytes of 16 bits before the low ones.
  async function unpacked(path) {
    const packed = await loaded(path);
    if (!packed) return null;
    const bytes = await inflated(packed.data);
    const wide = packed.bits === 16;
    const size = wide ? bytes.length / 2 : bytes.length;
    const codes = wide ? new Uint16Array(size) : bytes;
    for (let i = 0; i < size; i += 1) {
      const step = wide ? bytes[i] * 256 + bytes[size + i] : bytes[i];
      codes[i] = step + (i >= packed.back ? codes[i - packed.back] : 0); // typed arrays wrap
    }
    return { ...packed, codes };
  }

  // An array with its `codes`, or null where its file is not there.
  reportgen.unpacked = (path) => {
    if (!asked.has(path)) asked.set(path, unpacked(path));
    return asked.get(path);
  };

  // What is drawn at a place (0 to 1 of width and height): x and y, in a montage with its tile; null
  // between tiles.
  reportgen.place = (link, across, down) => {
    const [width, height] = link.dataset.native.split(" ").map(Number);
    const x = Math.min(width - 1, Math.max(0, Math.floor(across * width)));
    const y = Math.min(height - 1, Math.max(0, Math.floor(down * height)));
    if (!link.dataset.grid) return { x, y };
    const [columns, gap, near, high, wide, zoom, count] = link.dataset.grid.split(" ").map(Number);
    const [pitchX, pitchY] = [wide * zoom + gap, high * zoom + gap];
    const [column, row] = [Math.floor((x - near) / pitchX), Math.floor((y - near) / pitchY)];
    const inX = Math.floor((x - near - column * pitchX) / zoom);
    const inY = Math.floor((y - near - row * pitchY) / zoom);
    const tile = row * columns + column;
    const inside = column >= 0 && row >= 0 && column < columns && tile < count;
    return inside && inX < wide && inY < high ? { x: inX, y: inY, tile } : null;
  };

  // The names of a montage's tiles, if it has any.
  reportgen.tileNames = (link) =>
    [...(link.closest("figure")?.querySelectorAll(".labels li") ?? [])].map((li) => li.textContent);

  function index(array, { x, y, tile }) {
    const [high, wide] = array.shape.slice(tile === undefined ? 0 : 1);
    return ((tile ?? 0) * high + y) * wide + x;
  }

  function number(value, half, largest) {
    if (!Number.isFinite(largest) || (largest && (largest < 1e-3 || largest >= 1e7))) {
      return value.toExponential(3);
    }
    const decimals = half > 0 ? Math.ceil(-Math.log10(half) - 1e-9) : 4;
    return value.toFixed(Math.min(12, Math.max(0, decimals)));
  }

  // The value there (three in colour), and how far it may be off: "0.731 (to ±0.002)".
  reportgen.valueText = (array, place) => {
    const depth = array.shape.slice(place.tile === undefined ? 2 : 3).reduce((a, b) => a * b, 1);
    const first = index(array, place) * depth;
    const half = (array.high / 2 - array.low / 2) / array.steps;
    const largest = Math.max(Math.abs(array.low), Math.abs(array.high));
    const words = [...array.codes.subarray(first, first + depth)].map((code) => {
      if (code > array.steps) return NOT_FINITE[code - array.steps - 1];
      const part = code / array.steps;
      const value = array.low * (1 - part) + array.high * part;
      return array.exact ? String(Number(value.toPrecision(7))) : number(value, half, largest);
    });
    const certain = array.exact || half === 0 || words.every((word) => NOT_FINITE.includes(word));
    const off = certain ? "" : ` (to ±${half < 1e-3 ? half.toExponential(0) : Number(half.toPrecision(1))})`;
    return words.join(", ").replaceAll("-", "−") + off.replaceAll("e-", "e−");
  };
})();
