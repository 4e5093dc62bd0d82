/* The charts of one point per predictor: test against held-out scores, and score against cost. */
const nothing = (id, text) => void $(id).replaceChildren(make("p", { class: "soft" }, text));

/* Draws points with whiskers and names; `axis` makes the axes and returns the two scales. */
function drawPoints(id, all, { title, axis, text, missing }) {
  const metric = view.metric,
    strong = p => p.r.predictor === view.predictor;
  const off = p => !strong(p) && [p.test, p.held].some(s => s && isExtreme(metric, s[0]));
  const shown = all.filter(p => !off(p));
  if (!shown.length) return nothing(id, missing);
  const [svg, width] = canvas($(id), 420, `${title}, ${shown.length} predictors`);
  const box = { left: 46, right: width - 8, top: 26, bottom: 370 },
    scales = axis(svg, box, shown);
  const points = shown.map(p => ({
    x: scales[0](p.across), y: scales[1](p.up), text: p.r.predictor, predictor: p.r.predictor,
    strong: strong(p), p,
  }));
  points.sort((a, b) => b.strong - a.strong);
  for (const at of [...points].reverse()) svg.append(cross(at, ...scales));
  const unnamed = placeLabels(svg, points, box);
  naming(svg, width, points, at => text(at.p));
  note($(id), "Point at a dot to see its name; no room for the names of", unnamed.map(p => p.text));
  note($(id), "Not drawn, out of range", all.filter(off).map(p => p.r.predictor));
}

/* A point; with its intervals if it is the highlighted one: those of all would hide names. */
function cross(at, x, y) {
  const group = make("g", { class: at.strong ? "one" : "other" }),
    { sideways, upright } = at.p;
  const line = ends => make("line", { class: "whisker", ...ends });
  if (at.strong && sideways?.[1] != null)
    group.append(line({ x1: x(sideways[1]), x2: x(sideways[2]), y1: at.y, y2: at.y }));
  if (at.strong && upright?.[1] != null)
    group.append(line({ x1: at.x, x2: at.x, y1: y(upright[1]), y2: y(upright[2]) }));
  group.append(make("circle", { class: "mark", cx: at.x, cy: at.y, r: at.strong ? 5 : 3.5 }));
  return group;
}

function drawTransfer() {
  const metric = view.metric;
  const all = compared()
    .map(r => ({ r, test: score(r, "test", metric), held: score(r, "heldout", metric) }))
    .filter(p => p.test[0] != null && p.held[0] != null)
    .map(p => ({ ...p, across: p.test[0], up: p.held[0], sideways: p.test, upright: p.held }));
  drawPoints("transfer", all, {
    title: `${label(metric)} on held-out skeletons against ${label(metric)} on test`,
    missing: "No predictor has this score on both splits.",
    text: p => `: ${figure(p.test[0], metric)} test, ${figure(p.held[0], metric)} held out`,
    axis: (svg, box, shown) => {
      const scores = shown.flatMap(p => [p.test, p.held]);
      const ends = spread(scores.flatMap(s => withoutExtremes(metric, s.slice(0, 3))), 0.04);
      const scales = square(svg, box, ends, ["test", "held out"]);
      return scales.map(to => v => to(clamp(v, ends)));
    },
  });
}

function drawCost() {
  const metric = view.metric,
    rows = compared().filter(r => score(r, "test", metric)[0] != null);
  const timed = rows.filter(r => r.fit != null),
    least = 0.01; // seconds; less is drawn here
  const all = timed.map(r => {
    const test = score(r, "test", metric);
    return { r, test, across: Math.max(least, r.fit + r.predict), up: test[0], upright: test };
  });
  drawPoints("cost", all, {
    title: `${label(metric)} on test against seconds to fit and predict`,
    missing: "No predictor has this score and a measured time.",
    text: p => `: ${figure(p.up, metric)}, ${seconds(p.r.fit + p.r.predict)} s`,
    axis: (svg, box, shown) => {
      const ends = spread(shown.flatMap(p => withoutExtremes(metric, p.test.slice(0, 3))), 0.04);
      const powers = shown.map(p => Math.log10(p.across));
      const [from, to] = [Math.floor(Math.min(...powers)), Math.ceil(Math.max(...powers) + 0.01)];
      const log = scale(from - 0.1, to, box.left, box.right),
        x = v => log(Math.log10(v)),
        straight = scale(...ends, box.bottom, box.top),
        y = v => straight(clamp(v, ends));
      const at = Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i));
      const xs = { at, text: v => (v < 1 ? `${Number(v.toFixed(4))}` : count(v)) };
      const names = ["seconds to fit and predict, logarithmic", `${label(metric)}, test`];
      axes(svg, box, { x, y, xs, ys: ticks(...ends), names });
      return [x, y];
    },
  });
  note($("cost"), "Time not reported", rows.filter(r => r.fit == null).map(r => r.predictor));
}
