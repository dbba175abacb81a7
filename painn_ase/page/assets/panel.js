// Infrared above Raman over one wavenumber axis, as SVG: crisp in print, downloadable as it stands.

/**
 * Draw the panels into `root` (emptied first). A panel is {name, title, unit, transmittance, curves:
 * [{x, y, error, colour, label, main}], sticks and levels: [[ν, height, mode]], relative, experiment, chosenAt}.
 * Gives the scales, which the pointer needs: {scale, boxes, left, right}.
 */
function drawSpectra(root, { panels, range, width, panelHeight, palette, options, chosen }) {
  root.replaceChildren();
  const inner = width - PLOT.left - PLOT.right;
  const scale = horizontalScale(range, PLOT.left, inner, options);
  const legends = panels.map((panel) => legendOf(panel, options, palette, width));
  let down = 0;
  const tops = legends.map((legend) => {
    const top = down + PLOT.head + PLOT.row * legend.extra;
    down = top + panelHeight + PLOT.gap;
    return top;
  });
  const height = down - PLOT.gap + PLOT.bottom;
  for (const [name, value] of Object.entries({
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    'font-family': FONT,
    'font-size': 12,
  }))
    root.setAttribute(name, value);
  root.append(svg('rect', { width, height, fill: palette.paper }));
  const boxes = panels.map((panel, k) => {
    const box = {
      top: tops[k],
      bottom: tops[k] + panelHeight,
      inner,
      scale,
      range,
      palette,
      options,
      chosen,
      id: `inside-${k}-${options.id}`,
    };
    return drawPanel(root, panel, box, legends[k], k === panels.length - 1);
  });
  root.append(
    svg(
      'text',
      {
        x: PLOT.left + inner / 2,
        y: height - 8,
        'text-anchor': 'middle',
        fill: palette.ink,
        'font-size': 13,
      },
      'wavenumber / cm⁻¹',
    ),
  );
  return { scale, boxes, left: PLOT.left, right: PLOT.left + inner };
}

function drawPanel(root, panel, box, legend, last) {
  const { top, bottom, inner, scale, range, palette, options } = box;
  const hanging = (options.sticks && panel.sticks) || (options.levels && panel.levels);
  const floor = hanging ? bottom - PLOT.strip : bottom;
  const main = panel.curves.find((c) => c.main);
  const column = panel.transmittance ? -Math.log(0.1) / largest(main.y, 1e-30) : 0;
  const ceiling = panel.transmittance ? 105 : 1.1 * highestShown(panel, range, options);
  const perUnit = (floor - top) / ceiling;
  const y = (v) => floor - perUnit * (panel.transmittance ? 100 * Math.exp(-column * v) : v);
  const drawn = { ...box, floor, ceiling, perUnit, y };
  drawFrame(root, panel, drawn, last);
  if (box.chosen !== null && panel.chosenAt >= range[0] && panel.chosenAt <= range[1]) {
    const x = scale.to(panel.chosenAt);
    root.append(
      svg('line', {
        x1: x,
        x2: x,
        y1: top - 6,
        y2: bottom,
        stroke: palette.glow,
        'stroke-width': 7,
        opacity: 0.28,
      }),
    );
  }
  root.append(
    svg(
      'clipPath',
      { id: box.id },
      svg('rect', { x: PLOT.left, y: top - 12, width: inner, height: floor - top + 12 }),
    ),
  );
  const group = svg('g', { 'clip-path': `url(#${box.id})` });
  for (const curve of panel.curves.filter((c) => c.main && options.band && c.error))
    drawBand(group, curve, drawn);
  if (panel.experiment)
    drawLine(group, panel.experiment, drawn, {
      stroke: palette.experiment,
      'stroke-width': 1.3,
      'stroke-dasharray': '5 2.5',
      class: 'experiment',
    });
  for (const curve of [...panel.curves].sort((a, b) => a.main - b.main))
    drawLine(group, curve, drawn, {
      stroke: curve.colour,
      'stroke-width': curve.main ? 1.7 : 1.2,
      class: `curve-${panel.name}`,
    });
  root.append(group);
  if (floor < bottom) drawSticks(root, panel, drawn, legend);
  if (options.labels) drawMaxima(root, panel, main, drawn);
  drawLegend(root, panel, drawn, legend);
  return { name: panel.name, top, bottom, y };
}

/** Indices of the points in a range, and one beyond at either end; none of what stands at zero. */
function within({ x, edge = 0 }, [low, high]) {
  const found = [];
  for (let k = 0; k < x.length; k++) {
    if (x[k] < edge) continue;
    const inside = x[k] >= low && x[k] <= high;
    if (inside || (x[k] < low && x[k + 1] >= low) || (x[k] > high && x[k - 1] <= high)) found.push(k);
  }
  return found;
}

/** The height that the panel has to hold; what rises towards zero is the window's, and no band. */
function highestShown(panel, range, options) {
  let peak = 0;
  for (const curve of panel.curves) {
    for (const k of within(curve, range)) {
      if (curve.x[k] < curve.edge) continue;
      const above = curve.main && options.band && curve.error ? 2 * curve.error[k] : 0;
      peak = Math.max(peak, Math.min(curve.y[k] + above, 1.35 * curve.y[k]));
    }
  }
  if (panel.experiment)
    for (const k of within(panel.experiment, range)) peak = Math.max(peak, panel.experiment.y[k]);
  return peak > 0 ? peak : 1; // a molecule that does not absorb has an axis, too
}

function drawFrame(root, panel, { top, bottom, floor, ceiling, inner, scale, range, palette }, last) {
  const right = PLOT.left + inner;
  const levels = panel.transmittance ? { values: [0, 25, 50, 75, 100], step: 25 } : ticks(0, ceiling, 5);
  const power = panel.transmittance ? 0 : Math.floor(Math.log10(ceiling));
  const factor = power >= 4 || power <= -3 ? power : 0;
  const places = Math.max(0, -Math.floor(Math.log10(levels.step / 10 ** factor) + 1e-9));
  for (const v of levels.values) {
    const up = floor - ((floor - top) * v) / ceiling;
    root.append(
      svg('line', { x1: PLOT.left, x2: right, y1: up, y2: up, stroke: palette.grid }),
      svg(
        'text',
        { x: PLOT.left - 8, y: up + 4, 'text-anchor': 'end', fill: palette.muted },
        (v / 10 ** factor).toFixed(places),
      ),
    );
  }
  for (const v of ticks(...range, inner / 85).values) {
    const x = scale.to(v);
    root.append(svg('line', { x1: x, x2: x, y1: bottom, y2: bottom + 5, stroke: palette.axis }));
    if (last)
      root.append(
        svg(
          'text',
          { x, y: bottom + 19, 'text-anchor': 'middle', fill: palette.muted },
          String(Math.round(v * 100) / 100),
        ),
      );
  }
  for (const v of ticks(...range, inner / 17).values) {
    const x = scale.to(v);
    root.append(
      svg('line', { x1: x, x2: x, y1: bottom, y2: bottom + 3, stroke: palette.axis, 'stroke-width': 0.7 }),
    );
  }
  root.append(
    svg('path', { d: `M${PLOT.left},${top}V${bottom}H${right}`, fill: 'none', stroke: palette.axis }),
  );
  if (floor < bottom)
    root.append(
      svg('line', {
        x1: PLOT.left,
        x2: right,
        y1: floor,
        y2: floor,
        stroke: palette.axis,
        'stroke-width': 0.8,
      }),
    );
  const words = panel.transmittance
    ? ['transmittance', '%']
    : [panel.unit.words[0], withPower(panel.unit.words[1], factor)];
  words.forEach((word, row) =>
    root.append(
      svg(
        'text',
        {
          transform: `translate(${14 + 16 * row},${(top + floor) / 2}) rotate(-90)`,
          'text-anchor': 'middle',
          fill: row ? palette.muted : palette.ink,
        },
        row ? `/ ${word}` : word,
      ),
    ),
  );
}

/** Pixels of a list's points in view, from left to right. */
function pointsOf(list, values, { range, scale, y }) {
  const points = within(list, range).map((k) => [scale.to(list.x[k]), y(values(k))]);
  return points.length > 1 && points[0][0] > points[points.length - 1][0] ? points.reverse() : points;
}

/** As many points as can be told apart: of each half pixel the lowest and the highest. */
function thinned(points) {
  if (points.length < 5000) return points;
  const columns = new Map();
  for (const point of points) {
    const key = Math.round(2 * point[0]);
    const [low, high] = columns.get(key) ?? [point, point];
    columns.set(key, [point[1] < low[1] ? point : low, point[1] > high[1] ? point : high]);
  }
  return [...columns.values()].flatMap(([low, high]) =>
    low === high ? [low] : low[0] < high[0] ? [low, high] : [high, low],
  );
}

function drawLine(group, list, drawn, paint) {
  const points = thinned(pointsOf(list, (k) => list.y[k], drawn));
  if (points.length)
    group.append(svg('path', { d: smoothPath(points), fill: 'none', 'stroke-linejoin': 'round', ...paint }));
}

function drawBand(group, curve, drawn) {
  const upper = pointsOf(curve, (k) => curve.y[k] + 2 * curve.error[k], drawn);
  const lower = pointsOf(curve, (k) => Math.max(curve.y[k] - 2 * curve.error[k], 0), drawn);
  if (!upper.length) return;
  const back = lower
    .reverse()
    .map((p) => `L${pair(p)}`)
    .join('');
  group.append(
    svg('path', { d: `${smoothPath(upper)}${back}Z`, fill: curve.colour, opacity: 0.2, class: 'band' }),
  );
}

/** Sticks hang from the baseline, each as long as a line of its area is high, divided by a round number. */
function drawSticks(root, panel, { floor, bottom, perUnit, scale, range, palette, options, chosen }, legend) {
  const inside = (list) => list.filter(([v]) => v >= range[0] && v <= range[1]);
  const harmonic = options.sticks && panel.sticks ? inside(panel.sticks) : [];
  const levels = options.levels && panel.levels ? inside(panel.levels) : [];
  // what diverges towards zero wavenumber may be cut, and must not make all others vanish
  const both = [...harmonic, ...levels];
  const counted = both.filter(([v]) => v >= panel.main.edge);
  const tallest = Math.max(1e-30, ...(counted.length ? counted : both).map(([, h]) => h));
  const longest = 0.92 * (bottom - floor);
  const divisor = panel.relative ? 1 : roundUp((tallest * perUnit) / longest);
  legend.remark = panel.relative ? ', relative' : divisor > 1 ? ` ÷ ${divisor}` : '';
  const length = panel.relative ? longest / tallest : perUnit / divisor;
  const hangLines = (list, kind, colour, wide) => {
    const hang = svg('g', { class: kind });
    for (const [v, h, mode] of list) {
      const x = scale.to(v);
      const is = mode !== null && mode === chosen;
      const y2 = floor + Math.min(bottom - floor, Math.max(2, length * h));
      const stroke = is ? palette.chosen : colour;
      hang.append(
        svg('line', {
          x1: x,
          x2: x,
          y1: floor,
          y2,
          stroke,
          'stroke-width': is ? 1.8 * wide : wide,
          'data-mode': mode,
        }),
      );
      if (is) hang.append(svg('path', { d: `M${x - 5},${bottom + 1}h10l-5,-7z`, fill: palette.chosen }));
    }
    root.append(hang);
  };
  hangLines(harmonic, 'sticks', palette.sticks, 2);
  hangLines(levels, 'levels', palette.levels, 1.6);
}

/** Wavenumbers at the maxima of the main curve, the strongest first where room is short. */
function drawMaxima(root, panel, curve, { top, inner, scale, range, palette, y }) {
  const taken = [];
  const found = maxima(curve.x, curve.y, ...range).filter(([v]) => v > curve.edge);
  for (const [v, value] of found.slice(0, 24)) {
    const x = scale.to(v);
    if (taken.some((t) => Math.abs(t - x) < 30) || x < PLOT.left + 12 || x > PLOT.left + inner - 2) continue;
    taken.push(x);
    const over = panel.transmittance ? y(value) + 15 : y(value) - 8;
    root.append(
      svg(
        'text',
        {
          x,
          y: Math.max(over, top - 3),
          'text-anchor': 'middle',
          fill: palette.ink,
          'font-size': 10.5,
          stroke: palette.paper,
          'stroke-width': 3,
          'paint-order': 'stroke',
          class: 'maximum',
        },
        v.toFixed(0),
      ),
    );
  }
}

// -- legend ----------------------------------------------------------------------------------------

const measure = (() => {
  const context = document.createElement('canvas').getContext('2d');
  return (text, font) => {
    context.font = `${font} ${FONT}`;
    return context.measureText(text).width;
  };
})();

/** Entries of a panel's legend in rows: beside the title while there is room, then below it. */
function legendOf(panel, options, palette, width) {
  const main = panel.curves.find((c) => c.main);
  const entries = panel.curves.map((c) => ['line', c.colour, c.label]);
  if (options.band && main.error) entries.push(['band', main.colour, '± 2 standard errors']);
  if (options.sticks && panel.sticks) entries.push(['stick', palette.sticks, 'harmonic']);
  if (options.levels && panel.levels) entries.push(['stick', palette.levels, 'anharmonic']);
  if (panel.experiment) entries.push(['dash', palette.experiment, panel.experiment.label]);
  const long = ([kind, , text]) => measure(kind === 'stick' ? `${text}, relative` : text, '12px') + 42;
  const room = width - PLOT.left - PLOT.right;
  const rows = [[]];
  let used = measure(panel.title, '650 14px') + 16;
  for (const entry of entries) {
    if (used + long(entry) > room && (rows.length > 1 || used > 0)) {
      rows.push([]);
      used = 0;
    }
    rows[rows.length - 1].push([...entry, long(entry)]);
    used += long(entry);
  }
  return { rows, extra: rows.length - 1, remark: '' };
}

function drawLegend(root, panel, { top, inner, palette }, { rows, remark }) {
  const head = svg('g', {});
  const first = top - 17 - PLOT.row * (rows.length - 1);
  head.append(
    svg(
      'text',
      { x: PLOT.left, y: first, 'font-size': 14, 'font-weight': 650, fill: palette.ink },
      panel.title,
    ),
  );
  rows.forEach((row, r) => {
    const y = first + PLOT.row * r;
    let x = r ? PLOT.left : PLOT.left + inner - row.reduce((sum, entry) => sum + entry[3], 0) + 14;
    for (const [kind, ink, text, long] of row) {
      const mark = {
        line: () => svg('line', { x1: x, x2: x + 18, y1: y - 4, y2: y - 4, stroke: ink, 'stroke-width': 2 }),
        dash: () =>
          svg('line', {
            x1: x,
            x2: x + 18,
            y1: y - 4,
            y2: y - 4,
            stroke: ink,
            'stroke-width': 1.4,
            'stroke-dasharray': '5 2.5',
          }),
        band: () => svg('rect', { x, y: y - 9, width: 18, height: 10, fill: ink, opacity: 0.22 }),
        stick: () =>
          svg('line', { x1: x + 9, x2: x + 9, y1: y - 10, y2: y + 2, stroke: ink, 'stroke-width': 2.4 }),
      }[kind]();
      head.append(
        mark,
        svg('text', { x: x + 24, y, fill: palette.muted }, kind === 'stick' ? text + remark : text),
      );
      x += long;
    }
  });
  root.append(head);
}
