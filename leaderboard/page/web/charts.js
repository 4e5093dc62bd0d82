/* Shared parts of the charts: scales, axes and marks. The table holds the same numbers as text. */
const scale = (from, to, low, high) => v => low + ((v - from) / (to - from || 1)) * (high - low);
const clamp = (v, [low, high]) => Math.min(high, Math.max(low, v));
const least = (list, of) => list.reduce((a, b) => (of(b) < of(a) ? b : a));

/* At most `wanted` round numbers between two, but at least three. */
function ticks(from, to, wanted = 5) {
  const power = 10 ** Math.floor(Math.log10((to - from || 1) / wanted));
  const inside = step => Math.floor(to / step + 1e-9) - Math.ceil(from / step - 1e-9) + 1;
  const steps = [10, 5, 2, 1, 0.5, 0.2].map(m => m * power).filter(s => inside(s) >= 3);
  const step = steps.reduce((a, b) => (inside(b) <= wanted ? b : a));
  const first = Math.ceil(from / step - 1e-9);
  const at = Array.from({ length: inside(step) }, (_, i) => (first + i) * step);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return { at, text: v => signed(v.toFixed(digits)) };
}

function spread(values, room = 0.06) {
  const known = values.filter(v => v != null);
  if (!known.length) return [0, 1]; // all are extreme
  const low = Math.min(...known),
    high = Math.max(...known),
    pad = (high - low || 0.1) * room;
  return [low - pad, high + pad];
}

/* Extreme values would flatten all others, so they do not extend the scale; they are drawn at its
   edge. */
const isExtreme = (metric, v) =>
  v != null &&
  (metric.includes("r2") ? v < -1 : metric.includes("mse") ? v > 0.25 : metric === "nll" && v > 5);
const withoutExtremes = (metric, values) =>
  isExtreme(metric, values[0]) ? [] : values.map(v => (isExtreme(metric, v) ? null : v));

function canvas(holder, height, label) {
  const width = Math.max(280, holder.clientWidth);
  const svg = make("svg", {
    viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label,
  });
  holder.replaceChildren(svg);
  return [svg, width];
}

function axes(svg, box, { x, y, xs, ys, names }) {
  for (const v of ys.at)
    svg.append(
      make("line", { class: "grid", x1: box.left, x2: box.right, y1: y(v), y2: y(v) }),
      make("text", { x: box.left - 8, y: y(v) + 4, class: "end" }, ys.text(v)),
    );
  svg.append(
    make("line", { class: "axis", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }),
  );
  for (const v of xs.at)
    svg.append(
      make("line", { class: "axis", x1: x(v), x2: x(v), y1: box.bottom, y2: box.bottom + 4 }),
      make("text", { x: x(v), y: box.bottom + 18, class: "middle" }, xs.text(v)),
    );
  svg.append(
    make("text", { x: box.right, y: box.bottom + 37, class: "end" }, names[0]),
    make("text", { x: 0, y: 11 }, names[1]),
  );
}

/* Axes with the same scale in both directions, and the diagonal. */
function square(svg, box, ends, names) {
  const marks = ticks(...ends),
    x = scale(...ends, box.left, box.right),
    y = scale(...ends, box.bottom, box.top);
  axes(svg, box, { x, y, xs: marks, ys: marks, names });
  const [x1, x2] = ends.map(x),
    [y1, y2] = ends.map(y);
  svg.append(make("line", { class: "limit", x1, x2, y1, y2 }));
  return [x, y];
}

const path = points =>
  points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
const diamond = (x, y, r) => `M${x} ${y - r}L${x + r} ${y}L${x} ${y + r}L${x - r} ${y}Z`;
const mark = (held, x, y, r, extra = {}) =>
  held
    ? make("path", { d: diamond(x, y, r * 1.35), class: "mark held", ...extra })
    : make("circle", { cx: x, cy: y, r, class: "mark test", ...extra });

function whisker(x, y, score, held) {
  const line =
    score[1] == null
      ? null
      : make("line", {
          x1: x(score[1]),
          x2: x(score[2]),
          y1: y,
          y2: y,
          class: `whisker ${held ? "held" : "test"}`,
        });
  return [line, mark(held, x(score[0]), y, 3.2)].filter(Boolean);
}

/* Calls `pick` with the point near the pointer, or null; `keep` likewise when it is clicked. */
function pointing(svg, width, points, pick, keep) {
  const nearest = event => {
    const frame = svg.getBoundingClientRect(),
      zoom = width / frame.width;
    const at = [(event.clientX - frame.left) * zoom, (event.clientY - frame.top) * zoom];
    const distance = p => Math.hypot(p.x - at[0], p.y - at[1]);
    const best = points.length ? least(points, distance) : null;
    return best && distance(best) < 28 ? best : null;
  };
  svg.addEventListener("pointermove", event => {
    if (event.pointerType === "mouse") pick(nearest(event));
  });
  svg.addEventListener("pointerleave", () => pick(null));
  svg.addEventListener("click", event => keep(nearest(event)));
}
