/* The view: all that a reader has chosen. It stands in the address, so that a link brings it back. */
const DEFAULTS = {
  task: null,
  predictor: null,
  find: "",
  input: "any",
  verified: "any",
  columns: "final",
  metric: "tau",
  against: "scores",
  sort: "rank",
  reversed: "",
  stratum: "test",
  part: "all",
  network: null,
};
const view = { ...DEFAULTS };

function address() {
  const given = Object.keys(DEFAULTS).filter(
    name => view[name] != null && view[name] !== DEFAULTS[name],
  );
  return `#${new URLSearchParams(given.map(name => [name, view[name]]))}`;
}

/* Reads the address; what it does not say is as it was at first. */
function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(DEFAULTS)) view[name] = given.get(name) ?? DEFAULTS[name];
}

/* Changes the view: a step that the back button takes back, or, while typing, none. */
async function go(changes, step = true) {
  Object.assign(view, changes);
  await draw();
  try {
    const anew = step && address() !== location.hash;
    history[anew ? "pushState" : "replaceState"](null, "", address());
  } catch {
    /* in a frame without an address of its own */
  }
}

/* Puts what the page lacks in order, and says so. */
function settle() {
  const lacking = [];
  const must = (name, known, otherwise) => {
    if (known.includes(view[name])) return;
    if (view[name] != null) lacking.push(`no ${name} “${shortened(view[name], 40)}”`);
    view[name] = otherwise;
  };
  must(
    "task",
    INDEX.tasks.map(t => t.name),
    INDEX.tasks[0].name,
  );
  must("columns", Object.keys(COLUMNS), DEFAULTS.columns);
  must("metric", INDEX.charted, DEFAULTS.metric);
  must("against", ["scores", "testAccuracy"], DEFAULTS.against);
  must("stratum", ["test", "heldout"], DEFAULTS.stratum);
  must("reversed", ["", "yes"], "");
  return { lacking, must };
}

function settleWithin({ lacking, must }) {
  const { skeletons, architectures } = networks();
  const rows = task().rows;
  must(
    "predictor",
    rows.map(r => r.predictor),
    rows[0].predictor,
  );
  must("input", ["any", ...rows.map(inputs)], "any");
  must("verified", ["any", ...LEVELS], "any");
  must(
    "sort",
    ["rank", "name", "verification", ...COST.map(([id]) => id), ...cells().map(c => c.id)],
    "rank",
  );
  must("part", ["all", "test", "heldout", ...skeletons], "all");
  must("network", [null, ...architectures], null);
  $("notice").hidden = !lacking.length;
  $("notice").textContent = lacking.length
    ? `This board has ${lacking.join(", ")}; shown instead is what it has.`
    : "";
}
