// Arithmetic that knows no page: arrays in, numbers and text out.

/** The largest of many numbers; spreading them into Math.max would overflow the stack. */
const largest = (list, start = -Infinity) => list.reduce((a, b) => Math.max(a, b), start);

/** Undo `packed` of Python: base64 of little-endian integers times a scale a row. */
function unpack({ shape: [rows, width], scale, bytes, data }) {
  const raw = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const view = new DataView(raw.buffer);
  const value = bytes === 1 ? (k) => view.getInt8(k) : (k) => view.getInt16(2 * k, true);
  return Array.from({ length: rows }, (_, r) =>
    Float64Array.from({ length: width }, (_, k) => scale[r] * value(r * width + k)),
  );
}

/** Index of the last x not above `at`, for ascending x. */
function indexBelow(x, at) {
  let low = 0;
  let high = x.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (x[middle] <= at) low = middle;
    else high = middle;
  }
  return low;
}

function interpolate(x, y, at) {
  if (at < x[0] || at > x[x.length - 1]) return NaN;
  const k = indexBelow(x, at);
  const t = (at - x[k]) / (x[k + 1] - x[k]);
  return y[k] + t * (y[k + 1] - y[k]);
}

/** Trapezoid from `low` to `high`, the ends interpolated. */
function integrate(x, y, low, high) {
  const a = Math.max(low, x[0]);
  const b = Math.min(high, x[x.length - 1]);
  if (!(a < b)) return 0;
  let sum = 0;
  let lastX = a;
  let lastY = interpolate(x, y, a);
  for (let k = indexBelow(x, a) + 1; k < x.length && x[k] < b; k++) {
    sum += 0.5 * (x[k] - lastX) * (y[k] + lastY);
    lastX = x[k];
    lastY = y[k];
  }
  return sum + 0.5 * (b - lastX) * (interpolate(x, y, b) + lastY);
}

/** Standard error of the mean of independent values. */
function standardError(values) {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const square = values.reduce((a, b) => a + (b - mean) ** 2, 0);
  return Math.sqrt(square / (values.length - 1) / values.length);
}

/** Ratio of sums with the jackknife's error: it knows that both fluctuate together. */
function jackknifeRatio(above, below) {
  const a = above.reduce((s, v) => s + v, 0);
  const b = below.reduce((s, v) => s + v, 0);
  const n = above.length;
  const out = above.map((v, k) => (a - v) / (b - below[k]));
  const mean = out.reduce((s, v) => s + v, 0) / n;
  const error = Math.sqrt(((n - 1) / n) * out.reduce((s, v) => s + (v - mean) ** 2, 0));
  return [a / b, error];
}

function ticks(low, high, wanted) {
  const rough = (high - low) / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
  return { step, values: found };
}

/** Maxima between `low` and `high` that rise by `share` of the highest: [x, y], tallest first. */
function maxima(x, y, low, high, share = 0.02) {
  let top = 0;
  for (let k = 0; k < x.length; k++) if (x[k] >= low && x[k] <= high) top = Math.max(top, y[k]);
  const found = [];
  for (let k = 1; k < x.length - 1; k++) {
    if (x[k] < low || x[k] > high || y[k] < y[k - 1] || y[k] <= y[k + 1] || y[k] < share * top) continue;
    let rise = Infinity;
    for (const direction of [-1, 1]) {
      let floor = y[k];
      for (let j = k + direction; j >= 0 && j < x.length && y[j] <= y[k]; j += direction)
        floor = Math.min(floor, y[j]);
      rise = Math.min(rise, y[k] - floor);
    }
    if (rise < 0.5 * share * top) continue;
    const [a, b, c] = [y[k - 1], y[k], y[k + 1]];
    const bend = a - 2 * b + c;
    const t = bend < 0 ? (0.5 * (a - c)) / bend : 0;
    found.push([x[k] + t * (t > 0 ? x[k + 1] - x[k] : x[k] - x[k - 1]), b - 0.25 * (a - c) * t]);
  }
  return found.sort((p, q) => q[1] - p[1]);
}

/** Cosine of two curves over the part they share: 1 where they have one shape. */
function similarity(x, y, otherX, otherY, low, high) {
  let [xy, xx, yy] = [0, 0, 0];
  for (let k = 0; k < otherX.length; k++) {
    if (otherX[k] < low || otherX[k] > high) continue;
    const a = interpolate(x, y, otherX[k]);
    if (!Number.isFinite(a)) continue;
    // the weight makes it an integral also where points are spaced unevenly
    const w = 0.5 * ((otherX[k + 1] ?? otherX[k]) - (otherX[k - 1] ?? otherX[k]));
    xy += w * a * otherY[k];
    xx += w * a * a;
    yy += w * otherY[k] ** 2;
  }
  return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : NaN;
}

const SUPERSCRIPT = {
  '-': '⁻',
  0: '⁰',
  1: '¹',
  2: '²',
  3: '³',
  4: '⁴',
  5: '⁵',
  6: '⁶',
  7: '⁷',
  8: '⁸',
  9: '⁹',
};
const raised = (n) => String(n).replace(/./g, (c) => SUPERSCRIPT[c]);
const minus = (text) => text.replace('-', '−');

/** A number with as many digits as its error is worth, as text: "2.67 ± 0.38". */
function withError(value, error) {
  if (!(error > 0)) return minus(value.toPrecision(3));
  const power = Math.floor(Math.log10(error));
  const places = Math.max(0, 1 - power);
  return `${minus(value.toFixed(Math.min(places, 8)))} ± ${error.toFixed(Math.min(places, 8))}`;
}

/** A unit times a power of ten, its own power taken in: "10⁻⁴⁰ m²/sr", 6 → "10⁻³⁴ m²/sr". */
function withPower(unit, power) {
  if (!power) return unit;
  const own = EXPONENT.exec(unit);
  const lowered = (text) =>
    Number([...text].map((c) => Object.keys(SUPERSCRIPT).find((k) => SUPERSCRIPT[k] === c)).join(''));
  return own ? `10${raised(lowered(own[1]) + power)} ${own[2]}` : `10${raised(power)} ${unit}`;
}

const EXPONENT = /^10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+) (.*)/;

/** A value with its error and, where it is large or small, a power of ten: "(4.6 ± 0.6) × 10³". */
function readable(value, error) {
  const power = value > 0 && (value >= 1e4 || value < 1e-3) ? Math.floor(Math.log10(value)) : 0;
  const text = withError(value / 10 ** power, (error ?? 0) / 10 ** power);
  return power ? `(${text}) × 10${raised(power)}` : text;
}
