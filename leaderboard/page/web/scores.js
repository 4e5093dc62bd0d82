/* Which scores are shown: names, columns, order, and the rows that match the filters. */
const label = metric => INDEX.metrics[metric].label;
const COLUMNS = {
  ...INDEX.columns,
  heldout: ["each held-out skeleton", null],
  seen: ["each seen skeleton", null],
};
const COST = [
  ["fit", "fit, s"],
  ["predict", "predict, s"],
  ["observedEpochs", "epochs"],
];
const LEVELS = ["self-reported", "rescored", "rerun"];
const SIGNS = { "self-reported": "○", rescored: "◐", rerun: "●" };
const SPLITS = [
  ["test", "test"],
  ["heldout", "held out"],
];
const isHeldOut = stratum =>
  stratum.startsWith("heldout") || skeletonsOf(1).includes(stratum.replace("skeleton/", ""));
const stratumName = stratum =>
  ({ heldout: "held out" })[stratum] ?? stratum.replace(/^(skeleton|heldout)\//, "");

function skeletonsOf(held) {
  const { skeletons, heldout } = networks();
  return [...new Set(skeletons.filter((_, n) => heldout[n] === held))].sort();
}
const strataOf = group =>
  group === "seen"
    ? ["test", ...skeletonsOf(0).map(name => `skeleton/${name}`)]
    : [
        "heldout",
        "heldout/extrapolates",
        "heldout/unseen feature",
        ...skeletonsOf(1).map(name => `skeleton/${name}`),
      ];

/* Returns groups of columns, each with a title and cells (id, metric, stratum and text). */
function groups() {
  const cell = (metric, stratum, text) => ({
    id: `${metric} ${stratum}`,
    metric,
    stratum,
    text,
    held: isHeldOut(stratum),
  });
  const [, metrics] = COLUMNS[view.columns];
  if (metrics === null) {
    const known = strataOf(view.columns).filter(stratum =>
      task().rows.some(r => r[view.against][stratum]),
    );
    const columns = known.map(stratum => cell(view.metric, stratum, stratumName(stratum)));
    return [{ title: label(view.metric), metric: view.metric, cells: columns }];
  }
  return metrics.map(name => {
    const [metric, learned] = name.split("/");
    return {
      title: label(metric),
      metric,
      cells: SPLITS.map(([split, text]) =>
        cell(metric, learned ? `${split}/${learned}` : split, text),
      ),
    };
  });
}
const cells = () => groups().flatMap(group => group.cells);

function matches(r) {
  const wanted = view.find.toLowerCase().split(/\s+/).filter(Boolean);
  const text = `${r.predictor} ${r.title}`.toLowerCase();
  return (
    wanted.every(word => text.includes(word)) &&
    (view.input === "any" || inputs(r) === view.input) &&
    (view.verified === "any" || r.verification === view.verified)
  );
}
const shownRows = () => task().rows.filter(matches);

/* Whether higher is better in a column. Metrics with a target are best nearest to it. */
const higherIsBetter = id => {
  const cell = cells().find(c => c.id === id);
  return cell !== undefined && INDEX.metrics[cell.metric].direction === "higher";
};
function valueOf(r, id) {
  const cell = cells().find(c => c.id === id);
  if (!cell)
    return { name: r.predictor, verification: LEVELS.indexOf(r.verification) }[id] ?? r[id];
  const value = score(r, cell.stratum, cell.metric)[0];
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
