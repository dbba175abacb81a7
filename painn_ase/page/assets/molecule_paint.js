// How balls, sticks, arrows and numbers look: on a canvas, and as SVG.

/** First colours and covalent radii (Å) of elements; others are purple and large. */
const ELEMENTS = {
  H: ['#f4f5f7', 0.31],
  Li: ['#b57edc', 1.28],
  B: ['#f5b5a0', 0.84],
  C: ['#5b6168', 0.76],
  N: ['#3f6fe0', 0.71],
  O: ['#e0372f', 0.66],
  F: ['#77c94b', 0.57],
  Na: ['#a45ee0', 1.66],
  Mg: ['#6fbf1f', 1.41],
  Al: ['#b9a6a6', 1.21],
  Si: ['#d9b98c', 1.11],
  P: ['#ee8a1d', 1.07],
  S: ['#e3c62b', 1.05],
  Cl: ['#3cc03c', 1.02],
  K: ['#8f40d4', 2.03],
  Ca: ['#3dbf3d', 1.76],
  Ti: ['#a9aeb4', 1.6],
  Fe: ['#d9652f', 1.32],
  Cu: ['#c77a38', 1.32],
  Zn: ['#7d80b0', 1.22],
  Br: ['#a0392e', 1.2],
  Ag: ['#b4b9bf', 1.45],
  I: ['#8a2a9e', 1.39],
  Pt: ['#c2c4d1', 1.36],
  Au: ['#e6c02c', 1.36],
};
const elementOf = (symbol) => ELEMENTS[symbol] ?? ['#c06ca8', 1.2];

function mix(a, b, t) {
  const parse = (h) => [1, 3, 5].map((k) => parseInt(h.slice(k, k + 2), 16));
  const [p, q] = [parse(a), parse(b)];
  return `#${p
    .map((v, k) =>
      Math.round(v + t * (q[k] - v))
        .toString(16)
        .padStart(2, '0'),
    )
    .join('')}`;
}
const BALL_LIGHT = (colour) => [
  [0.05, mix(colour, '#ffffff', 0.75)],
  [0.35, mix(colour, '#ffffff', 0.12)],
  [0.8, mix(colour, '#000000', 0.22)],
  [1, mix(colour, '#000000', 0.45)],
];
const STICK_LIGHT = (colour) => [
  [0, mix(colour, '#000000', 0.5)],
  [0.3, mix(colour, '#000000', 0.12)],
  [0.68, mix(colour, '#ffffff', 0.5)],
  [1, mix(colour, '#000000', 0.3)],
];

/** Steps of drawing on a 2D canvas; sizes in pixels. */
function canvasPainter(context) {
  return {
    disc(x, y, r, colour, opacity) {
      context.globalAlpha = opacity;
      context.fillStyle = colour;
      context.beginPath();
      context.arc(x, y, r, 0, 2 * Math.PI);
      context.fill();
      context.globalAlpha = 1;
    },
    ball(x, y, r, colour, edge, ring) {
      const light = context.createRadialGradient(x - 0.35 * r, y - 0.4 * r, 0.05 * r, x, y, 1.02 * r);
      for (const [t, c] of BALL_LIGHT(colour)) light.addColorStop(t, c);
      context.fillStyle = light;
      context.strokeStyle = ring ?? edge;
      context.lineWidth = ring ? 3 : 1;
      context.beginPath();
      context.arc(x, y, r, 0, 2 * Math.PI);
      context.fill();
      context.stroke();
    },
    stick(a, b, r, bulge, colour, halo) {
      const across = Math.atan2(b.y - a.y, b.x - a.x) + Math.PI / 2;
      const [c, s] = [Math.cos(across), Math.sin(across)];
      const [ra, rb] = [r * a.k, r * b.k];
      // a rim of paper at the sides lifts it off what is behind
      context.beginPath();
      context.moveTo(a.x + c * ra, a.y + s * ra);
      context.lineTo(b.x + c * rb, b.y + s * rb);
      context.moveTo(a.x - c * ra, a.y - s * ra);
      context.lineTo(b.x - c * rb, b.y - s * rb);
      context.strokeStyle = halo;
      context.lineWidth = 3.6;
      context.lineCap = 'butt';
      context.stroke();
      const light = context.createLinearGradient(a.x + c * ra, a.y + s * ra, a.x - c * ra, a.y - s * ra);
      const flip = s < 0 || (s === 0 && c < 0);
      for (const [t, c] of STICK_LIGHT(colour)) light.addColorStop(flip ? 1 - t : t, c);
      context.beginPath();
      context.moveTo(a.x + c * ra, a.y + s * ra);
      context.lineTo(b.x + c * rb, b.y + s * rb);
      context.lineTo(b.x - c * rb, b.y - s * rb);
      context.lineTo(a.x - c * ra, a.y - s * ra);
      context.ellipse(a.x, a.y, ra, bulge * ra, across, Math.PI, 2 * Math.PI, true);
      context.closePath();
      context.fillStyle = light;
      context.fill();
    },
    arrow(a, b, colour, halo) {
      const angle = Math.atan2(b.y - a.y, b.x - a.x);
      const head = Math.min(12, 0.16 * b.k, 0.7 * Math.hypot(b.x - a.x, b.y - a.y) + 2);
      const [c, s] = [Math.cos(angle), Math.sin(angle)];
      for (const [ink, grow] of [
        [halo, 3],
        [colour, 0],
      ]) {
        context.strokeStyle = context.fillStyle = ink;
        context.lineWidth = 2.6 + grow;
        context.lineCap = 'round';
        context.lineJoin = 'round';
        context.beginPath();
        context.moveTo(a.x, a.y);
        context.lineTo(b.x - c * head, b.y - s * head);
        context.stroke();
        context.beginPath();
        context.moveTo(b.x, b.y);
        context.lineTo(b.x - c * head - s * head * 0.5, b.y - s * head + c * head * 0.5);
        context.lineTo(b.x - c * head + s * head * 0.5, b.y - s * head - c * head * 0.5);
        context.closePath();
        context.lineWidth = Math.max(1, grow);
        context.fill();
        context.stroke();
      }
    },
    text(x, y, text, size, colour) {
      context.font = `600 ${size}px ${FONT}`;
      context.textAlign = 'center';
      context.textBaseline = 'middle';
      context.lineWidth = 3;
      context.strokeStyle = colour === '#ffffff' ? 'rgba(0,0,0,.55)' : 'rgba(255,255,255,.85)';
      context.strokeText(text, x, y);
      context.fillStyle = colour;
      context.fillText(text, x, y);
    },
  };
}

/** The same steps as elements of an SVG. */
function svgPainter(root) {
  const defs = svg('defs');
  root.append(defs);
  let count = 0;
  const gradient = (name, attributes, stops) => {
    const id = `g${count++}`;
    defs.append(
      svg(
        name,
        { id, gradientUnits: 'userSpaceOnUse', ...attributes },
        ...stops.map(([offset, c]) => svg('stop', { offset, 'stop-color': c })),
      ),
    );
    return `url(#${id})`;
  };
  const f = (v) => v.toFixed(2);
  return {
    disc: (x, y, r, colour, opacity) =>
      root.append(svg('circle', { cx: f(x), cy: f(y), r: f(r), fill: colour, opacity })),
    ball: (x, y, r, colour, edge) => {
      const fill = gradient(
        'radialGradient',
        { cx: f(x), cy: f(y), r: f(1.02 * r), fx: f(x - 0.35 * r), fy: f(y - 0.4 * r) },
        BALL_LIGHT(colour),
      );
      root.append(svg('circle', { cx: f(x), cy: f(y), r: f(r), fill, stroke: edge }));
    },
    stick: (a, b, r, bulge, colour, halo) => {
      const length = Math.hypot(b.x - a.x, b.y - a.y) || 1;
      const [c, s] = [-(b.y - a.y) / length, (b.x - a.x) / length];
      const [ra, rb] = [r * a.k, r * b.k];
      const side = (t) =>
        `M${f(a.x + t * c * ra)},${f(a.y + t * s * ra)}L${f(b.x + t * c * rb)},${f(b.y + t * s * rb)}`;
      const body = `${side(1)}L${f(b.x - c * rb)},${f(b.y - s * rb)}L${f(a.x - c * ra)},${f(a.y - s * ra)}A${f(ra)},${f(bulge * ra)} ${f((Math.atan2(s, c) * 180) / Math.PI)} 0 0 ${f(a.x + c * ra)},${f(a.y + s * ra)}Z`;
      const up = s < 0 || (s === 0 && c < 0) ? -1 : 1;
      const fill = gradient(
        'linearGradient',
        {
          x1: f(a.x + up * c * r * a.k),
          y1: f(a.y + up * s * r * a.k),
          x2: f(a.x - up * c * r * a.k),
          y2: f(a.y - up * s * r * a.k),
        },
        STICK_LIGHT(colour),
      );
      root.append(
        svg('path', { d: side(1) + side(-1), stroke: halo, 'stroke-width': 3.6 }),
        svg('path', { d: body, fill }),
      );
    },
    arrow: (a, b, colour, halo) => {
      const angle = Math.atan2(b.y - a.y, b.x - a.x);
      const head = Math.min(12, 0.16 * b.k, 0.7 * Math.hypot(b.x - a.x, b.y - a.y) + 2);
      const [c, s] = [Math.cos(angle), Math.sin(angle)];
      const d = `M${f(a.x)},${f(a.y)}L${f(b.x - c * head)},${f(b.y - s * head)}M${f(b.x)},${f(b.y)}L${f(b.x - c * head - s * head * 0.5)},${f(b.y - s * head + c * head * 0.5)}L${f(b.x - c * head + s * head * 0.5)},${f(b.y - s * head - c * head * 0.5)}Z`;
      for (const [ink, wide] of [
        [halo, 5.6],
        [colour, 2.6],
      ])
        root.append(
          svg('path', {
            d,
            fill: ink,
            stroke: ink,
            'stroke-width': wide,
            'stroke-linecap': 'round',
            'stroke-linejoin': 'round',
          }),
        );
    },
    text: (x, y, text, size, colour) =>
      root.append(
        svg(
          'text',
          {
            x: f(x),
            y: f(y),
            'font-size': f(size),
            'font-weight': 600,
            'text-anchor': 'middle',
            'dominant-baseline': 'central',
            fill: colour,
            stroke: colour === '#ffffff' ? '#00000088' : '#ffffffdd',
            'stroke-width': 3,
            'paint-order': 'stroke',
          },
          text,
        ),
      ),
  };
}
