/* The matrix of differences in tau on test between the best predictors: row minus column. */
function drawMatrix() {
  const { names, value, significant } = task().differences;
  const number = (i, j) =>
    differenceText(value[i][j]).replace("0.", ".") + (significant[i][j] ? "*" : "");
  const cell = (i, j) =>
    make(
      "td",
      {
        class: i === j ? "same" : significant[i][j] ? "significant" : null,
        tabindex: i + j === 1 && i === 0 ? 0 : -1,
        "data-at": `${i} ${j}`,
        "aria-label": i === j ? names[i] : differenceWords(i, j),
      },
      i === j ? "" : number(i, j),
    );
  const head = names.map(name => make("th", { scope: "col" }, make("span", {}, name)));
  const body = names.map((name, i) =>
    make("tr", {}, make("th", { scope: "row" }, name), ...names.map((_, j) => cell(i, j))),
  );
  $("matrix").replaceChildren(
    make("caption", { class: "hidden" }, "Differences between predictors, row minus column"),
    make("thead", {}, make("tr", {}, make("td"), ...head)),
    make("tbody", {}, ...body),
  );
  $("h-matrix-more").textContent =
    scored().length > names.length ? `, the best ${names.length} of ${scored().length}` : "";
  showDifference(names.length > 1 ? [0, 1] : null);
}

function differenceWords(i, j) {
  const { names, value, low, high, significant } = task().differences;
  const ends = `${differenceText(low[i][j])} to ${differenceText(high[i][j])}`;
  const not = significant[i][j] ? "" : "not ";
  return `${names[i]} minus ${names[j]}: ${differenceText(value[i][j])} (${ends}), ${not}significant`;
}

/* Writes a difference below the matrix. */
function showDifference(at) {
  $("difference").textContent = at && at[0] !== at[1] ? differenceWords(...at) : "";
}

const cellAt = (i, j) => $("matrix").querySelector(`[data-at="${i} ${j}"]`);
const placeOf = node => node.closest?.("[data-at]")?.dataset.at.split(" ").map(Number);
const STEPS_OF_KEYS = {
  ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
};

/* The arrow keys move within the matrix, which is one stop of the Tab key. */
function moveInMatrix(event) {
  const at = placeOf(event.target),
    step = STEPS_OF_KEYS[event.key];
  const next = at && step && cellAt(at[0] + step[0], at[1] + step[1]);
  if (!next) return;
  event.preventDefault();
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}
for (const [kind, act] of [
  ["keydown", moveInMatrix],
  ["focusin", event => showDifference(placeOf(event.target))],
  ["pointerover", event => placeOf(event.target) && showDifference(placeOf(event.target))],
])
  $("matrix").addEventListener(kind, act);
