/* The shown rows and columns as comma-separated values, with all the digits that the page has. */
function asText() {
  const shown = cells(),
    parts = c => (c.field ? [""] : ["", " low", " high"]);
  const head = [
    "task", "predictor", "status", "rank_first", "rank_last", "flags", "checked",
    ...shown.flatMap(c => parts(c).map(part => c.id + part)), "fit_seconds", "predict_seconds",
    "observed_epochs",
  ];
  const line = r => [
    view.task, r.predictor, r.failure ? "failed" : "scored", ...(r.rank ?? [null, null]),
    flagsOf(r).join("; "), INDEX.checked[r.verification],
    ...shown.flatMap(c => scoreOf(r, c).slice(0, parts(c).length)), r.fit, r.predict,
    r.observedEpochs,
  ];
  const quoted = v => (typeof v === "string" ? `"${v.replaceAll('"', '""')}"` : (v ?? ""));
  return [head, ...ordered().map(line)].map(row => row.map(quoted).join(",")).join("\r\n");
}
