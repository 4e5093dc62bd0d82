/* What is shown of the scores: names, columns, order, and which rows pass the filters. */
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
const PARTS = [
  ["test", "test"],
  ["heldout", "held out"],
];
const isHeld = stratum =>
  stratum.startsWith("heldout") || heldOut().includes(stratum.replace("skeleton/", ""));
const words = stratum =>
  ({ heldout: "held out" })[stratum] ?? stratum.replace(/^(skeleton|heldout)\//, "");

function skeletonsOf(held) {
  const { skeletons, heldout } = networks();
  return [...new Set(skeletons.filter((_, n) => heldout[n] === held))].sort();
}
const heldOut = () => skeletonsOf(1);
const strataOf = group =>
  group === "seen"
    ? ["test", ...skeletonsOf(0).map(name => `skeleton/${name}`)]
    : [
        "heldout",
        "heldout/extrapolates",
        "heldout/unseen feature",
        ...heldOut().map(name => `skeleton/${name}`),
      ];

/* Groups of columns: a title, and cells with an id, a metric, a stratum and a text. */
function groups() {
  const cell = (metric, stratum, text) => ({
    id: `${metric} ${stratum}`,
    metric,
    stratum,
    text,
    held: isHeld(stratum),
  });
  const [, metrics] = COLUMNS[view.columns];
  if (metrics === null) {
    const known = strataOf(view.columns).filter(stratum =>
      task().rows.some(r => r[view.against][stratum]),
    );
    const found = known.map(stratum => cell(view.metric, stratum, words(stratum)));
    return [{ title: label(view.metric), metric: view.metric, cells: found }];
  }
  return metrics.map(name => {
    const [metric, learned] = name.split("/");
    return {
      title: label(metric),
      metric,
      cells: PARTS.map(([part, text]) => cell(metric, learned ? `${part}/${learned}` : part, text)),
    };
  });
}
const cells = () => groups().flatMap(group => group.cells);

function passes(r) {
  const wanted = view.find.toLowerCase().split(/\s+/).filter(Boolean);
  const text = `${r.predictor} ${r.title}`.toLowerCase();
  return (
    wanted.every(word => text.includes(word)) &&
    (view.input === "any" || inputs(r) === view.input) &&
    (view.verified === "any" || r.verification === view.verified)
  );
}
const shownRows = () => task().rows.filter(passes);

/* Whether the best value of a column is its greatest; of a target, the nearest is the best. */
const descends = id => {
  const found = cells().find(c => c.id === id);
  return found !== undefined && INDEX.metrics[found.metric].direction === "higher";
};
function valueOf(r, id) {
  const found = cells().find(c => c.id === id);
  if (!found)
    return { name: r.predictor, verification: LEVELS.indexOf(r.verification) }[id] ?? r[id];
  const value = score(r, found.stratum, found.metric)[0];
  const { target } = INDEX.metrics[found.metric];
  return target != null && value != null ? Math.abs(value - target) : value;
}

/* Rows in the chosen order: best first, or reversed; failed ones and those without a value last. */
function ordered() {
  const rows = shownRows(),
    scored = rows.filter(r => !r.failure),
    failed = rows.filter(r => r.failure);
  const sign = (view.reversed ? -1 : 1) * (descends(view.sort) ? -1 : 1);
  if (view.sort === "rank") return [...(view.reversed ? scored.reverse() : scored), ...failed];
  const compare = (a, b) => {
    const [one, two] = [valueOf(a, view.sort), valueOf(b, view.sort)];
    if (one == null || two == null) return (one == null) - (two == null);
    return sign * (typeof one === "string" ? one.localeCompare(two) : one - two);
  };
  return [...scored.sort(compare), ...failed.sort(compare)];
}
