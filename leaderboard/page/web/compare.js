/* Shared parts of the charts of all predictors, and the chart of test against held-out scores. */
const compared = of =>
  of.rows.filter(r => !r.failure && (matches(r) || r.predictor === view.predictor));
const nothing = (id, text) => void $(id).replaceChildren(make("p", { class: "soft" }, text));

function leftOut(holder, names) {
  if (names.length)
    holder.append(
      make("p", { class: "key" }, `Not drawn (constant or out of range): ${names.join(", ")}`),
    );
}

/* Adds as many labels beside points as fit without overlap; earlier points come first. */
function placeLabels(svg, points, box) {
  const taken = points.map(p => [p.x - 4, p.y - 4, p.x + 4, p.y + 4]);
  const free = ([l, t, r, b]) =>
    l >= box.left &&
    r <= box.right &&
    t >= 0 &&
    taken.every(o => r < o[0] || l > o[2] || b < o[1] || t > o[3]);
  for (const p of points) {
    const wide = p.text.length * 6.6;
    const spots = [
      ["start", p.x + 8, p.y + 4],
      ["end", p.x - 8, p.y + 4],
      ["middle", p.x, p.y - 9],
      ["middle", p.x, p.y + 17],
    ];
    for (const [kind, x, y] of spots) {
      const left = { start: x, end: x - wide, middle: x - wide / 2 }[kind],
        frame = [left, y - 10, left + wide, y + 2];
      if (!free(frame)) continue;
      taken.push(frame);
      svg.append(make("text", { x, y, class: `${kind} ${p.strong ? "strong" : ""}` }, p.text));
      break;
    }
  }
}

function drawTransfer() {
  const metric = view.metric;
  const all = compared(task())
    .map(r => ({ r, test: score(r, "test", metric), held: score(r, "heldout", metric) }))
    .filter(p => p.test[0] != null && p.held[0] != null);
  const off = p =>
    p.r.predictor !== view.predictor && (isExtreme(metric, p.test[0]) || isExtreme(metric, p.held[0]));
  const shown = all.filter(p => !off(p));
  if (!shown.length) return nothing("transfer", "No predictor has this score on both splits.");
  const [svg, width] = canvas(
    $("transfer"),
    400,
    `${label(metric)} on held-out skeletons against ${label(metric)} on test, ${shown.length} predictors`,
  );
  const ends = spread(
    shown
      .flatMap(p => [p.test, p.held].flatMap(s => withoutExtremes(metric, s.slice(0, 3))))
      .filter(v => v != null),
    0.04,
  );
  const box = { left: 46, right: width - 8, top: 26, bottom: 350 },
    [x, y] = square(svg, box, ends, ["test", "held out"]);
  const points = shown.map(p => ({
    ...p,
    x: x(clamp(p.test[0], ends)),
    y: y(clamp(p.held[0], ends)),
    text: p.r.predictor,
    predictor: p.r.predictor,
    strong: p.r.predictor === view.predictor,
  }));
  points.sort((a, b) => b.strong - a.strong);
  for (const p of [...points].reverse()) svg.append(cross(p, x, y, ends));
  placeLabels(svg, points, { left: box.left, right: width });
  naming(
    svg,
    width,
    points,
    p => `: ${figure(p.test[0], metric)} test, ${figure(p.held[0], metric)} held out`,
  );
  leftOut(
    $("transfer"),
    all.filter(off).map(p => p.r.predictor),
  );
}

function cross(p, x, y, ends) {
  const at = (v, to) => to(clamp(v, ends)),
    group = make("g", { class: p.strong ? "one" : "other" });
  if (p.test[1] != null)
    group.append(
      make("line", {
        class: "whisker",
        x1: at(p.test[1], x),
        x2: at(p.test[2], x),
        y1: p.y,
        y2: p.y,
      }),
    );
  if (p.held[1] != null)
    group.append(
      make("line", {
        class: "whisker",
        x1: p.x,
        x2: p.x,
        y1: at(p.held[1], y),
        y2: at(p.held[2], y),
      }),
    );
  group.append(make("circle", { class: "mark", cx: p.x, cy: p.y, r: p.strong ? 5 : 3.5 }));
  return group;
}

/* A label that follows the pointer within the chart. */
function tooltip(svg, width) {
  const back = make("rect", { class: "tip", rx: 4, height: 24 }),
    text = make("text", { class: "strong" });
  const group = make("g", { class: "floating", visibility: "hidden" }, back, text);
  svg.append(group);
  return (at, words) => {
    group.setAttribute("visibility", at ? "visible" : "hidden");
    if (!at) return;
    text.textContent = words;
    const wide = text.getComputedTextLength() + 16,
      left = clamp(at[0] - wide / 2, [0, width - wide]),
      top = at[1] < 50 ? at[1] + 14 : at[1] - 38;
    back.setAttribute("x", left);
    back.setAttribute("y", top);
    back.setAttribute("width", wide);
    text.setAttribute("x", left + 8);
    text.setAttribute("y", top + 16);
    svg.append(group);
  };
}

/* Shows the name of the predictor at the pointer, and `text` of its point; a click chooses it. */
function naming(svg, width, points, text) {
  const tip = tooltip(svg, width);
  pointing(
    svg,
    width,
    points,
    p => tip(p && [p.x, p.y], p && `${p.predictor}${text(p)}`),
    p => p && go({ predictor: p.predictor }),
  );
}
