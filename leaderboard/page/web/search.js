/* The comparison of search algorithms: regret against budget, and a table of the same results. */
const searchesHere = () => INDEX.searches.filter(s => s.images === entry().images);
const REGRET = 4; // decimals
const SHOWN_SHARE = 0.95; // of the regrets; larger ones are drawn at the edge
const chosenOf = search => search.rows.find(r => r.name === view.algorithm) ?? search.rows[0];
const regretText = v => (v == null ? "–" : signed(v.toFixed(REGRET)));
const budgetText = s => `${count(s.budget)} ${s.unit}`;
const settingText = s =>
  s.space.networks
    ? `stored networks, ${budgetText(s)}`
    : `all architectures${s.space.shortcuts ? " and shortcuts" : ""}, ${budgetText(s)}`;

/** What was searched and what regret refers to. */
function aboutSearch(s) {
  const each = `each algorithm searches ${s.rows[0].repeats} times with ${budgetText(s)}`;
  if (s.space.networks)
    return `${count(s.space.networks)} test networks of ${s.images}; ${each}. Regret is the best final validation accuracy of all networks minus that of the chosen one.`;
  const { draws, best, chain, model, tau } = s.space;
  const trust = tau ? ` (tau on held-back networks ${tau[0]} to ${tau[1]}, by fold)` : "";
  return `All that the Markov chain can draw in ${s.space.skeletons.join(", ")} on ${s.images}; ${each}. A surrogate stands for training: ${model}${trust}. Regret is the value of the best of ${count(draws)} draws of the chain (${best.toFixed(REGRET)}) minus that of the chosen architecture, both without noise, so it can be negative. A run of a draw reaches ${chain.toFixed(REGRET)}.`;
}

function drawSearch() {
  const here = searchesHere();
  $("search").hidden = !here.length;
  if (!here.length) return;
  const labels = here.map((s, i) => [String(i), settingText(s)]);
  if (!(view.budget in here)) view.budget = "0";
  const search = here[view.budget];
  options($("budget"), labels, view.budget);
  $("about-search").textContent = aboutSearch(search);
  drawRegret(search);
  drawSearchTable(search);
}

function drawRegret(search) {
  const [svg, width] = canvas(
    $("regret"), 420, `Regret against budget, ${search.rows.length} algorithms`,
  );
  const narrow = width < 430,
    box = { left: 52, right: width - (narrow ? 120 : 190), top: 26, bottom: 370 };
  const lines = search.rows.map(row => ({
    name: row.name,
    chosen: row === chosenOf(search),
    points: search.points.map((at, i) => [at, row.regret[i]]),
  }));
  const values = lines.flatMap(l => l.points.map(([, s]) => s[0])).sort((a, b) => a - b);
  const ends = [Math.min(0, 1.05 * values[0]), 1.05 * values[Math.ceil(SHOWN_SHARE * values.length) - 1] || 0.01];
  const x = scale(0, last(search.points), box.left + 6, box.right - 6),
    straight = scale(...ends, box.bottom, box.top),
    y = v => straight(clamp(v, ends));
  axes(svg, box, {
    x, y, xs: ticks(0, last(search.points), 5), ys: ticks(...ends, 6),
    names: [`budget, ${search.unit}`, "regret, mean"],
  });
  const drawn = lines
    .sort((a, b) => a.chosen - b.chosen)
    .map(l => drawLine(svg, l, x, y, "test"));
  endLabels(svg, drawn.sort((a, b) => a.y - b.y), box, narrow ? 15 : 26, "algorithm");
  const points = drawn.flatMap(l =>
    l.at.map(([x, y, s, k]) => ({ x, y, algorithm: l.name, s, k })),
  );
  const text = p => `, ${count(Math.round(p.k))} ${search.unit}: ${regretText(p.s[0])}`;
  naming(svg, width, points, text, "algorithm");
  const high = lines.filter(l => l.points.some(([, s]) => s[0] > ends[1]));
  note($("regret"), "Partly above the chart, drawn at its edge", high.map(l => l.name));
}

/* The name of an algorithm, which the keyboard reaches; its click also arrives at the row. */
const picker = (row, search) =>
  make(
    "button",
    {
      type: "button", class: "pick", "data-key": `algorithm ${row.name}`,
      "aria-pressed": String(row === chosenOf(search)),
    },
    row.name,
  );

function drawSearchTable(search) {
  const head = [
    "algorithm", "area", "regret at the end",
    search.space.networks ? "test regret" : "accuracy, last quarter",
    "best found", "epochs", "own seconds",
  ];
  const three = s => [
    make("span", {}, regretText(s[0])),
    make("small", {}, `${regretText(s[1])} – ${regretText(s[2])}`),
  ];
  const heading = (text, kind) => make("th", { scope: "col", class: kind }, text);
  const line = row =>
    make(
      "tr",
      {
        class: row === chosenOf(search) ? "chosen" : "",
        onclick: () => go({ algorithm: row.name }),
      },
      make("td", { class: "text" }, picker(row, search), make("small", {}, row.title)),
      make("td", {}, ...three(row.area)),
      make("td", {}, ...three(last(row.regret))),
      make("td", {}, ...three(row.more)),
      make("td", {}, `${Math.round(100 * row.best)} %`),
      make("td", {}, count(Math.round(row.epochs))),
      make("td", {}, seconds(row.own)),
    );
  $("searches").replaceChildren(
    make("caption", { class: "hidden" }, `Search algorithms on ${search.images}`),
    make("thead", {}, make("tr", {}, ...head.map((h, i) => heading(h, i ? null : "text")))),
    make("tbody", {}, ...search.rows.map(line)),
  );
}
