/* The data in the page: an index, and parts that are unpacked when they are first needed: one for
   each task (rows and scores), and one for each image set (networks and predictions). */
const INDEX = JSON.parse($("index").textContent);
const METRICS = Object.keys(INDEX.metrics);
const TARGETS = Object.keys(INDEX.targets);
const STEPS = 10000,
  CURVE_STEPS = 200;
const unpacked = new Map();
const NONE = [null, null, null, null];

async function unpack(id, complete = part => part) {
  if (!unpacked.has(id)) {
    const packed = Uint8Array.from(atob($(id).textContent), c => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const buffer = await new Response(stream).arrayBuffer();
    const length = new DataView(buffer).getUint32(0, true);
    const part = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    unpacked.set(id, complete({ ...part, bytes: new DataView(buffer, 4 + length) }));
  }
  return unpacked.get(id);
}

const entry = () => INDEX.tasks.find(t => t.name === view.task);
const idOf = entry => `task-${INDEX.tasks.indexOf(entry)}`;
const unpackTask = entry => unpack(idOf(entry), withScores);
const ofSameGroup = () => INDEX.tasks.filter(t => t.group === entry().group);
const task = () => unpacked.get(idOf(entry()));
const images = () => unpacked.get(`images-${entry().images}`);
const networks = () => images().sets[images().tasks[view.task].set];
const predictions = r => images().tasks[view.task].predictions[r.predictor];
const rowOf = (of, predictor) => of.rows.find(r => r.predictor === predictor);
const chosen = () => rowOf(task(), view.predictor);

/* Adds the scores to the rows of a task. `pack_integers` describes the bytes: which numbers are
   known, then the differences between known numbers, by byte. */
function withScores(part) {
  const { bytes, strata, rows } = part;
  const size = TARGETS.length * strata.length * METRICS.length * 4 * rows.length;
  const values = new Array(size).fill(null);
  const known = (bytes.byteLength - size) / 4;
  for (let at = 0, n = size, sum = 0; at < size; at++) {
    if (!bytes.getUint8(at)) continue;
    const byte = place => bytes.getUint8(n + place * known);
    const signed = byte(0) | (byte(1) << 8) | (byte(2) << 16) | (byte(3) << 24);
    sum += (signed >>> 1) ^ -(signed & 1);
    values[at] = sum;
    n++;
  }
  rows.forEach((r, place) => Object.assign(r, { place, of: part }));
  return Object.assign(part, { values });
}

/* A score is [value, low, high, standard deviation over seeds]; null where undefined. */
function score(r, stratum, metric, against = view.against) {
  const { strata, rows, values } = r.of,
    [a, s, m] = [TARGETS.indexOf(against), strata.indexOf(stratum), METRICS.indexOf(metric)];
  if (s < 0) return NONE;
  const first = ((a * strata.length + s) * METRICS.length + m) * 4,
    unit = 10 ** INDEX.metrics[metric].decimals;
  return NONE.map((_, part) => {
    const value = values[(first + part) * rows.length + r.place];
    return value === null ? null : value / unit;
  });
}
/* The ceiling is known before training only, for the targets on which it was measured. */
const ceiling = (stratum, metric, of = task()) =>
  of.ceiling[view.against]?.[stratum]?.[metric] || NONE;

/* True and predicted accuracies of the n-th network of a task. */
const exact = at => images().bytes.getUint16(at, true) / STEPS;
function targetCurve(n) {
  const { epochs, curves } = networks();
  return Array.from({ length: epochs }, (_, e) => exact(curves + 2 * (n * epochs + e)));
}
const finalTarget = n => exact(networks().curves + 2 * ((n + 1) * networks().epochs - 1));
const finalPrediction = (p, n) => exact(p.finals + 2 * n);
/* Returns the predicted curve as pairs of epoch and accuracy. */
function predictedCurve(p, n) {
  if (p.curves == null) return [[p.epochs[0], finalPrediction(p, n)]];
  const size = networks().heldout.length,
    points = [];
  let sum = 0;
  for (let back = 0; back < p.epochs.length; back++) {
    sum = (sum + images().bytes.getUint8(p.curves + back * size + n)) % 256;
    points.unshift([p.epochs[p.epochs.length - 1 - back], sum / CURVE_STEPS]);
  }
  last(points)[1] = finalPrediction(p, n);
  return points;
}
