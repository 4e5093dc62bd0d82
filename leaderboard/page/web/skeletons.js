/* The chart of scores on each skeleton and on averages; intervals for the highlighted predictor. */
function drawSkeletons() {
  const metric = view.metric,
    rows = compared();
  const strata = [...strataOf("seen"), ...strataOf("heldout")].filter(name =>
    rows.some(r => score(r, name, metric)[0] != null),
  );
  if (!strata.length) return nothing("skeletons", "No predictor has this score on this task.");
  const step = 27,
    height = step * strata.length + 64;
  const [svg, width] = canvas(
    $("skeletons"), height,
    `${label(metric)} in each stratum, ${rows.length} predictors, ${view.predictor} highlighted`,
  );
  const narrow = width < 520,
    box = { left: narrow ? 118 : 168, right: width - 12, bottom: height - 46 };
  const mine = chosen().failure ? [] : [chosen()];
  const values = strata.flatMap(name => [
    ceiling(name, metric)[0],
    ...rows.flatMap(r => withoutExtremes(metric, score(r, name, metric).slice(0, 1))),
    ...mine.flatMap(r => withoutExtremes(metric, score(r, name, metric).slice(0, 3))),
  ]);
  const ends = spread(values, 0.03),
    scaleX = scale(...ends, box.left, box.right),
    x = v => scaleX(clamp(v, ends)),
    marks = ticks(...ends, narrow ? 4 : 8);
  for (const v of marks.at)
    svg.append(
      make("line", { class: "grid", x1: x(v), x2: x(v), y1: 8, y2: box.bottom }),
      make("text", { x: x(v), y: box.bottom + 18, class: "middle" }, marks.text(v)),
    );
  svg.append(make("text", { x: box.right, y: box.bottom + 37, class: "end" }, label(metric)));
  const points = [];
  strata.forEach((name, i) => {
    const y = 22 + step * i,
      single = name.startsWith("skeleton/");
    svg.append(
      make(
        "text", { x: single ? 12 : 0, y: y + 4, class: single ? null : "strong" },
        stratumName(name),
      ),
    );
    const [limit] = ceiling(name, metric);
    const at = limit == null ? null : x(limit);
    if (at != null)
      svg.append(make("line", { class: "limit", x1: at, x2: at, y1: y - 11, y2: y + 11 }));
    for (const r of rows.filter(r => r.predictor !== view.predictor)) {
      const s = score(r, name, metric);
      if (s[0] == null) continue;
      svg.append(make("line", { class: "tick", x1: x(s[0]), x2: x(s[0]), y1: y - 6, y2: y + 6 }));
      points.push({ x: x(s[0]), y, predictor: r.predictor, s });
    }
    for (const r of mine.filter(r => score(r, name, metric)[0] != null)) {
      const s = score(r, name, metric);
      svg.append(...whisker(x, y, s, isHeldOut(name)));
      points.push({ x: x(s[0]), y, predictor: r.predictor, s });
    }
  });
  naming(svg, width, points, p => `: ${figure(p.s[0], metric)} (${range(p.s, metric)})`);
  $("skeletons").append(
    key(
      ["", "❘ each other predictor"], ["test", `● ${view.predictor}, with its interval`],
      ["held", "◆ the same on held-out skeletons"],
      strata.some(name => ceiling(name, metric)[0] != null) && ["", "┊ ceiling"],
    ),
  );
}
