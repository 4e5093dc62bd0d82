/* The shown rows and columns as comma-separated values, with all the digits that the page has. */
function asText() {
  const shown = cells(),
    quoted = text => `"${String(text).replaceAll('"', '""')}"`;
  const head = [
    "task",
    "predictor",
    "status",
    "rank_first",
    "rank_last",
    "verification",
    ...shown.flatMap(c => [
      `${c.metric} ${c.stratum}`,
      `${c.metric} ${c.stratum} low`,
      `${c.metric} ${c.stratum} high`,
    ]),
    "fit_seconds",
    "predict_seconds",
    "observed_epochs",
  ];
  const line = r => [
    view.task,
    r.predictor,
    r.failure ? "failed" : "scored",
    ...(r.rank ?? ["", ""]),
    r.verification,
    ...shown.flatMap(c =>
      score(r, c.stratum, c.metric)
        .slice(0, 3)
        .map(v => v ?? ""),
    ),
    r.fit ?? "",
    r.predict ?? "",
    r.observedEpochs,
  ];
  return [head, ...ordered().map(line)]
    .map(row => row.map(v => (typeof v === "string" ? quoted(v) : v)).join(","))
    .join("\r\n");
}
