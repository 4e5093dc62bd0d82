/* What the page says first: who is best on the task, by how much, of what is possible. */
const scored = () => task().rows.filter(r => !r.failure);
const differenceText = v => `${v > 0 ? "+" : ""}${signed((v / 1000).toFixed(3))}`;

function drawHeadline() {
  const [best, next] = scored();
  const strong = text => make("strong", {}, text);
  if (!best) return $("headline").replaceChildren("No predictor has been scored on this task.");
  const tau = stratum => figure(score(best, stratum, "tau", TARGETS[0])[0], "tau"),
    limit = task().ceiling[TARGETS[0]]?.test?.tau[0],
    possible = limit == null ? "" : ` of a ceiling of ${figure(limit, "tau")}`,
    share = best.share == null ? "" : `, ${Math.round(100 * best.share)} % of their ceilings`;
  $("headline").replaceChildren(
    strong(best.predictor), " predicts best: ", strong(`${tau("test")}${possible}`),
    ` (${label("tau")} on test, ${moment(task().observed)}). `,
    next ? leadText() : "No other predictor has been scored.",
    ` On held-out skeletons it has ${tau("heldout")}${share}.`,
  );
}

/* Says whether the best predictor is significantly better, and than which. The matrix has the best
   predictors only; the last possible rank of the best one says how many are not worse. */
function leadText() {
  const { names, value, significant } = task().differences,
    tied = scored()[0].rank[1] - 1;
  const named = i => `${names[i]} (${differenceText(value[0][i])})`;
  if (!tied) return `It is significantly better than all others; the next is ${named(1)}.`;
  const first = Math.max(1, significant[0].findIndex((is, i) => i > 0 && !is));
  const more = ["", " and 1 other"][tied - 1] ?? ` and ${tied - 1} others`;
  return `It is not significantly better than ${named(first)}${more}.`;
}

/* The picture: scores of the best predictors on test and held-out networks, as in the README. */
function drawPicture() {
  const rows = compared(),
    metric = view.metric;
  if (!rows.length) return nothing("picture", "No scored predictor matches the filters.");
  const narrow = $("picture").clientWidth < 520,
    step = narrow ? 19 : 20;
  const box = { left: narrow ? 118 : 160, top: 22, bottom: 30 + step * rows.length };
  const [svg, width] = canvas(
    $("picture"), box.bottom + 26,
    `${label(metric)} on test and on held-out skeletons with intervals, ${rows.length} predictors`,
  );
  box.right = width - 12;
  const shown = rows.map(r => SPLITS.map(([split]) => score(r, split, metric)));
  const limits = SPLITS.map(([split]) => ceiling(split, metric)[0]);
  const inside = shown.flat().flatMap(s => withoutExtremes(metric, s.slice(0, 3)));
  if (!inside.length) return nothing("picture", "No predictor has this score within the range that is drawn.");
  const ends = spread([...inside, ...limits], 0.02),
    clip = scale(...ends, box.left, box.right),
    x = v => clip(clamp(v, ends)),
    marks = ticks(...ends, narrow ? 4 : 8);
  for (const v of marks.at)
    svg.append(
      make("line", { class: "grid", x1: x(v), x2: x(v), y1: box.top, y2: box.bottom }),
      make("text", { x: x(v), y: box.bottom + 18, class: "middle" }, marks.text(v)),
    );
  svg.append(make("text", { x: 0, y: box.bottom + 18 }, label(metric)));
  drawCeilings(svg, limits, x, box);
  const points = rows.flatMap((r, i) =>
    pictureRow(svg, { r, scores: shown[i], x, y: box.top + 6 + step * (i + 0.5) }, box),
  );
  const text = p => `, ${p.where}: ${figure(p.s[0], metric)} (${range(p.s, metric)})`;
  naming(svg, width, points, text);
}

/* The ceilings as lines, with one name if there is no room for two. */
function drawCeilings(svg, limits, x, box) {
  const known = limits.map((limit, i) => ({ limit, i })).filter(c => c.limit != null),
    at = known.map(c => x(c.limit)),
    close = known.length > 1 && Math.abs(at[0] - at[1]) < 130;
  known.forEach(({ i }, n) => {
    const text = close ? "ceilings" : known.length > 1 ? `ceiling, ${SPLITS[i][1]}` : "ceiling";
    const kind = i ? "held" : "test";
    svg.append(
      make("line", { class: `limit ${kind}`, x1: at[n], x2: at[n], y1: 14, y2: box.bottom }),
      close && n ? "" : make("text", { x: box.right + 12, y: 11, class: "end" }, text),
    );
    if (!close) svg.lastChild.setAttribute("x", Math.min(at[n] + 3.2 * text.length, box.right + 12));
  });
}

function pictureRow(svg, { r, scores, x, y }, box) {
  const current = r.predictor === view.predictor,
    isFirst = r.rank[0] === 1,
    name = shortened(r.predictor, box.left < 150 ? 15 : 22);
  const group = make("g", { opacity: isFirst || current ? null : 0.55 });
  const points = [];
  for (const i of [1, 0]) {
    if (scores[i][0] == null) continue;
    const at = y + (i ? 3.5 : -3.5);
    group.append(...whisker(x, at, scores[i], i === 1));
    const where = SPLITS[i][1];
    points.push({ x: x(scores[i][0]), y: at, predictor: r.predictor, s: scores[i], where });
  }
  const choose = () => go({ predictor: r.predictor }),
    kind = `end pressed ${isFirst ? "strong" : ""}`;
  svg.append(
    current ? make("rect", { class: "wash", x: 0, y: y - 9.5, width: box.right, height: 19 }) : "",
    group,
    make("text", { x: box.left - 12, y: y + 4, class: kind, onclick: choose }, name),
  );
  return points;
}
