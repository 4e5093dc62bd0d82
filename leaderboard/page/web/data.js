/* The data in the page: an index, and one packed text per image set, unpacked when first shown. */
const INDEX = JSON.parse($("index").textContent);
const METRICS = Object.keys(INDEX.metrics);
const STEPS = 10000,
  CURVE_STEPS = 200;
const unpacked = new Map();
const NONE = [null, null, null, null];

async function unpack(images) {
  if (unpacked.has(images)) return;
  const packed = Uint8Array.from(atob($(`data-${images}`).textContent), c => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(stream).arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const data = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  data.bytes = new DataView(buffer, 4 + length);
  unpacked.set(images, data);
}

const entry = () => INDEX.tasks.find(t => t.name === view.task);
const data = () => unpacked.get(entry().images);
const task = () => data().tasks.find(t => t.name === view.task);
const networks = () => data().sets[task().set];
const rowOf = (of, predictor) => of.rows.find(r => r.predictor === predictor);
const chosen = () => rowOf(task(), view.predictor);
const inputs = r => data().inputs[r.predictor];

/* A score is [value, low, high, standard deviation over seeds]; null where undefined. */
function unscaled(packed, metric) {
  if (!packed) return NONE;
  const unit = 10 ** INDEX.metrics[metric].decimals;
  return NONE.map((_, i) => (packed[i] == null ? null : packed[i] / unit));
}
const score = (r, stratum, metric) =>
  unscaled(r[view.against][stratum]?.[METRICS.indexOf(metric)], metric);
const ceiling = (stratum, metric) =>
  unscaled(data().ceiling[stratum]?.[METRICS.indexOf(metric)], metric);

/* True and predicted accuracies of the n-th network of a task. */
const exact = at => data().bytes.getUint16(at, true) / STEPS;
function targetCurve(n) {
  const { epochs, curves } = networks();
  return Array.from({ length: epochs }, (_, e) => exact(curves + 2 * (n * epochs + e)));
}
const finalTarget = n => exact(networks().curves + 2 * ((n + 1) * networks().epochs - 1));
const finalPrediction = (r, n) => exact(r.finals + 2 * n);
/* Returns the predicted curve as pairs of epoch and accuracy. */
function predictedCurve(r, n) {
  if (r.curves == null) return [[r.epochs[0], finalPrediction(r, n)]];
  const size = networks().heldout.length,
    points = [];
  let sum = 0;
  for (let back = 0; back < r.epochs.length; back++) {
    sum = (sum + data().bytes.getUint8(r.curves + back * size + n)) % 256;
    points.unshift([r.epochs[r.epochs.length - 1 - back], sum / CURVE_STEPS]);
  }
  last(points)[1] = finalPrediction(r, n);
  return points;
}
