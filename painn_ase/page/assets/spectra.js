// The spectra of all results: what is shown of them, the cursor, ranges.

const record = JSON.parse(document.getElementById('record').textContent);
const $ = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];
const results = record.results.map(openResult);
const several = results.length > 1;

const has = {
  infrared: results.some((r) => r.curves.infrared),
  raman: results.some((r) => r.geometries.length),
  ratio: results.some((r) => r.curves.vv && r.curves.vh),
  modes: results.some((r) => r.modes),
  laser: results.some((r) => r.conditions.laser_nm),
  error: results.some((r) => Object.values(r.curves).some((c) => c.error)),
  levels: results.some((r) => Object.keys(r.levels).length),
  lines: results.some((r) => Object.keys(r.lines).length),
};
const geometries = Object.keys(GEOMETRIES).filter((g) => results.some((r) => r.geometries.includes(g)));
const full = (() => {
  const modes = results.flatMap((r) => (r.modes?.frequency.length ? [Math.max(...r.modes.frequency)] : []));
  const ends = results.flatMap((r) => Object.values(r.curves).map((c) => c.x[c.x.length - 1]));
  const highest =
    modes.length === results.length ? Math.max(...modes) : Math.max(100, ...modes, ...ends) - 250;
  return [0, Math.ceil((highest + 250) / 250) * 250];
})();
const state = {
  active: 0,
  range: [...full],
  tool: 'zoom',
  transmittance: '',
  component: geometries[0],
  descending: '',
  split: false,
  band: true,
  sticks: true,
  levels: true,
  labels: true,
  laser: results.find((r) => r.conditions.laser_nm)?.conditions.laser_nm ?? null,
  region: null,
  factor: 1,
  shift: 0,
  strength: 0,
  experiments: {},
  note: '',
  chosen: null,
  cursor: null,
  theme: 'light',
};
const active = () => results[state.active];
const frequencies = () => active().modes?.frequency ?? [];

// -- what is shown ---------------------------------------------------------------------------------

const moved = (v) => state.factor * v + state.shift;
const back = (v) => (v - state.shift) / state.factor;
/** From the laser of a run to the one chosen: (ν̃0 − ν̃)⁴, exact away from resonance. */
function laserGain(result, v) {
  const own = result.conditions.laser_nm;
  return own && state.laser ? Math.max(0, (1e7 / state.laser - v) / (1e7 / own - v)) ** 4 : 1;
}
/** The name of a result's curve in a panel, or undefined where it has none. */
function curveName(result, panel) {
  if (panel === 'infrared') return result.curves.infrared && 'infrared';
  return result.geometries.includes(state.component) ? state.component : undefined;
}

/** A curve as it is tuned: moved along the axis with its areas kept, scaled to the laser. */
function shownCurve(result, panel) {
  const name = curveName(result, panel);
  if (!name) return null;
  const curve = result.curves[name];
  const gain = curve.x.map((v) => (panel === 'raman' ? laserGain(result, v) : 1) / state.factor);
  const times = (list) => Float64Array.from(list, (v, k) => v * gain[k]);
  return {
    ...curve,
    x: Float64Array.from(curve.x, moved),
    edge: moved(curve.edge),
    y: times(curve.y),
    error: curve.error && times(curve.error),
    gain,
    result,
    name,
  };
}

/** Harmonic lines on the ordinate of a curve: [wavenumber, height, mode] of the real modes. */
function sticksOf(curve) {
  const { result } = curve;
  const areas = result.lines[curve.name];
  if (!areas) return null;
  const perArea = curve.fwhm ? curve.peak / (curve.fwhm * state.factor) : 1;
  const gain = (v) => (curve.name === 'infrared' ? 1 : laserGain(result, v));
  return result.modes.frequency.flatMap((v, k) =>
    v > 0 ? [[moved(v), areas[k] * gain(v) * perArea, k]] : [],
  );
}

/** Anharmonic levels on the ordinate of a curve, as sticksOf; null for the mode of others. */
function levelsOf(curve) {
  const areas = curve.result.levels[curve.name];
  if (!areas) return null;
  const found = curve.result.modes.anharmonic;
  const perArea = curve.fwhm ? curve.peak / (curve.fwhm * state.factor) : 1;
  const gain = (v) => (curve.name === 'infrared' ? 1 : laserGain(curve.result, v));
  const n = found.frequency.length;
  return [...found.frequency, ...found.others.map(([, v]) => v)].map((v, k) => [
    moved(v),
    areas[k] * gain(v) * perArea,
    k < n ? k : null,
  ]);
}

function panelOf(name) {
  const curves = results.map((r) => shownCurve(r, name)).filter(Boolean);
  if (!curves.length) return null;
  const main = curves.find((c) => c.result.index === state.active) ?? curves[0];
  const palette = PALETTES[state.theme];
  const tuned =
    state.factor === 1 && state.shift === 0
      ? ''
      : `, ν̃ × ${state.factor.toFixed(3)}${state.shift ? ` ${state.shift > 0 ? '+' : '−'} ${Math.abs(state.shift)}` : ''}`;
  const { conditions } = main.result;
  const source = conditions.harmonic ? 'harmonic, broadened' : 'dynamics';
  const kelvin =
    conditions.temperature_K && !(conditions.harmonic && name === 'infrared')
      ? `, ${conditions.temperature_K.toFixed(0)} K`
      : '';
  const laser = state.laser ? `, ${Number(state.laser.toPrecision(4))} nm` : '';
  const sticks = sticksOf(main);
  return {
    name,
    title: name === 'infrared' ? 'Infrared' : `Raman, ${GEOMETRIES[state.component]}${laser}`,
    unit: main.unit,
    transmittance: name === 'infrared' && Boolean(state.transmittance),
    curves: curves
      .filter((c) => c.unit.words[1] === main.unit.words[1])
      .map((c) => ({
        ...c,
        main: c === main,
        colour: several ? palette.series[c.result.index % palette.series.length] : palette[name],
        label: several ? c.result.name + (c === main ? tuned : '') : source + kelvin + tuned,
      })),
    main,
    sticks,
    levels: levelsOf(main),
    relative: Boolean(state.transmittance && name === 'infrared') || !main.fwhm,
    chosenAt: state.chosen === null ? null : moved(frequencies()[state.chosen]),
    experiment: state.experiments[name] ? scaledExperiment(state.experiments[name], main) : null,
  };
}

/** The experiment with the curve's area over the range that both cover, times what the slider says. */
function scaledExperiment(given, curve) {
  const low = Math.max(state.range[0], given.x[0], curve.x[0]);
  const high = Math.min(state.range[1], given.x[given.x.length - 1], curve.x[curve.x.length - 1]);
  const theirs = integrate(given.x, given.y, low, high);
  const ours = integrate(curve.x, curve.y, low, high);
  const gain = (theirs > 0 && ours > 0 ? ours / theirs : 1) * 10 ** state.strength;
  return { x: given.x, y: given.y.map((v) => v * gain), label: 'experiment (scaled)' };
}

// -- drawing ---------------------------------------------------------------------------------------

let layout = null;
let panels = [];
const chartOptions = (id) => ({ ...state, descending: Boolean(state.descending), id });

function draw() {
  panels = ['infrared', 'raman'].map(panelOf).filter(Boolean);
  const panelHeight = Math.max(
    190,
    Math.min(panels.length > 1 ? 270 : 420, (panels.length > 1 ? 0.27 : 0.5) * window.innerHeight),
  );
  layout = drawSpectra($('plot'), {
    panels,
    range: state.range,
    width: Math.max(300, $('chart').clientWidth),
    panelHeight,
    palette: PALETTES[state.theme],
    options: chartOptions('screen'),
    chosen: state.chosen,
  });
  for (const side of ['width', 'height']) $('overlay').setAttribute(side, $('plot').getAttribute(side));
  for (const panel of panels) $(`unit-${panel.name}`).textContent = `/ ${panel.unit.words[1]}`;
  $('chart').classList.toggle('pan', state.tool === 'pan');
  drawCursor();
  sayFit();
}

function drawCursor(region = state.region) {
  const over = $('overlay');
  over.replaceChildren();
  const palette = PALETTES[state.theme];
  if (region) {
    const [a, b] = region.map((v) => layout.scale.to(Math.min(state.range[1], Math.max(state.range[0], v))));
    for (const { top, bottom } of layout.boxes)
      over.append(
        svg('rect', {
          x: Math.min(a, b),
          width: Math.abs(b - a),
          y: top,
          height: bottom - top,
          fill: palette.chosen,
          opacity: 0.16,
          stroke: palette.chosen,
        }),
      );
  }
  for (const id of ['x', 'infrared', 'raman', 'ratio', 'mode']) $(`read-${id}`).textContent = '–';
  const v = state.cursor;
  if (v === null || v < state.range[0] || v > state.range[1]) return;
  const x = layout.scale.to(v);
  $('read-x').textContent = `${v.toFixed(1)} cm⁻¹`;
  panels.forEach((panel, k) => {
    const { top, bottom, y } = layout.boxes[k];
    over.append(
      svg('line', { x1: x, x2: x, y1: top, y2: bottom, stroke: palette.muted, 'stroke-dasharray': '3 3' }),
    );
    const value = interpolate(panel.main.x, panel.main.y, v);
    if (!Number.isFinite(value)) return;
    over.append(
      svg('circle', {
        cx: x,
        cy: y(value),
        r: 4,
        fill: panel.curves.find((c) => c.main).colour,
        stroke: palette.paper,
        'stroke-width': 1.5,
      }),
    );
    $(`read-${panel.name}`).textContent = readable(
      value,
      panel.main.error ? interpolate(panel.main.x, panel.main.error, v) : 0,
    );
  });
  const { vv, vh } = active().curves;
  if (vv && vh) {
    const ratio = interpolate(vh.x, vh.y, back(v)) / interpolate(vv.x, vv.y, back(v));
    if (Number.isFinite(ratio)) $('read-ratio').textContent = minus(ratio.toFixed(2));
  }
  const near = nearestMode(v);
  if (near !== null) {
    const [leading] = active().modes.character[near];
    const words = leading ? `, ${leading[0]}` : '';
    $('read-mode').textContent = `${near + 1} at ${moved(frequencies()[near]).toFixed(0)}${words}`;
  }
}

/** The mode closest to a wavenumber; null where there are none. */
function nearestMode(v) {
  const list = frequencies();
  if (!list.length) return null;
  return list.reduce(
    (best, f, k) => (Math.abs(moved(f) - v) < Math.abs(moved(list[best]) - v) ? k : best),
    0,
  );
}

/** The mode that a click means: a stick close by, else the strongest of the band. */
function modeAt(pixel, panel) {
  const v = layout.scale.from(pixel);
  const near = nearestMode(v);
  if (near === null) return null;
  const list = frequencies();
  const close = (k) => list[k] > 0 && Math.abs(layout.scale.to(moved(list[k])) - pixel) <= 5;
  if (close(near)) {
    // several under one pixel: the next click takes the next one
    const heap = list.map((_, k) => k).filter(close);
    return heap.includes(state.chosen) ? heap[(heap.indexOf(state.chosen) + 1) % heap.length] : near;
  }
  const sticks = panel.main.result.index === state.active ? (panel.sticks ?? []) : [];
  const weight = ([f, height]) => height / (1 + ((f - v) / 40) ** 2);
  return (
    sticks.reduce(
      (best, stick) => (best === null || weight(stick) > weight(best) ? stick : best),
      null,
    )?.[2] ?? near
  );
}

// -- range -----------------------------------------------------------------------------------------

function setRange(low, high) {
  const width = Math.min(Math.max(high - low, 20), full[1] - full[0]);
  const start = Math.min(Math.max(low, full[0]), full[1] - width);
  state.range = [start, start + width];
  draw();
}
function zoom(by, about = state.cursor ?? (state.range[0] + state.range[1]) / 2) {
  setRange(about + (state.range[0] - about) * by, about + (state.range[1] - about) * by);
}
function panBy(pixels, range = state.range) {
  const by = (pixels / (layout.right - layout.left)) * (range[1] - range[0]) * (state.descending ? -1 : 1);
  setRange(range[0] + by, range[1] + by);
}
const panelAt = (y) =>
  panels[
    Math.max(
      0,
      layout.boxes.findIndex((box) => y < box.bottom + PLOT.gap / 2),
    )
  ];

function listenToChart() {
  const chart = $('chart');
  let start = null;
  let clicked = { time: -1e9, mode: null };
  const local = (event) => {
    const box = chart.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  chart.addEventListener('pointerdown', (event) => {
    if (event.button) return;
    const [x, y] = local(event);
    start = { x, y, range: [...state.range], tool: event.shiftKey ? 'pan' : state.tool, moved: false };
    chart.setPointerCapture(event.pointerId);
  });
  chart.addEventListener('pointermove', (event) => {
    const [x] = local(event);
    state.cursor = layout.scale.from(x);
    if (start && Math.abs(x - start.x) > 4) start.moved = true;
    if (start?.moved && start.tool === 'pan') panBy(start.x - x, start.range);
    else drawCursor(start?.moved ? [layout.scale.from(start.x), state.cursor] : state.region);
  });
  chart.addEventListener('pointerup', (event) => {
    if (!start) return;
    const [x, y] = local(event);
    const done = start;
    start = null;
    const [a, b] = [layout.scale.from(done.x), layout.scale.from(x)].sort((p, q) => p - q);
    if (!done.moved) {
      const mode = modeAt(x, panelAt(y));
      if (mode === null) return;
      if (event.timeStamp - clicked.time > 450) clicked = { time: event.timeStamp, mode: state.chosen };
      choose(mode);
    } else if (done.tool === 'zoom') setRange(a, b);
    else if (done.tool === 'integrate') showAreas(a, b);
  });
  chart.addEventListener('pointercancel', () => {
    start = null;
    drawCursor();
  });
  chart.addEventListener('pointerleave', () => {
    if (start) return;
    state.cursor = null;
    drawCursor();
  });
  chart.addEventListener('dblclick', () => {
    if (clicked.mode !== null) choose(clicked.mode); // the two clicks picked; take that back
    setRange(...full);
  });
  chart.addEventListener(
    'wheel',
    (event) => {
      if (event.ctrlKey || event.metaKey)
        zoom(Math.exp(0.002 * event.deltaY), layout.scale.from(local(event)[0]));
      else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) panBy(event.deltaX);
      else return;
      event.preventDefault();
    },
    { passive: false },
  );
  chart.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const stride =
      (event.shiftKey ? 0.05 : 0.004) * (state.range[1] - state.range[0]) * (state.descending ? -1 : 1);
    const cursor = state.cursor ?? (state.range[0] + state.range[1]) / 2;
    const key = event.key;
    if (key === 'ArrowLeft' || key === 'ArrowRight') {
      state.cursor = Math.min(
        state.range[1],
        Math.max(state.range[0], cursor + (key === 'ArrowRight' ? stride : -stride)),
      );
      drawCursor();
      $('said').textContent = ['x', 'infrared', 'raman']
        .filter((id) => id === 'x' || has[id])
        .map((id) => $(`read-${id}`).textContent)
        .join(', ');
    } else if (key === 'Enter' && nearestMode(cursor) !== null) choose(nearestMode(cursor));
    else if (key === '+' || key === '=') zoom(0.8);
    else if (key === '-') zoom(1.25);
    else if (key === '0') setRange(...full);
    else if (key === 'Escape') {
      state.region = null;
      $('integral').hidden = true;
      drawCursor();
    } else return;
    event.preventDefault();
  });
}
