// What drawing needs: colours, SVG elements, the wavenumber axis, smooth paths.

const PALETTES = {
  light: {
    paper: '#ffffff',
    ink: '#16191d',
    muted: '#57606a',
    grid: '#e9edf1',
    axis: '#8b949e',
    infrared: '#0b4f8a',
    raman: '#00695c',
    sticks: '#c8364a',
    levels: '#7b3fa0',
    experiment: '#2b2b2b',
    chosen: '#b45f00',
    glow: '#ffb84d',
    series: ['#0b4f8a', '#b3400e', '#2e7d4f', '#7b3fa0', '#8a6a00', '#0e7c86', '#a3195b', '#555555'],
  },
  dark: {
    paper: '#171c22',
    ink: '#e9edf1',
    muted: '#a2adb8',
    grid: '#252c34',
    axis: '#69747f',
    infrared: '#74b9ff',
    raman: '#57d6bf',
    sticks: '#ff8b95',
    levels: '#c79bf0',
    experiment: '#f2f2f2',
    chosen: '#ffc04d',
    glow: '#ffc04d',
    series: ['#74b9ff', '#ff9b6b', '#6fd39a', '#c79bf0', '#e3c62b', '#58d0da', '#ff86b8', '#b0b7bf'],
  },
};
const PLOT = { left: 76, right: 18, row: 17, head: 34, gap: 12, bottom: 48, strip: 54 };
const FONT = 'Inter, "Segoe UI", Roboto, "Helvetica Neue", Arial, "Liberation Sans", sans-serif';

function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes))
    if (value !== undefined && value !== null) node.setAttribute(key, value);
  for (const child of children) if (child !== null) node.append(child);
  return node;
}

/** Wavenumber to pixel and back; either direction, optionally with the printout's break at 2000. */
function horizontalScale([low, high], left, width, { descending, split }) {
  const wide = split && low < 1900 && high > 2100;
  // above 2000 cm⁻¹ a centimetre of paper holds twice as many wavenumbers
  const bend = (v) => (wide && v > 2000 ? 2000 + (v - 2000) / 2 : v);
  const straight = (u) => (wide && u > 2000 ? 2000 + (u - 2000) * 2 : u);
  const [a, b] = [bend(low), bend(high)];
  const place = (v) => ((bend(v) - a) / (b - a)) * width;
  return {
    to: (v) => left + (descending ? width - place(v) : place(v)),
    from: (pixel) => {
      const share = Math.min(1, Math.max(0, (pixel - left) / width));
      return straight(a + (descending ? 1 - share : share) * (b - a));
    },
  };
}

const pair = ([x, y]) => `${x.toFixed(2)},${y.toFixed(2)}`;

/** A smooth curve through points of ascending x that nowhere overshoots (Fritsch–Carlson). */
function smoothPath(points) {
  const n = points.length;
  if (n < 3) return points.map((p, k) => `${k ? 'L' : 'M'}${pair(p)}`).join('');
  const slopes = [];
  for (let k = 0; k < n - 1; k++)
    slopes.push((points[k + 1][1] - points[k][1]) / (points[k + 1][0] - points[k][0] || 1e-9));
  const tangent = points.map((_, k) => {
    if (k === 0 || k === n - 1) return slopes[Math.min(k, n - 2)];
    const [a, b] = [slopes[k - 1], slopes[k]];
    return a * b <= 0 ? 0 : (2 * a * b) / (a + b);
  });
  let path = `M${pair(points[0])}`;
  for (let k = 0; k < n - 1; k++) {
    const [p, q] = [points[k], points[k + 1]];
    const h = (q[0] - p[0]) / 3;
    path += `C${pair([p[0] + h, p[1] + h * tangent[k]])} ${pair([q[0] - h, q[1] - h * tangent[k + 1]])} ${pair(q)}`;
  }
  return path;
}

/** The smallest of 1, 2, 5, 10, 20, … that is not below a ratio. */
function roundUp(ratio) {
  if (!(ratio > 1)) return 1;
  const decade = 10 ** Math.floor(Math.log10(ratio));
  return decade * [1, 2, 5, 10].find((m) => m * decade >= 0.999 * ratio);
}

/** A small curve over time with its own axes, into `root`. */
function drawTimeCurve(root, palette, { time, y, spread, target }) {
  const [width, height, left, foot] = [Math.max(300, root.clientWidth), 130, 44, 24];
  root.setAttribute('viewBox', `0 0 ${width} ${height}`);
  root.setAttribute('font-family', FONT);
  root.setAttribute('font-size', 11);
  root.replaceChildren();
  const low = Math.min(...y.map((v, k) => v - (spread?.[k] ?? 0)), target ?? Infinity);
  const high = Math.max(...y.map((v, k) => v + (spread?.[k] ?? 0)), target ?? -Infinity);
  const pad = 0.12 * (high - low || 1);
  const last = time[time.length - 1] || 1;
  const right = width - 8;
  const X = (t) => left + ((right - left) * t) / last;
  const Y = (v) => height - foot - ((height - foot - 6) * (v - low + pad)) / (high - low + 2 * pad);
  for (const v of ticks(low - pad, high + pad, 4).values)
    root.append(
      svg('line', { x1: left, x2: right, y1: Y(v), y2: Y(v), stroke: palette.grid }),
      svg(
        'text',
        { x: left - 6, y: Y(v) + 4, 'text-anchor': 'end', fill: palette.muted },
        minus(String(Number(v.toPrecision(4)))),
      ),
    );
  for (const t of ticks(0, last, 5).values)
    root.append(
      svg(
        'text',
        { x: X(t), y: height - 8, 'text-anchor': 'middle', fill: palette.muted },
        `${Number(t.toPrecision(4))}${t ? '' : ' ps'}`,
      ),
    );
  if (spread) {
    const edge = (sign) => time.map((t, k) => pair([X(t), Y(y[k] + sign * spread[k])]));
    root.append(
      svg('path', {
        d: `M${[...edge(1), ...edge(-1).reverse()].join('L')}Z`,
        fill: palette.infrared,
        opacity: 0.2,
      }),
    );
  }
  root.append(
    svg('path', {
      d: `M${time.map((t, k) => pair([X(t), Y(y[k])])).join('L')}`,
      fill: 'none',
      stroke: palette.infrared,
      'stroke-width': 1.3,
    }),
  );
  if (Number.isFinite(target))
    root.append(
      svg('line', {
        x1: left,
        x2: right,
        y1: Y(target),
        y2: Y(target),
        stroke: palette.ink,
        'stroke-dasharray': '5 4',
      }),
    );
}
