/* The chart of score against observed epochs: one line per predictor, with its name at the end. */
function series(tasks) {
  const line = ({ predictor }) => ({
    name: predictor,
    chosen: predictor === view.predictor,
    points: tasks
      .map(t => [t.observed, rowOf(t, predictor)])
      .filter(([, r]) => r && !r.failure)
      .map(([k, r]) => [k, score(r, view.stratum, view.metric)])
      .filter(([, s]) => s[0] != null),
  });
  return compared().map(line).filter(line => line.points.length);
}

function drawLines(tasks) {
  const ks = tasks.map(t => t.observed),
    metric = view.metric,
    all = series(tasks);
  const useless = l =>
    !l.chosen &&
    l.points.every(([, s]) => isExtreme(metric, s[0]) || (metric === "tau" && s[0] === 0));
  const lines = all.filter(l => !useless(l)).sort((a, b) => a.chosen - b.chosen);
  if (!lines.length) return nothing("lines", "No predictor has this score.");
  const [svg, width] = canvas(
    $("lines"), 420, `${label(metric)} against observed epochs, ${lines.length} predictors`,
  );
  const narrow = width < 430,
    box = { left: 46, right: width - (narrow ? 112 : 150), top: 26, bottom: 370 };
  const drawn = l =>
    l.points.flatMap(([, s]) => withoutExtremes(metric, s.slice(0, l.chosen ? 3 : 1)));
  const before = tasks.find(t => t.observed === 0),
    limit = before && ceiling(view.stratum, metric, before)[0];
  const ends = spread([...lines.flatMap(drawn), limit], 0.03);
  const x = scale(Math.min(...ks), Math.max(...ks, ks[0] + 1), box.left + 14, box.right - 14),
    straight = scale(...ends, box.bottom, box.top),
    y = v => straight(clamp(v, ends));
  axes(svg, box, {
    x, y, xs: { at: ks, text: String }, ys: ticks(...ends, 6),
    names: ["observed epochs", label(metric)],
  });
  const labels = lines.map(l => drawLine(svg, l, x, y));
  if (limit != null) drawLimit(svg, x(0), y(limit));
  endLabels(svg, labels.sort((a, b) => a.y - b.y), box, narrow ? 15 : 21);
  const points = labels.flatMap(l =>
    l.at.map(([x, y, s, k]) => ({ x, y, predictor: l.name, s, k })),
  );
  naming(svg, width, points, p => `, ${moment(p.k)}: ${figure(p.s[0], metric)}`);
  note($("lines"), "Not drawn, constant or out of range", all.filter(useless).map(l => l.name));
}

function drawLimit(svg, x, y) {
  svg.append(
    make("line", { class: "limit", x1: x - 12, x2: x + 12, y1: y, y2: y }),
    make("text", { x: x + 16, y: y + 4, class: "start" }, "ceiling"),
  );
}

/* Draws a line through its points; the interval only of the highlighted one, as they overlap. */
function drawLine(svg, line, x, y, colour = view.stratum === "test" ? "test" : "held") {
  const at = line.points.map(([k, s]) => [x(k), y(s[0]), s, k]);
  const kind = line.chosen ? `one ${colour}` : "other";
  const group = make("g", { class: kind }, make("path", { class: "line", d: path(at) }));
  for (const [px, py, s] of at) {
    if (line.chosen && s[1] != null)
      group.append(make("line", { class: "whisker", x1: px, x2: px, y1: y(s[1]), y2: y(s[2]) }));
    group.append(make("circle", { class: "mark", cx: px, cy: py, r: line.chosen ? 4 : 2.4 }));
  }
  svg.append(group);
  return { ...line, at, x: last(at)[0], y: last(at)[1] };
}

/* Names at the ends of lines, from the top of the chart to its bottom and never below. A click
   chooses one as `key` of the view. */
function endLabels(svg, labels, box, letters, key = "predictor") {
  const room = Math.min(15, (box.bottom - box.top) / labels.length);
  let floor = -Infinity,
    roof = box.bottom - 2;
  for (const l of labels) {
    l.at_y = Math.max(l.y, floor + room);
    floor = l.at_y;
  }
  for (const l of [...labels].reverse()) {
    l.at_y = Math.min(l.at_y, roof);
    roof = l.at_y - room;
  }
  for (const l of labels)
    svg.append(
      make("path", { class: "leader", d: `M${l.x + 7} ${l.y}L${box.right + 2} ${l.at_y}` }),
      make(
        "text",
        {
          x: box.right + 6, y: l.at_y + 4, class: l.chosen ? "strong pressed" : "pressed",
          onclick: () => go({ [key]: l.name }),
        },
        shortened(l.name, letters),
      ),
    );
}
