/* What the page says first: who is best on the task, by how much, of what is possible. */
const scored = () => task().rows.filter(r => !r.failure);
const differenceText = v => `${v > 0 ? "+" : ""}${signed((v / 1000).toFixed(3))}`;

function drawHeadline() {
  const [best, next] = scored();
  const strong = text => make("strong", {}, text);
  if (!best) return $("headline").replaceChildren("No predictor has been scored on this task.");
  const tau = stratum => figure(score(best, stratum, "tau", TARGETS[0])[0], "tau"),
    limit = task().ceiling.test?.tau[0],
    possible = limit == null ? "" : ` of a ceiling of ${figure(limit, "tau")}`,
    share = best.share == null ? "" : `, ${Math.round(100 * best.share)} % of the ceilings`;
  $("headline").replaceChildren(
    strong(best.predictor),
    " predicts best: ",
    strong(`${tau("test")}${possible}`),
    ` (${label("tau")} on test, ${moment(task().observed)}). `,
    next ? leadText() : "No other predictor has been scored.",
    ` On held-out skeletons it has ${tau("heldout")}${share}.`,
  );
}

/* Says whether the best predictor is significantly better, and than which. */
function leadText() {
  const { names, value, significant } = task().differences;
  const rest = names.slice(1),
    equal = rest.filter((_, i) => !significant[0][i + 1]);
  const named = name => `${name} (${differenceText(value[0][names.indexOf(name)])})`;
  if (!equal.length) return `It is significantly better than all others; the next is ${named(rest[0])}.`;
  const more = equal.length > 1 ? ` and ${equal.length - 1} other${equal.length > 2 ? "s" : ""}` : "";
  return `It is not significantly better than ${named(equal[0])}${more}.`;
}

/* The picture: tau of the best predictors on test and held-out networks, as in the README. */
function drawPicture() {
  const rows = compared();
  if (!rows.length) return nothing("picture", "No scored predictor matches the filters.");
  const narrow = $("picture").clientWidth < 520,
    step = narrow ? 19 : 20;
  const box = { left: narrow ? 118 : 160, top: 22, bottom: 30 + step * rows.length };
  const [svg, width] = canvas(
    $("picture"),
    box.bottom + 26,
    `${label(view.metric)} with its interval on test and on held-out skeletons, ${rows.length} predictors`,
  );
  box.right = width - 12;
  const shown = rows.map(r => SPLITS.map(([split]) => score(r, split, view.metric)));
  const limits = SPLITS.map(([split]) => ceiling(split, view.metric)[0]);
  const inside = shown.flat().flatMap(s => withoutExtremes(view.metric, s.slice(0, 3)));
  const ends = spread([...inside, ...limits], 0.02);
  const clip = scale(...ends, box.left, box.right),
    x = v => clip(clamp(v, ends)),
    marks = ticks(...ends, narrow ? 4 : 8);
  for (const v of marks.at)
    svg.append(
      make("line", { class: "grid", x1: x(v), x2: x(v), y1: box.top, y2: box.bottom }),
      make("text", { x: x(v), y: box.bottom + 18, class: "middle" }, marks.text(v)),
    );
  svg.append(make("text", { x: 0, y: box.bottom + 18 }, label(view.metric)));
  limits.forEach((limit, i) => {
    if (limit == null) return;
    const kind = i ? "held" : "test";
    svg.append(
      make("line", { class: `limit ${kind}`, x1: x(limit), x2: x(limit), y1: 16, y2: box.bottom }),
    );
    const close = limits[1] != null && Math.abs(x(limits[0]) - x(limits[1])) < 110;
    const anchor = !close ? "middle" : (i ? limits[1] < limits[0] : limits[0] <= limits[1]) ? "end" : "start";
    svg.append(make("text", { x: x(limit), y: 11, class: anchor }, narrow ? "ceiling" : `ceiling, ${SPLITS[i][1]}`));
  });
  const points = rows.flatMap((r, i) => pictureRow(svg, r, shown[i], x, box.top + 6 + step * (i + 0.5), box));
  naming(svg, width, points, p => `, ${p.where}: ${figure(p.s[0], view.metric)} (${range(p.s, view.metric)})`);
}

function pictureRow(svg, r, scores, x, y, box) {
  const current = r.predictor === view.predictor;
  const letters = box.left < 150 ? 16 : 22;
  const kinds = ["end pressed", r.rank[0] === 1 && "strong", current && "current"].filter(Boolean);
  const group = make("g", { opacity: r.rank[0] === 1 || current ? null : 0.55 });
  const points = [];
  [1, 0].forEach(i => {
    if (scores[i][0] == null) return;
    const at = y + (i ? 3.5 : -3.5);
    group.append(...whisker(x, at, scores[i], i === 1));
    points.push({ x: x(scores[i][0]), y: at, predictor: r.predictor, s: scores[i], where: SPLITS[i][1] });
  });
  const choose = () => go({ predictor: r.predictor });
  svg.append(
    current ? make("rect", { class: "wash", x: 0, y: y - 9.5, width: box.right, height: 19 }) : "",
    group,
    make("text", { x: box.left - 12, y: y + 4, class: kinds.join(" "), onclick: choose }, shortened(r.predictor, letters)),
  );
  return points;
}
