/* The view: everything the reader has chosen. It is kept in the address, so links restore it. */
const DEFAULTS = {
  task: null, predictor: null, find: "", input: "any", checked: "any", columns: "final",
  metric: "tau", against: "scores", sort: "rank", reversed: "", stratum: "test", part: "all",
  network: null, budget: "0", algorithm: null,
};
const view = { ...DEFAULTS };

function address() {
  const changed = Object.keys(DEFAULTS).filter(
    name => view[name] != null && view[name] !== DEFAULTS[name],
  );
  return `#${new URLSearchParams(changed.map(name => [name, view[name]]))}`;
}

/* Sets the view from the address; parameters that are not given have their defaults. */
function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(DEFAULTS)) view[name] = given.get(name) ?? DEFAULTS[name];
}

/* Changes the view. With `step`, the back button undoes the change; without, for typing, not. */
async function go(changes, step = true) {
  Object.assign(view, changes);
  await draw();
  try {
    const isNew = step && address() !== location.hash;
    history[isNew ? "pushState" : "replaceState"](null, "", address());
  } catch {
    /* a frame may have no address of its own */
  }
}

/* Replaces choices that the board does not have by defaults; `missing` collects them. */
function checkView() {
  const missing = [];
  const check = (name, known, fallback) => {
    if (known.includes(view[name])) return;
    if (view[name] != null) missing.push(`no ${name} “${shortened(view[name], 40)}”`);
    view[name] = fallback;
  };
  check("task", INDEX.tasks.map(t => t.name), INDEX.tasks[0].name);
  check("columns", Object.keys(COLUMNS), DEFAULTS.columns);
  check("metric", INDEX.charted, DEFAULTS.metric);
  check("against", TARGETS, DEFAULTS.against);
  check("stratum", ["test", "heldout"], DEFAULTS.stratum);
  check("reversed", ["", "yes"], "");
  return { missing, check };
}

/* Does the same for choices that depend on the task. */
function checkViewOfTask({ check }) {
  const { rows, skeletons } = task();
  check("predictor", rows.map(r => r.predictor), rows[0].predictor);
  check("input", ["any", ...rows.map(r => r.inputs)], "any");
  check("checked", ["any", ...LEVELS], "any");
  const columns = [...COST, ...cells()].map(c => c.id);
  check("sort", ["rank", "name", "checked", ...columns], "rank");
  check("part", ["all", "test", "heldout", ...Object.keys(skeletons)], "all");
}

/* Does the same for the network, and tells the reader what is missing. */
function checkNetwork({ missing, check }) {
  check("network", [null, ...networks().architectures], null);
  $("notice").hidden = !missing.length;
  $("notice").textContent = missing.length
    ? `This board has ${missing.join(", ")}; the default is shown instead.`
    : "";
}
