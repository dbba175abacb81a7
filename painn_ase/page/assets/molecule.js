// The molecule in three dimensions on a plain 2D canvas, and the same scene as SVG. No WebGL needed.

const STICK = 0.095; // Å

/**
 * A viewer in `canvas`: `load(molecule)` takes {symbols, positions, bonds, view} and shows it at rest;
 * `show(displacement, shares)` what moves, and by which share; `set` changes amplitude, speed, playing,
 * arrows, labels or palette; `highlight(atom)`, `reset()` and `asSvg(width, height)` do what they say.
 */
function createMolecule(canvas, { onAtom, stillness }) {
  let molecule = {
    symbols: [],
    positions: [],
    bonds: [],
    view: [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ],
  };
  let home = [];
  let reach = 1.5;
  const tilt = product(turn(1, -0.35), turn(0, 0.42));
  const state = {
    rotation: tilt,
    zoom: 1,
    displacement: null,
    shares: null,
    amplitude: 0.35,
    speed: 1,
    playing: !stillness,
    phase: 0,
    arrows: true,
    labels: false,
    hover: -1,
    palette: PALETTES.light,
  };
  let last = 0;
  let asked = false;

  function turn(axis, angle) {
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    return [
      [
        [1, 0, 0],
        [0, c, -s],
        [0, s, c],
      ],
      [
        [c, 0, s],
        [0, 1, 0],
        [-s, 0, c],
      ],
      [
        [c, -s, 0],
        [s, c, 0],
        [0, 0, 1],
      ],
    ][axis];
  }
  function product(a, b) {
    return a.map((row) => [0, 1, 2].map((k) => row[0] * b[0][k] + row[1] * b[1][k] + row[2] * b[2][k]));
  }
  const apply = (m, p) => m.map((row) => row[0] * p[0] + row[1] * p[1] + row[2] * p[2]);

  function load(given) {
    molecule = given;
    const n = molecule.symbols.length;
    const centre = [0, 1, 2].map((d) => molecule.positions.reduce((sum, p) => sum + p[d], 0) / n);
    home = molecule.positions.map((p) => p.map((v, d) => v - centre[d]));
    reach = Math.max(1.5, ...home.map((p, k) => Math.hypot(...p) + 0.6 * elementOf(molecule.symbols[k])[1]));
    Object.assign(state, { displacement: null, shares: null, hover: -1 });
    reset();
  }
  function reset() {
    state.rotation = product(tilt, molecule.view);
    state.zoom = 1;
    ask();
  }

  /** Balls, half-bonds and arrows, far ones first, in pixels of a picture `width` by `height`. */
  function scene(width, height) {
    const swing = state.displacement ? state.amplitude * Math.sin(state.phase) : 0;
    const eye = 4.2 * reach;
    const size = (0.44 * Math.min(width, height) * state.zoom) / reach;
    const project = ([x, y, z]) => {
      const k = (eye / (eye - z)) * size;
      return { x: width / 2 + k * x, y: height / 2 - k * y, z, k };
    };
    const moved = home.map((p, a) =>
      p.map((v, d) => v + swing * (state.displacement ? state.displacement[a][d] : 0)),
    );
    const turned = moved.map((p) => apply(state.rotation, p));
    const radius = molecule.symbols.map((s) => 0.2 + 0.22 * elementOf(s)[1]);
    const parts = [];
    for (let a = 0; a < home.length; a++)
      parts.push({ kind: 'ball', atom: a, depth: turned[a][2], r: radius[a], ...project(turned[a]) });
    for (const [i, j] of molecule.bonds) {
      const between = turned[j].map((v, d) => v - turned[i][d]);
      const length = Math.hypot(...between);
      const at = (s) => turned[i].map((v, d) => v + (s / length) * between[d]);
      const middle = at(length / 2);
      const surface = (a) => 0.98 * Math.sqrt(radius[a] ** 2 - STICK ** 2);
      // the end away from the viewer is rounded: there the rim of the cylinder is seen
      const bulge = Math.abs(between[2]) / length;
      for (const [atom, from] of [
        [i, at(surface(i))],
        [j, at(length - surface(j))],
      ]) {
        const [a, b] = from[2] < middle[2] ? [from, middle] : [middle, from];
        parts.push({
          kind: 'stick',
          atom,
          depth: (from[2] + middle[2]) / 2 - 0.02,
          a: project(a),
          b: project(b),
          r: STICK,
          bulge,
        });
      }
    }
    if (state.displacement && state.arrows)
      for (let a = 0; a < home.length; a++) {
        const d = apply(state.rotation, state.displacement[a]);
        const length = Math.hypot(...d);
        if (length < 0.06) continue;
        const unit = d.map((v) => v / length);
        const base = apply(state.rotation, home[a]);
        const from = base.map((v, k) => v + unit[k] * radius[a] * 0.9);
        const tip = base.map((v, k) => v + unit[k] * (radius[a] + 0.25 + 0.75 * length));
        parts.push({
          kind: 'arrow',
          atom: a,
          depth: (from[2] + tip[2]) / 2,
          a: project(from),
          b: project(tip),
        });
      }
    return parts.sort((p, q) => p.depth - q.depth);
  }

  /** The scene as drawing steps that canvas and SVG share: circles, lines and polygons with paint. */
  function paint(width, height, to) {
    const parts = scene(width, height);
    const { palette } = state;
    const edge = mix(palette.paper, '#000000', 0.75);
    for (const part of parts) {
      const fog = Math.min(0.55, Math.max(0, (0.28 * (reach - part.depth)) / (2 * reach)));
      const colour = mix(elementOf(molecule.symbols[part.atom])[0], palette.paper, fog);
      if (part.kind === 'ball') {
        const share = state.shares ? state.shares[part.atom] : 0;
        if (share > 0.015)
          to.disc(
            part.x,
            part.y,
            part.r * part.k + 3 + 7 * Math.sqrt(share),
            palette.glow,
            0.25 + 0.6 * share,
          );
        to.ball(
          part.x,
          part.y,
          part.r * part.k,
          colour,
          mix(edge, palette.paper, fog),
          part.atom === state.hover ? palette.chosen : null,
        );
        if (state.labels)
          to.text(
            part.x,
            part.y,
            `${molecule.symbols[part.atom]}${part.atom + 1}`,
            Math.max(10, 0.3 * part.k * 0.75),
            molecule.symbols[part.atom] === 'H' ? '#16191d' : '#ffffff',
          );
      } else if (part.kind === 'stick') to.stick(part.a, part.b, part.r, part.bulge, colour, palette.paper);
      else to.arrow(part.a, part.b, palette.chosen, palette.paper);
    }
  }

  const context = canvas.getContext('2d');
  const onCanvas = canvasPainter(context);
  function drawScene() {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = state.palette.paper;
    context.fillRect(0, 0, width, height);
    paint(width, height, onCanvas);
  }
  function frame(now) {
    asked = false;
    const passed = Math.min(0.1, (now - last) / 1000);
    last = now;
    if (state.playing && state.displacement)
      state.phase = (state.phase + 2 * Math.PI * 0.9 * state.speed * passed) % (2 * Math.PI);
    drawScene();
    if (state.playing && state.displacement) ask();
  }
  function ask() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(frame);
  }

  /** The scene as it stands, for papers: on white. */
  function asSvg(width, height) {
    const shown = state.palette;
    state.palette = PALETTES.light;
    const root = svg('svg', {
      xmlns: 'http://www.w3.org/2000/svg',
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      'font-family': FONT,
    });
    root.append(svg('rect', { width, height, fill: state.palette.paper }));
    paint(width, height, svgPainter(root));
    state.palette = shown;
    return root;
  }

  // -- pointer and keys
  const pointers = new Map();
  const under = (event) => {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const balls = scene(box.width, box.height).filter(
      (p) => p.kind === 'ball' && Math.hypot(p.x - x, p.y - y) < p.r * p.k + 2,
    );
    return balls.length ? balls[balls.length - 1].atom : -1;
  };
  canvas.addEventListener('pointerdown', (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
  });
  canvas.addEventListener('pointermove', (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) {
      const atom = under(event);
      if (atom !== state.hover) {
        state.hover = atom;
        onAtom(atom);
        ask();
      }
      return;
    }
    const [dx, dy] = [event.clientX - before[0], event.clientY - before[1]];
    if (pointers.size === 2) {
      const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
      const distance = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]);
      state.zoom = Math.min(
        6,
        Math.max(0.4, (state.zoom * distance([event.clientX, event.clientY])) / distance(before)),
      );
    } else state.rotation = product(product(turn(1, 0.011 * dx), turn(0, 0.011 * dy)), state.rotation);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    ask();
  });
  for (const name of ['pointerup', 'pointercancel'])
    canvas.addEventListener(name, (event) => pointers.delete(event.pointerId));
  canvas.addEventListener('pointerleave', () => {
    if (state.hover >= 0) {
      state.hover = -1;
      onAtom(-1);
      ask();
    }
  });
  canvas.addEventListener(
    'wheel',
    (event) => {
      if (!event.ctrlKey && !event.metaKey && document.activeElement !== canvas) return;
      event.preventDefault();
      state.zoom = Math.min(6, Math.max(0.4, state.zoom * Math.exp(-0.0015 * event.deltaY)));
      ask();
    },
    { passive: false },
  );
  canvas.addEventListener('keydown', (event) => {
    const steps = { ArrowLeft: [1, -0.12], ArrowRight: [1, 0.12], ArrowUp: [0, -0.12], ArrowDown: [0, 0.12] };
    if (steps[event.key]) state.rotation = product(turn(...steps[event.key]), state.rotation);
    else if (event.key === '+' || event.key === '=') state.zoom = Math.min(6, state.zoom * 1.15);
    else if (event.key === '-') state.zoom = Math.max(0.4, state.zoom / 1.15);
    else return;
    event.preventDefault();
    ask();
  });
  new ResizeObserver(ask).observe(canvas);
  ask();

  return {
    load,
    reset,
    asSvg,
    show(displacement, shares) {
      Object.assign(state, { displacement, shares, phase: Math.PI / 2 });
      last = performance.now();
      ask();
    },
    set(changes) {
      Object.assign(state, changes);
      last = performance.now();
      ask();
    },
    highlight(atom) {
      state.hover = atom;
      ask();
    },
    state,
  };
}
