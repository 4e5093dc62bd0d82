/* The table of predictors: sorted and filtered, with intervals, ceiling and cost. */
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
      "button", { type: "button", "aria-label": name, "data-key": `sort ${id}`, onclick: press },
      text,
    ),
  );
}

function tableHead(shown) {
  const spanning = (title, span) =>
    make("th", { scope: "colgroup", colspan: span, class: "first" }, make("span", {}, make("strong", {}, title)));
  return make(
    "thead",
    {},
    make(
      "tr", {}, make("td"), make("td", { class: "name" }),
      ...shown.map(g => spanning(g.title, g.cells.length)), make("td", { class: "first" }),
      spanning("cost", COST.length),
    ),
    make(
      "tr",
      {},
      heading("rank", "rank", "sort by rank", "rank"),
      heading("name", "predictor", "sort by name", "name"),
      ...shown.flatMap(g =>
        g.cells.map((c, i) =>
          heading(c.id, c.text, `sort by ${g.title}, ${c.text}`, i ? null : "first"),
        ),
      ),
      heading("checked", "checked", "sort by how it was checked", "text first"),
      ...COST.map((c, i) => heading(c.id, c.text, `sort by ${c.text}`, i ? null : "first")),
    ),
  );
}

/* A value above its interval; with `detailed`, also its standard deviation over seeds. */
function scoreCell(score, metric, kind, detailed = false) {
  const line = (shown, text) => (shown ? make("small", {}, text) : null);
  return make(
    "td", { class: kind }, figure(score[0], metric),
    line(score[1] != null, range(score, metric)),
    line(detailed && score[3] != null, `± ${figure(score[3], metric)}`),
  );
}

function ceilingRow(shown) {
  const limit = c => (c.field ? NONE : ceiling(c.stratum, c.metric));
  const limits = shown.flatMap(g =>
    g.cells.map((c, i) => [limit(c), c.metric, i ? null : "first"]),
  );
  if (limits.every(([limit]) => limit[0] == null)) return null;
  return make(
    "tr",
    { class: "ceiling" },
    make("td"),
    make("th", { scope: "row", class: "name" }, "ceiling", make("small", {}, "noise of seeds")),
    ...limits.map(([limit, metric, kind]) =>
      limit[0] == null ? make("td", { class: kind }) : scoreCell(limit, metric, kind),
    ),
    make("td", { colspan: 1 + COST.length, class: "first" }),
  );
}

function nameCell(r) {
  const current = r.predictor === view.predictor;
  return make(
    "th",
    { scope: "row", class: "name" },
    make(
      "button",
      {
        type: "button", class: "pick", "data-key": `pick ${r.predictor}`,
        "aria-pressed": String(current), onclick: () => go({ predictor: r.predictor }),
      },
      r.predictor,
    ),
    ...flagsOf(r).flatMap(flag => [" ", make("span", { class: "flag" }, flag)]),
    make("small", { class: current ? null : "cut", title: r.title }, r.title),
  );
}

function costCells(r) {
  return [
    make("td", { class: "first" }, seconds(r.fit)), make("td", {}, seconds(r.predict)),
    make("td", {}, count(r.observedEpochs)),
  ];
}

const checkedCell = r =>
  make("td", { class: `text first checked ${r.verification}` }, checkedWords(r.verification));
const rankText = r => (r.rank[0] === r.rank[1] ? `${r.rank[0]}` : r.rank.join("–"));

function tableRow(r, shown) {
  const current = r.predictor === view.predictor,
    kind = [current && "chosen", r.failure && "failed"].filter(Boolean).join(" ");
  const press = event => {
    if (!event.target.closest("button")) go({ predictor: r.predictor });
  };
  const kindOf = (c, i) => [c.held ? "held" : "test", i ? "" : "first"].join(" ");
  const middle = r.failure
    ? [make("td", { class: "text first", colspan: cells().length }, r.failure)]
    : shown.flatMap(g =>
        g.cells.map((c, i) => scoreCell(scoreOf(r, c), c.metric, kindOf(c, i), current)),
      );
  return make(
    "tr", { class: kind, onclick: press },
    make("td", { class: "rank" }, r.failure ? null : rankText(r)), nameCell(r), ...middle,
    checkedCell(r), ...costCells(r),
  );
}

function drawTable() {
  const shown = groups(),
    rows = ordered(),
    all = task().rows.length;
  const body = make("tbody", {}, ceilingRow(shown), ...rows.map(r => tableRow(r, shown)));
  const clear = make(
    "button", { type: "button", class: "plain", "data-key": "clear", onclick: clearFilters },
    "Clear filters",
  );
  const none = make(
    "td", { class: "text none", colspan: 3 + COST.length + cells().length },
    "No predictor matches these filters. ", clear,
  );
  if (!rows.length) body.append(make("tr", {}, none));
  const caption = `Predictors on ${entry().group}, ${moment(task().observed)}: ${COLUMNS[view.columns][0]}, checks and cost`;
  $("board").replaceChildren(make("caption", { class: "hidden" }, caption), tableHead(shown), body);
  const { detailed } = task();
  const notes = [
    all > detailed &&
      ` All scores are on the page for the best ${detailed}, of the others those of ${label("tau")}, R² and MSE on test and held out.`,
    view.against !== TARGETS[0] && ` Ranks are by ${INDEX.targets[TARGETS[0]]}.`,
  ];
  $("count").textContent =
    (rows.length === all
      ? `${count(all)} predictors.`
      : `${count(rows.length)} of ${count(all)} predictors; ranks are among all predictors.`) +
    notes.filter(Boolean).join("");
}

function clearFilters() {
  const { find, input, checked } = DEFAULTS;
  $("find").value = find;
  go({ find, input, checked });
  $("find").focus();
}
