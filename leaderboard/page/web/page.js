/* The page: its controls. Every change of the view draws the whole page again. */
let drawn = 0;
async function draw() {
  const mine = ++drawn,
    checked = checkView();
  document.querySelector("main").setAttribute("aria-busy", "true");
  await unpackTask(entry());
  if (mine !== drawn) return; // the view has changed in the meantime
  const focused = document.activeElement?.dataset?.key;
  checkViewOfTask(checked);
  drawControls();
  drawHeadline();
  drawPicture();
  drawTable();
  drawTransfer();
  drawCost();
  drawSkeletons();
  drawMatrix();
  drawFacts();
  drawSearch();
  if (focused)
    [...document.querySelectorAll("[data-key]")]
      .find(node => node.dataset.key === focused)
      ?.focus();
  await new Promise(resolve => setTimeout(resolve)); // shows the above before the rest is unpacked
  await unpack(`images-${entry().images}`);
  if (mine !== drawn) return;
  checkNetwork(checked);
  drawScatter();
  drawNetwork();
  drawWalk();
  const tasks = await Promise.all(ofSameGroup().map(unpackTask));
  if (mine !== drawn) return;
  drawLines(tasks);
  document.querySelector("main").setAttribute("aria-busy", "false");
}

function drawControls() {
  const { group, observed } = entry(),
    tasks = INDEX.tasks;
  const taskOf = (set, k) =>
    tasks.find(t => t.group === set && t.observed === k) ?? tasks.find(t => t.group === set);
  const sets = [...new Set(tasks.map(t => t.group))],
    ks = [...new Set(tasks.map(t => t.observed))].sort((a, b) => a - b);
  const hasTask = k => tasks.some(t => t.group === group && t.observed === k);
  segments(
    "images", sets.map(name => [name, name.replaceAll("-", " ")]), group,
    name => go({ task: taskOf(name, observed).name, part: "all", network: null }),
  );
  segments(
    "observed", ks.map(k => [k, k === 0 ? "0: before training" : `${k}`, hasTask(k)]), observed,
    k => go({ task: taskOf(group, k).name }),
  );
  segments("stratum", SPLITS, view.stratum, stratum => go({ stratum }));
  const { test, heldout } = task().networks;
  $("about").textContent =
    `${view.task}: ${count(test)} test and ${count(heldout)} held-out networks, predicted ${moment(observed)}.`;
  document.title = `peephole-bench: ${group}, ${moment(observed)}`;
  const rows = task().rows,
    present = [...new Set(rows.map(r => r.inputs))].sort();
  if ($("find").value !== view.find) $("find").value = view.find;
  options($("input"), [["any", "anything"], ...present.map(name => [name, name])], view.input);
  options(
    $("checked"), [["any", "any"], ...LEVELS.map(level => [level, checkedWords(level)])],
    view.checked,
  );
  options($("against"), Object.entries(INDEX.targets), view.against);
  const filters = ["find", "input", "checked", "against"].filter(n => view[n] !== DEFAULTS[n]);
  $("filters").open ||= filters.length > 0;
  $("active").textContent = filters.length ? `: ${filters.length} in use` : "";
  options(
    $("columns"), Object.entries(COLUMNS).map(([name, [title]]) => [name, title]), view.columns,
  );
  $("cell-metric").hidden = COLUMNS[view.columns][1] !== null;
  const skeletons = Object.keys(task().skeletons).map(name => [name, name]);
  options($("part"), [["all", "all"], ...SPLITS, ...skeletons], view.part);
  const all = scored().length;
  $("most").textContent =
    all > MOST
      ? `The charts show the best ${MOST} of the predictors that match the filters, and the highlighted one.`
      : "";
  for (const select of document.querySelectorAll("select.metric"))
    options(select, INDEX.charted.map(m => [m, label(m)]), view.metric);
  for (const select of document.querySelectorAll("select.predictor"))
    options(select, rows.map(r => [r.predictor, r.predictor]), view.predictor);
}

function showStatus(text) {
  $("done").textContent = text;
  setTimeout(() => {
    $("done").textContent = "";
  }, 4000);
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    showStatus("Copied");
  } catch {
    showStatus("Copy it from the address bar");
  }
}

function saveTable() {
  const url = URL.createObjectURL(new Blob([asText()], { type: "text/csv" }));
  make("a", { href: url, download: `${view.task}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
  showStatus("Saved");
}

for (const name of ["input", "checked", "against", "part", "budget"])
  $(name).addEventListener("change", event => go({ [name]: event.target.value }));
$("columns").addEventListener("change", event =>
  go({ columns: event.target.value, sort: "rank", reversed: "" }),
);
$("find").addEventListener("input", event => go({ find: event.target.value }, false));
for (const select of document.querySelectorAll("select.predictor"))
  select.addEventListener("change", event => go({ predictor: event.target.value }));
for (const select of document.querySelectorAll("select.metric"))
  select.addEventListener("change", event => {
    const metric = event.target.value,
      [first, ...stratum] = view.sort.split(" ");
    // The sorted column shows the chosen metric
    const follows = COLUMNS[view.columns][1] === null && first === view.metric;
    go({ metric, sort: follows ? [metric, ...stratum].join(" ") : view.sort });
  });
$("walk").addEventListener("input", event =>
  go({ network: networks().architectures[order[Number(event.target.value)]] }, false),
);
$("copy").addEventListener("click", copyLink);
$("save").addEventListener("click", saveTable);
addEventListener("popstate", () => {
  readAddress();
  draw();
});
let wait,
  seen = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === seen) return;
  seen = innerWidth;
  clearTimeout(wait);
  wait = setTimeout(draw, 120);
});
if (INDEX.leftOut.length) {
  $("left-out").hidden = false;
  $("left-out").textContent = `Left out, because they are wrong: ${INDEX.leftOut.join("; ")}.`;
}
readAddress();
draw().catch(error => {
  $("notice").hidden = false;
  $("notice").textContent =
    `The page cannot unpack its data (${error.message}): it needs a browser of 2023 or later.`;
});
