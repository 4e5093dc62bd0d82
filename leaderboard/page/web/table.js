/* The table of predictors: sorted and filtered, with intervals, tie bands, ceiling and cost. */
function ariaSort(id) {
  if (view.sort !== id) return null;
  return higherIsBetter(id) === !view.reversed ? "descending" : "ascending";
}

function heading(id, text, name, kind) {
  const press = () => go({ sort: id, reversed: view.sort === id && !view.reversed ? "yes" : "" });
  return make(
    "th",
    { scope: "col", class: kind, "aria-sort": ariaSort(id), "data-column": id },
    make(
      "button",
      { type: "button", "aria-label": name, "data-key": `sort ${id}`, onclick: press },
      text,
    ),
  );
}

function tableHead(shown, ends) {
  const plain = text => make("span", {}, text);
  const strip = make(
    "th",
    { class: "strip", "aria-hidden": "true" },
    make("span", { class: "ends" }, ...ends.map(v => plain(figure(v, shown[0].metric)))),
  );
  return make(
    "thead",
    {},
    make(
      "tr",
      {},
      make("td", { colspan: 2 }),
      make("td", { class: "strip" }),
      ...shown.map(g =>
        make(
          "th",
          { scope: "colgroup", colspan: g.cells.length, class: "first" },
          make("span", {}, g.title),
        ),
      ),
      make("td", { class: "first" }),
      make(
        "th",
        { scope: "colgroup", colspan: COST.length, class: "first" },
        make("span", {}, "cost"),
      ),
    ),
    make(
      "tr",
      {},
      heading("rank", "rank", "sort by rank", "rank"),
      heading("name", "predictor", "sort by name", "name"),
      strip,
      ...shown.flatMap(g =>
        g.cells.map((c, i) =>
          heading(c.id, c.text, `sort by ${g.title}, ${c.text}`, i ? null : "first"),
        ),
      ),
      heading("verification", "verified", "sort by verification", "text first"),
      ...COST.map(([id, text], i) => heading(id, text, `sort by ${text}`, i ? null : "first")),
    ),
  );
}

/* A value above its interval; with `detailed`, also its standard deviation over seeds. */
function scoreCell(score, metric, kind, detailed = false) {
  const line = (shown, text) => (shown ? make("small", {}, text) : null);
  return make(
    "td",
    { class: kind },
    figure(score[0], metric),
    line(score[1] != null, range(score, metric)),
    line(detailed && score[3] != null, `± ${figure(score[3], metric)}`),
  );
}

/* The scores of the first two columns as whiskers on one scale. */
function strip(scores, x, limit) {
  const svg = make("svg", { viewBox: "0 0 110 34", width: 110, height: 34, "aria-hidden": "true" });
  if (limit != null)
    svg.append(make("line", { class: "limit", x1: x(limit), x2: x(limit), y1: -30, y2: 130 }));
  scores.forEach(([score, held], i) => {
    if (score[0] != null) svg.append(...whisker(x, 10 + 13 * i, score, held));
  });
  return make("td", { class: "strip" }, svg);
}

function limitOf(cell) {
  if (
    task().observed !== 0 ||
    view.against !== "scores" ||
    !/^test(\/learned)?$/.test(cell.stratum)
  )
    return NONE;
  return ceiling(cell.stratum === "test" ? "all" : "learned", cell.metric);
}

function ceilingRow(shown) {
  const limits = shown.flatMap(g =>
    g.cells.map((c, i) => [limitOf(c), c.metric, i ? null : "first"]),
  );
  if (limits.every(([limit]) => limit[0] == null)) return null;
  return make(
    "tr",
    { class: "ceiling" },
    make("td"),
    make("th", { scope: "row", class: "name" }, "ceiling", make("small", {}, "noise of seeds")),
    make("td", { class: "strip" }),
    ...limits.map(([limit, metric, kind]) =>
      limit[0] == null ? make("td", { class: kind }) : scoreCell(limit, metric, kind),
    ),
    make("td", { colspan: 1 + COST.length, class: "first" }),
  );
}

function flagsOf(r) {
  const counted = Object.entries(r.counts)
    .filter(([, n]) => n > 0)
    .map(([name, n]) => `${n} ${name.replaceAll("_", " ")}`);
  return [...(r.failure ? ["failed"] : []), ...r.flags, ...counted];
}

function nameCell(r) {
  const current = r.predictor === view.predictor;
  return make(
    "th",
    { scope: "row", class: "name" },
    make(
      "button",
      {
        type: "button",
        class: "pick",
        "data-key": `pick ${r.predictor}`,
        "aria-pressed": current,
        onclick: () => go({ predictor: r.predictor }),
      },
      r.predictor,
    ),
    ...flagsOf(r).flatMap(flag => [" ", make("span", { class: "flag" }, flag)]),
    make("small", { class: current ? null : "cut", title: r.title }, r.title),
  );
}

function costCells(r) {
  return [
    make("td", { class: "first" }, seconds(r.fit)),
    make("td", {}, seconds(r.predict)),
    make("td", {}, count(r.observedEpochs)),
  ];
}

function verifiedCell(r) {
  return make(
    "td",
    { class: `text first ${r.verification}` },
    make("span", { "aria-hidden": "true" }, `${SIGNS[r.verification]} `),
    r.verification,
  );
}

function tableRow(r, shown, x, kinds) {
  const kind = [...kinds, r.predictor === view.predictor && "chosen", r.failure && "failed"]
    .filter(Boolean)
    .join(" ");
  const press = event => {
    if (!event.target.closest("button")) go({ predictor: r.predictor });
  };
  const all = shown.flatMap(g => g.cells),
    limit = limitOf(all[0])[0];
  if (r.failure)
    return make(
      "tr",
      { class: kind, onclick: press },
      make("td"),
      nameCell(r),
      make("td", { class: "strip" }),
      make("td", { class: "text first", colspan: all.length }, r.failure),
      verifiedCell(r),
      ...costCells(r),
    );
  const rank = r.rank[0] === r.rank[1] ? `${r.rank[0]}` : `${r.rank[0]}–${r.rank[1]}`;
  const scores = all.map(c => score(r, c.stratum, c.metric));
  return make(
    "tr",
    { class: kind, onclick: press },
    make("td", { class: "rank" }, rank, make("span", { class: "hidden" }, `, tie band ${r.band}`)),
    nameCell(r),
    strip(
      scores.slice(0, 2).map((score, i) => [score, all[i].held]),
      x,
      limit,
    ),
    ...shown.flatMap(g =>
      g.cells.map((c, i) =>
        scoreCell(
          score(r, c.stratum, c.metric),
          c.metric,
          [c.held ? "held" : "test", i ? "" : "first"].join(" "),
          r.predictor === view.predictor,
        ),
      ),
    ),
    verifiedCell(r),
    ...costCells(r),
  );
}

/* Classes that mark the start and end of tie bands; only while rows are sorted by rank. */
function bandKinds(rows, i) {
  const band = n => rows[n]?.band;
  if (view.sort !== "rank" || band(i) == null) return [];
  return ["banded", band(i - 1) !== band(i) && "band-start", band(i + 1) !== band(i) && "band-end"];
}

function drawTable() {
  const shown = groups(),
    rows = ordered(),
    pair = shown[0].cells.slice(0, 2),
    scored = task().rows.filter(r => !r.failure);
  const inside = scored.flatMap(r =>
    pair.flatMap(c => withoutExtremes(shown[0].metric, score(r, c.stratum, c.metric).slice(0, 3))),
  );
  const known = [...inside, limitOf(pair[0])[0]].filter(v => v != null);
  const ends = known.length ? spread(known, 0) : [0, 1],
    clip = scale(...ends, 5, 105);
  const x = v => clip(clamp(v, ends));
  const body = make(
    "tbody",
    {},
    ceilingRow(shown),
    ...rows.map((r, i) => tableRow(r, shown, x, bandKinds(rows, i))),
  );
  const width = 7 + shown.flatMap(g => g.cells).length;
  if (!rows.length)
    body.append(
      make(
        "tr",
        {},
        make(
          "td",
          { class: "text none", colspan: width },
          "No predictor matches these filters. ",
          make(
            "button",
            { type: "button", class: "plain", "data-key": "clear", onclick: clearFilters },
            "Clear filters",
          ),
        ),
      ),
    );
  const caption = `Predictors on ${entry().images}, ${moment(task().observed)}: ${COLUMNS[view.columns][0]}, verification and cost`;
  $("board").replaceChildren(
    make("caption", { class: "hidden" }, caption),
    tableHead(shown, ends),
    body,
  );
  $("count").textContent =
    rows.length === task().rows.length
      ? `${count(rows.length)} predictors`
      : `${count(rows.length)} of ${count(task().rows.length)} predictors; ranks are among all predictors`;
}

function clearFilters() {
  const { find, input, verified } = DEFAULTS;
  $("find").value = find;
  go({ find, input, verified });
  $("find").focus();
}
