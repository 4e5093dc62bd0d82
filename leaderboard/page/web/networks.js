/* One predictor: predicted against true accuracy. One network: its curve and its layers. */
let shownNetwork = null; // index of the network shown; only a clicked one is kept in the address
let order = []; // indices of the networks in the chart, sorted by true accuracy
let moveRing = () => {}; // marks the network shown in the chart

/* Whether a network belongs to the chosen split or skeleton. */
function isChosen(n) {
  const { heldout, skeletons } = networks();
  return (
    view.part === "all" ||
    view.part === ["test", "heldout"][heldout[n]] ||
    view.part === skeletons[n]
  );
}

function drawScatter() {
  const r = chosen(),
    { heldout, architectures } = networks();
  order = architectures
    .map((_, n) => n)
    .filter(isChosen)
    .sort((a, b) => finalTarget(a) - finalTarget(b));
  const asked = architectures.indexOf(view.network);
  if (asked >= 0 && !order.includes(asked)) order = [asked, ...order];
  shownNetwork =
    asked >= 0 ? asked : order.includes(shownNetwork) ? shownNetwork : order[order.length >> 1];
  moveRing = () => {};
  const kept = predictions(r);
  if (!kept)
    return nothing(
      "scatter",
      r.failure
        ? "This predictor failed on this task: it has no predictions."
        : `The page holds the predictions of the best ${images().kept} predictors of each task; those of ${r.predictor} are in the repository, in leaderboard/results/${view.task}.`,
    );
  const height = clamp($("scatter").clientWidth, [300, 440]);
  const [svg, width] = canvas(
    $("scatter"), height,
    `${r.predictor}: true against predicted final accuracy of ${order.length} networks`,
  );
  const targets = order.map(finalTarget),
    predicted = order.map(n => finalPrediction(kept, n)),
    ends = spread([...targets, ...predicted], 0.03);
  const box = { left: 46, right: width - 8, top: 26, bottom: height - 46 },
    [x, y] = square(svg, box, ends, ["predicted final accuracy", "true"]);
  const points = order.map((n, i) => ({ n, x: x(predicted[i]), y: y(targets[i]) })),
    opacity = clamp(180 / order.length, [0.4, 0.85]);
  svg.append(...points.map(p => mark(heldout[p.n], p.x, p.y, 2.8, { opacity })));
  const circle = make("circle", { class: "ring", r: 7.5 });
  svg.append(circle);
  moveRing = () => {
    const p = points.find(point => point.n === shownNetwork);
    circle.setAttribute("cx", p.x);
    circle.setAttribute("cy", p.y);
  };
  pointing(
    svg,
    width,
    points,
    p => {
      if (p && view.network === null) show(p.n);
    },
    p => go({ network: p ? architectures[p.n] : null }),
  );
  moveRing();
}

function show(n) {
  if (n === shownNetwork) return;
  shownNetwork = n;
  moveRing();
  drawNetwork();
  drawWalk();
}

/* The slider over all networks of the chart, for keyboards, touch screens and screen readers. */
function drawWalk() {
  const slider = $("walk"),
    r = chosen(),
    n = shownNetwork,
    { architectures, skeletons } = networks();
  slider.max = order.length - 1;
  slider.value = order.indexOf(n);
  const kept = predictions(r),
    predicted = kept ? `, ${finalPrediction(kept, n).toFixed(3)} predicted` : "";
  slider.setAttribute(
    "aria-valuetext",
    `${architectures[n]}, ${skeletons[n]}: ${finalTarget(n).toFixed(3)} true${predicted}`,
  );
}

function drawNetwork() {
  const n = shownNetwork,
    r = chosen(),
    { epochs, heldout, skeletons, architectures, parameters, macs } = networks(),
    curve = targetCurve(n),
    k = task().observed;
  const predicted = predictions(r) ? predictedCurve(predictions(r), n) : [],
    kind = heldout[n] ? "held" : "test",
    holder = make("div"),
    facts = make("dl", { class: "facts" });
  const lineKey = key(
    ["", "— true"],
    predicted.length && [kind, predicted.length > 1 ? "- - predicted" : "● predicted"],
    k && ["", "▒ observed"],
  );
  $("network").replaceChildren(
    holder, lineKey, picture(networks().layers[n]), pictureKey(networks().layers[n]),
    layers(networks().layers[n]),
  );
  $("about-network").replaceChildren(facts);
  const [svg, width] = canvas(
    holder, 240, `Accuracy of network ${architectures[n]} after each epoch, true and predicted`,
  );
  const box = { left: 46, right: width - 10, top: 26, bottom: 196 },
    ends = spread([...curve, ...predicted.map(p => p[1])]);
  const x = scale(0, epochs, box.left, box.right),
    y = scale(...ends, box.bottom, box.top);
  if (k)
    svg.append(
      make("rect", {
        class: "seen", x: x(0), y: box.top, width: x(k) - x(0), height: box.bottom - box.top,
      }),
    );
  axes(svg, box, {
    x, y, xs: ticks(0, epochs, 4), ys: ticks(...ends, 4),
    names: ["epoch", "validation accuracy"],
  });
  svg.append(make("path", { class: "line true", d: path(curve.map((v, e) => [x(e + 1), y(v)])) }));
  if (predicted.length > 1)
    svg.append(
      make("path", {
        class: `line dashed ${kind}`,
        d: path(predicted.map(([e, v]) => [x(e), y(v)])),
      }),
    );
  if (predicted.length)
    svg.append(mark(heldout[n], x(last(predicted)[0]), y(last(predicted)[1]), 4));
  const predictionText = predicted.length
    ? `, ${last(predicted)[1].toFixed(4)} predicted by ${r.predictor}`
    : "";
  const entries = [
    ["network", `${architectures[n]}, ${skeletons[n]}, ${heldout[n] ? "held out" : "test"}`],
    ["size", `${count(parameters[n])} parameters, ${count(macs[n])} multiply-accumulates`],
    ["final accuracy", `${last(curve).toFixed(4)} true${predictionText}`],
  ];
  facts.append(...entries.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
}

function drawFacts() {
  const r = chosen(),
    { method, authors, date, link, code } = INDEX.sources[r.predictor];
  const depends = { "not known": "what it depends on is unknown", nothing: "depends on nothing" };
  const facts = [
    checkedWords(r.verification),
    depends[r.inputs] ?? `depends on ${r.inputs}`,
    `${r.seeds} seed${r.seeds > 1 ? "s" : ""}`,
    r.fit == null
      ? "time not reported"
      : `${seconds(r.fit)} s to fit, ${seconds(r.predict)} s to predict`,
    `version ${r.version}`,
    ...flagsOf(r),
  ];
  const source = [
    method && `method: ${method}`,
    authors && `by ${authors}`,
    date && `submitted ${date}`,
    code && `code: ${code}`,
  ];
  const known = source.filter(Boolean).join(" · ") || "Authors and code are not known.";
  const address = link ? [" · ", make("a", { href: link, rel: "noreferrer" }, link)] : [];
  $("facts").replaceChildren(
    make("p", {}, make("strong", {}, r.predictor), ` ${r.title}`),
    make("p", { class: "soft" }, facts.join(" · ")),
    make("p", { class: "soft" }, known, ...address),
    ...(r.failure ? [make("p", { class: "failure" }, r.failure)] : []),
  );
}
