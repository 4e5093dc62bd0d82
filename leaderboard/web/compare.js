/* Charts of all predictors: test against held out, score against observed epochs, skeletons. */
const compared = of => of.rows.filter(r => !r.failure && (passes(r) || r.predictor === view.predictor));
const nothing = (id, text) => void $(id).replaceChildren(make("p", { class: "soft" }, text));
const clamp = (v, [low, high]) => Math.min(high, Math.max(low, v));

function leftOut(holder, names) {
  if (names.length) holder.append(make("p", { class: "key" }, `Not drawn, constant or too far off: ${names.join(", ")}`));
}

/* Puts labels beside points, as many as do not overlap; earlier ones have the first choice. */
function place(svg, points, box) {
  const taken = points.map(p => [p.x - 4, p.y - 4, p.x + 4, p.y + 4]);
  const free = ([l, t, r, b]) => l >= box.left && r <= box.right && t >= 0
    && taken.every(o => r < o[0] || l > o[2] || b < o[1] || t > o[3]);
  for (const p of points) {
    const wide = p.text.length * 6.6;
    const spots = [["start", p.x + 8, p.y + 4], ["end", p.x - 8, p.y + 4], ["middle", p.x, p.y - 9], ["middle", p.x, p.y + 17]];
    for (const [kind, x, y] of spots) {
      const left = { start: x, end: x - wide, middle: x - wide / 2 }[kind], frame = [left, y - 10, left + wide, y + 2];
      if (!free(frame)) continue;
      taken.push(frame);
      svg.append(make("text", { x, y, class: `${kind} ${p.strong ? "strong" : ""}` }, p.text));
      break;
    }
  }
}

function drawTransfer() {
  const metric = view.metric;
  const all = compared(task()).map(r => ({ r, test: score(r, "test", metric), held: score(r, "heldout", metric) }))
    .filter(p => p.test[0] != null && p.held[0] != null);
  const off = p => p.r.predictor !== view.predictor && (tooFar(metric, p.test[0]) || tooFar(metric, p.held[0]));
  const shown = all.filter(p => !off(p));
  if (!shown.length) return nothing("transfer", "No predictor has this score on both.");
  const [svg, width] = canvas($("transfer"), 400, `${NAMES[metric]} on held-out skeletons against ${NAMES[metric]} on test, ${shown.length} predictors`);
  const ends = spread(shown.flatMap(p => [...sane(metric, p.test), ...sane(metric, p.held)].slice(0, 9)).filter(v => v != null), 0.04);
  const box = { left: 46, right: width - 8, top: 26, bottom: 350 }, marks = ticks(...ends);
  const x = scale(...ends, box.left, box.right), y = scale(...ends, box.bottom, box.top);
  axes(svg, box, { x, y, xs: marks, ys: marks, names: ["test", "held out"] });
  svg.append(make("line", { class: "limit", x1: x(ends[0]), y1: y(ends[0]), x2: x(ends[1]), y2: y(ends[1]) }));
  const points = shown.map(p => ({ ...p, x: x(clamp(p.test[0], ends)), y: y(clamp(p.held[0], ends)), text: p.r.predictor, strong: p.r.predictor === view.predictor }));
  points.sort((a, b) => b.strong - a.strong);
  for (const p of [...points].reverse()) svg.append(cross(p, x, y, ends));
  place(svg, points, { left: box.left, right: width });
  const tip = tooltip(svg, width);
  pointing(svg, width, points, p => tip(p && [p.x, p.y], p && `${p.text}: ${figure(p.test[0], metric)} test, ${figure(p.held[0], metric)} held out`),
    p => p && go({ predictor: p.text }));
  leftOut($("transfer"), all.filter(off).map(p => p.r.predictor));
}

function cross(p, x, y, ends) {
  const at = (v, to) => to(clamp(v, ends)), group = make("g", { class: p.strong ? "one" : "other" });
  if (p.test[1] != null) group.append(make("line", { class: "whisker", x1: at(p.test[1], x), x2: at(p.test[2], x), y1: p.y, y2: p.y }));
  if (p.held[1] != null) group.append(make("line", { class: "whisker", x1: p.x, x2: p.x, y1: at(p.held[1], y), y2: at(p.held[2], y) }));
  group.append(make("circle", { class: "mark", cx: p.x, cy: p.y, r: p.strong ? 5 : 3.5 }));
  return group;
}

/* A label that follows the pointer, inside the chart. */
function tooltip(svg, width) {
  const back = make("rect", { class: "tip", rx: 4, height: 24 }), text = make("text", { class: "strong" });
  const group = make("g", { class: "floating", visibility: "hidden" }, back, text);
  svg.append(group);
  return (at, words) => {
    group.setAttribute("visibility", at ? "visible" : "hidden");
    if (!at) return;
    text.textContent = words;
    const wide = text.getComputedTextLength() + 16, left = clamp(at[0] - wide / 2, [0, width - wide]), top = at[1] < 50 ? at[1] + 14 : at[1] - 38;
    back.setAttribute("x", left); back.setAttribute("y", top); back.setAttribute("width", wide);
    text.setAttribute("x", left + 8); text.setAttribute("y", top + 16);
    svg.append(group);
  };
}

function series(tasks) {
  const names = [...new Set(tasks.flatMap(t => compared(t).map(r => r.predictor)))];
  return names.map(name => ({
    name, chosen: name === view.predictor,
    points: tasks.map(t => [t.observed, compared(t).find(r => r.predictor === name)]).filter(([, r]) => r)
      .map(([k, r]) => [k, score(r, view.stratum, view.metric)]).filter(([, found]) => found[0] != null),
  })).filter(line => line.points.length);
}

function drawLines() {
  const tasks = data().tasks, ks = tasks.map(t => t.observed), metric = view.metric, all = series(tasks);
  const useless = l => !l.chosen && l.points.every(([, s]) => tooFar(metric, s[0]) || metric === "tau" && s[0] === 0);
  const lines = all.filter(l => !useless(l)).sort((a, b) => a.chosen - b.chosen);
  if (!lines.length) return nothing("lines", "No predictor has this score.");
  const [svg, width] = canvas($("lines"), 400, `${NAMES[metric]} against observed epochs, ${lines.length} predictors`);
  const narrow = width < 430, box = { left: 46, right: width - (narrow ? 112 : 150), top: 26, bottom: 350 };
  const ends = spread(lines.flatMap(l => l.points.flatMap(([, s]) => sane(metric, s.slice(0, 3)))).filter(v => v != null), 0.03);
  const x = scale(Math.min(...ks), Math.max(...ks, ks[0] + 1), box.left + 14, box.right - 14), y = scale(...ends, box.bottom, box.top);
  axes(svg, box, { x, y, xs: { at: ks, text: String }, ys: ticks(...ends, 6), names: ["observed epochs", NAMES[metric]] });
  drawLimit(svg, x, v => y(clamp(v, ends)), ks);
  const labels = lines.map((l, i) => drawLine(svg, l, x, v => y(clamp(v, ends)), (i - (lines.length - 1) / 2) * Math.min(2.2, 22 / lines.length)));
  endLabels(svg, labels.sort((a, b) => a.y - b.y), box, narrow ? 15 : 21);
  const tip = tooltip(svg, width), points = labels.flatMap(l => l.at.map(([px, py, s, k]) => ({ x: px, y: py, name: l.name, s, k })));
  pointing(svg, width, points, p => tip(p && [p.x, p.y], p && `${p.name}, ${moment(p.k)}: ${figure(p.s[0], metric)}`), p => p && go({ predictor: p.name }));
  leftOut($("lines"), all.filter(useless).map(l => l.name));
}

function drawLimit(svg, x, y, ks) {
  const limit = view.against === "scores" && view.stratum === "test" && ks.includes(0) ? ceiling("all", view.metric)[0] : null;
  if (limit == null) return;
  svg.append(make("line", { class: "limit", x1: x(0) - 12, x2: x(0) + 12, y1: y(limit), y2: y(limit) }),
    make("text", { x: x(0) + 16, y: y(limit) + 4 }, "ceiling"));
}

function drawLine(svg, line, x, y, shift) {
  const at = line.points.map(([k, s]) => [x(k) + shift, y(s[0]), s, k]);
  const kind = line.chosen ? `one ${view.stratum === "test" ? "test" : "held"}` : "other";
  const group = make("g", { class: kind }, make("path", { class: "line", d: path(at) }));
  for (const [px, py, s] of at) {
    if (s[1] != null) group.append(make("line", { class: "whisker", x1: px, x2: px, y1: y(s[1]), y2: y(s[2]) }));
    group.append(make("circle", { class: "mark", cx: px, cy: py, r: line.chosen ? 4 : 2.4 }));
  }
  svg.append(group);
  return { ...line, at, x: last(at)[0], y: last(at)[1] };
}

function endLabels(svg, labels, box, letters) {
  const room = Math.min(15, (box.bottom - box.top + 34) / labels.length);
  let floor = -Infinity, roof = box.bottom + 16;
  for (const l of labels) { l.at_y = Math.max(l.y, floor + room); floor = l.at_y; }
  for (const l of [...labels].reverse()) { l.at_y = Math.min(l.at_y, roof); roof = l.at_y - room; }
  for (const l of labels) svg.append(make("path", { class: "lead", d: `M${l.x + 7} ${l.y}L${box.right + 2} ${l.at_y}` }),
    make("text", { x: box.right + 6, y: l.at_y + 4, class: l.chosen ? "strong pressed" : "pressed", onclick: () => go({ predictor: l.name }) }, shortened(l.name, letters)));
}

function drawSkeletons() {
  const metric = view.metric, rows = compared(task());
  const strata = [...strataOf("seen"), ...strataOf("heldout")].filter(name => rows.some(r => score(r, name, metric)[0] != null));
  if (!strata.length) return nothing("skeletons", "No predictor has this score on this task.");
  const step = 27, height = step * strata.length + 64;
  const [svg, width] = canvas($("skeletons"), height, `${NAMES[metric]} in each stratum, ${rows.length} predictors, ${view.predictor} highlighted`);
  const narrow = width < 520, box = { left: narrow ? 118 : 168, right: width - 12, bottom: height - 46 };
  const mine = chosen().failure ? [] : [chosen()];
  const values = strata.flatMap(name => [...rows.flatMap(r => sane(metric, score(r, name, metric).slice(0, 1))), ...mine.flatMap(r => sane(metric, score(r, name, metric).slice(0, 3)))]);
  const ends = spread(values.filter(v => v != null), 0.03), scaleX = scale(...ends, box.left, box.right), x = v => scaleX(clamp(v, ends)), marks = ticks(...ends, narrow ? 4 : 8);
  for (const v of marks.at) svg.append(make("line", { class: "grid", x1: x(v), x2: x(v), y1: 8, y2: box.bottom }),
    make("text", { x: x(v), y: box.bottom + 18, class: "middle" }, marks.text(v)));
  svg.append(make("text", { x: box.right, y: box.bottom + 37, class: "end" }, NAMES[metric]));
  const points = [];
  strata.forEach((name, i) => {
    const y = 22 + step * i, single = name.startsWith("skeleton/");
    svg.append(make("text", { x: single ? 12 : 0, y: y + 4, class: single ? null : "strong" }, words(name)));
    for (const r of rows.filter(r => r.predictor !== view.predictor)) {
      const found = score(r, name, metric);
      if (found[0] == null) continue;
      svg.append(make("line", { class: "tick", x1: x(found[0]), x2: x(found[0]), y1: y - 6, y2: y + 6 }));
      points.push({ x: x(found[0]), y, r, found });
    }
    for (const r of mine.filter(r => score(r, name, metric)[0] != null)) {
      svg.append(...whisker(x, y, score(r, name, metric), isHeld(name)));
      points.push({ x: x(score(r, name, metric)[0]), y, r, found: score(r, name, metric) });
    }
  });
  const tip = tooltip(svg, width);
  pointing(svg, width, points, p => tip(p && [p.x, p.y], p && `${p.r.predictor}: ${figure(p.found[0], metric)} (${range(p.found, metric)})`), p => p && go({ predictor: p.r.predictor }));
}
