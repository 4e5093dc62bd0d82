/* Which scores are shown: names, columns, order, and the rows that match the filters. */
const label = metric => INDEX.metrics[metric].label;
const COLUMNS = {
  ...INDEX.columns, heldout: ["each held-out skeleton", null],
  seen: ["each seen skeleton", null],
};
const COST = [
  { id: "fit", text: "fit, s" }, { id: "predict", text: "predict, s" },
  { id: "observedEpochs", text: "epochs" },
];
const OVER_SKELETONS = { share: "of ceiling", rankable: "rankable", spread: "spread" };
const LEVELS = Object.keys(INDEX.checked);
const SIGNS = ["○", "◐", "●"];
const checkedWords = level => `${SIGNS[LEVELS.indexOf(level)]} ${INDEX.checked[level]}`;
const SPLITS = [["test", "test"], ["heldout", "held out"]];
const MOST = 25; // predictors in a chart
const isHeldOut = stratum =>
  stratum.startsWith("heldout") || task().skeletons[stratum.replace("skeleton/", "")] === "heldout";
const stratumName = stratum =>
  ({ heldout: "held out" })[stratum] ?? stratum.replace(/^(skeleton|heldout)\//, "");
const skeletonsOf = split =>
  Object.keys(task().skeletons)
    .filter(name => task().skeletons[name] === split)
    .map(name => `skeleton/${name}`);
const strataOf = group =>
  group === "seen"
    ? ["test", ...skeletonsOf("test")]
    : ["heldout", "heldout/extrapolates", "heldout/unseen feature", ...skeletonsOf("heldout")];

/* Returns groups of columns, each with a title and cells (id, metric, stratum and text; `field`
   instead of the stratum for a number of the row). */
function groups() {
  const cell = (metric, stratum, text) => ({
    id: `${metric} ${stratum}`, metric, stratum, text, held: isHeldOut(stratum),
  });
  const [, metrics] = COLUMNS[view.columns];
  if (metrics === null) {
    const known = strataOf(view.columns).filter(stratum => task().strata.includes(stratum));
    const columns = known.map(stratum => cell(view.metric, stratum, stratumName(stratum)));
    const group = { title: label(view.metric), cells: columns };
    return view.columns === "heldout" ? [group, ...overSkeletons()] : [group];
  }
  return metrics.map(name => {
    const [metric, learned] = name.split("/");
    return {
      title: label(metric),
      cells: SPLITS.map(([split, text]) =>
        cell(metric, learned ? `${split}/${learned}` : split, text),
      ),
    };
  });
}
const cells = () => groups().flatMap(group => group.cells);

/* Numbers of tau on held-out skeletons that are not metrics, if any row has them. */
function overSkeletons() {
  const fields = Object.keys(OVER_SKELETONS).filter(f => task().rows.some(r => r[f] != null));
  const columns = fields.map(field => ({
    id: field, field, metric: "tau", text: OVER_SKELETONS[field], held: true,
  }));
  return columns.length ? [{ title: `${label("tau")} of skeletons`, cells: columns }] : [];
}
const scoreOf = (r, c) =>
  c.field ? [r[c.field], null, null, null] : score(r, c.stratum, c.metric);

function matches(r) {
  const wanted = view.find.toLowerCase().split(/\s+/).filter(Boolean);
  const text = `${r.predictor} ${r.title}`.toLowerCase();
  return (
    wanted.every(word => text.includes(word)) &&
    (view.input === "any" || r.inputs === view.input) &&
    (view.checked === "any" || r.verification === view.checked)
  );
}
const shownRows = () => task().rows.filter(matches);

/* The predictors in charts: the best ones that match the filters, and the highlighted one. */
function compared() {
  const scored = shownRows().filter(r => !r.failure),
    best = scored.slice(0, MOST);
  return chosen().failure || best.includes(chosen()) ? best : [...best, chosen()];
}

function flagsOf(r) {
  const counted = Object.entries(r.counts)
    .filter(([, n]) => n > 0)
    .map(([name, n]) => `${n} ${name.replaceAll("_", " ")}`);
  return [...(r.failure ? ["failed"] : []), ...r.flags, ...counted];
}

/* Whether higher is better in a column. Metrics with a target are best nearest to it. */
const higherIsBetter = id => {
  const cell = cells().find(c => c.id === id);
  return (
    cell !== undefined && id !== "spread" && INDEX.metrics[cell.metric].direction === "higher"
  );
};
function valueOf(r, id) {
  const cell = cells().find(c => c.id === id);
  if (!cell) return { name: r.predictor, checked: LEVELS.indexOf(r.verification) }[id] ?? r[id];
  const [value] = scoreOf(r, cell);
  const { target } = INDEX.metrics[cell.metric];
  return target != null && value != null ? Math.abs(value - target) : value;
}

/* Rows in the chosen order: best first or reversed; rows that failed or have no value are last. */
function ordered() {
  const rows = shownRows(),
    scored = rows.filter(r => !r.failure),
    failed = rows.filter(r => r.failure);
  const sign = (view.reversed ? -1 : 1) * (higherIsBetter(view.sort) ? -1 : 1);
  if (view.sort === "rank") return [...(view.reversed ? scored.reverse() : scored), ...failed];
  const compare = (a, b) => {
    const [one, two] = [valueOf(a, view.sort), valueOf(b, view.sort)];
    if (one == null || two == null) return (one == null) - (two == null);
    return sign * (typeof one === "string" ? one.localeCompare(two) : one - two);
  };
  return [...scored.sort(compare), ...failed.sort(compare)];
}
