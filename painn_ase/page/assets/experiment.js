// Spectra of others: JCAMP-DX 4.24/5 (every table form of one spectrum) and CSV, read in the page.

const SQUEEZED = Object.fromEntries(
  [...'@ABCDEFGHI'].map((c, n) => [c, n]).concat([...'abcdefghi'].map((c, n) => [c, -n - 1])),
);
const DIFFERENCE = Object.fromEntries(
  [...'%JKLMNOPQR'].map((c, n) => [c, n]).concat([...'jklmnopqr'].map((c, n) => [c, -n - 1])),
);
const DUPLICATE = { ...Object.fromEntries([...'STUVWXYZ'].map((c, n) => [c, n + 1])), s: 9 };
const PLAIN = /[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?/g;
// an exponent needs its sign here: E alone is the squeezed digit 5
const TOKEN = /([@A-Za-s%+-]?)((?:\d+\.?\d*|\.\d+)?(?:[eE][+-]\d{1,3})?)/y;
const TO_INVCM = { '1/CM': 0, 'CM-1': 0, 'CM^-1': 0, MICROMETERS: 1e4, NANOMETERS: 1e7 };

/** {title, kind or null, unit, x, y (absorbance-like, ascending x), notes} or an Error that says why not. */
function readExperiment(text, name) {
  const found = /^\s*##/.test(text) ? readJcamp(text) : readTable(text, name);
  const order = found.x.map((_, k) => k).sort((a, b) => found.x[a] - found.x[b]);
  let x = order.map((k) => found.x[k]);
  let y = order.map((k) => found.y[k]);
  [x, y] = [x.filter((v, k) => k === 0 || v > x[k - 1]), y.filter((_, k) => k === 0 || x[k] > x[k - 1])];
  if (x.length < 8) throw new Error(`only ${x.length} points`);
  if (!(x.every(Number.isFinite) && y.every(Number.isFinite)))
    throw new Error('a value is not a finite number');
  const notes = [`${x.length} points, ${x[0].toFixed(0)}–${x[x.length - 1].toFixed(0)} cm⁻¹`];
  if (/REFLECT/i.test(found.unit))
    throw new Error('reflectance is no absorption; convert it in the program of the spectrometer');
  const whole = /%/.test(found.unit) || largest(y) > 2 ? 100 : 1;
  if (/TRANSMIT|%\s*T\b/i.test(found.unit)) {
    y = y.map((v) => -Math.log10(Math.max(v / whole, 1e-4)));
    notes.push('transmittance turned into absorbance');
  } else if (/ABSORPTANCE/i.test(found.unit)) {
    y = y.map((v) => -Math.log10(Math.max(1 - v / whole, 1e-4)));
    notes.push('absorptance turned into absorbance');
  }
  return { ...found, x, y, notes };
}

function readJcamp(text) {
  const records = {};
  let current = null;
  for (const [number, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.split('$$', 1)[0].trim();
    if (line.startsWith('##')) {
      const at = line.indexOf('=');
      if (at < 0) throw new Error(`line ${number + 1}: a label without '='`);
      const key = line
        .slice(2, at)
        .replace(/[\s\-_/]/g, '')
        .toUpperCase();
      if (key === 'END') break;
      if (key === 'NTUPLES' || key === 'LINK' || (key === 'TITLE' && records.TITLE))
        throw new Error(`line ${number + 1}: a compound file; save the one spectrum wanted alone`);
      current = { value: line.slice(at + 1).trim(), body: [] };
      records[key] = current;
    } else if (line && current) current.body.push([number + 1, line]);
  }
  const value = (key) => records[key]?.value ?? '';
  const number = (key, fallback) => {
    const n = value(key) === '' ? fallback : Number(value(key));
    if (!Number.isFinite(n)) throw new Error(`##${key}= is '${value(key)}', a number is needed`);
    return n;
  };
  if (!records.JCAMPDX) throw new Error('the label ##JCAMP-DX= is missing');
  const units = value('XUNITS').toUpperCase().replace(/\s/g, '') || '1/CM';
  if (!(units in TO_INVCM)) throw new Error(`XUNITS is '${units}': not a vibrational spectrum`);
  const points = Math.trunc(number('NPOINTS', 0));
  let x;
  let y;
  if (records.XYDATA) {
    const [first, last] = [number('FIRSTX'), number('LASTX')];
    y = readOrdinates(records.XYDATA.body, first, last, points, number('XFACTOR', 1));
    x = y.map((_, k) => first + (k * (last - first)) / (y.length - 1));
  } else if (records.XYPOINTS || records.PEAKTABLE) {
    const flat = (records.XYPOINTS ?? records.PEAKTABLE).body.flatMap(([, line]) =>
      line
        .split(/[\s,;]+/)
        .filter(Boolean)
        .map(Number),
    );
    if (flat.length % 2) throw new Error('an odd number of values in the pairs');
    x = flat.filter((_, k) => k % 2 === 0).map((v) => v * number('XFACTOR', 1));
    y = flat.filter((_, k) => k % 2 === 1);
  } else throw new Error('no table: ##XYDATA= or ##XYPOINTS= is needed');
  if (points && y.length !== points) throw new Error(`##NPOINTS= is ${points}, the table holds ${y.length}`);
  if (TO_INVCM[units]) x = x.map((v) => TO_INVCM[units] / v);
  const kind = /RAMAN/i.test(value('DATATYPE')) ? 'raman' : 'infrared';
  return {
    title: value('TITLE') || 'experiment',
    kind,
    unit: value('YUNITS'),
    x,
    y: y.map((v) => v * number('YFACTOR', 1)),
  };
}

function readOrdinates(body, first, last, points, xFactor) {
  const step = points > 1 ? (last - first) / (points - 1) : NaN;
  const values = [];
  let check = false;
  for (const [number, line] of body) {
    const [abscissa, given, difference] = readLine(line, `line ${number}`);
    const start = check ? values.length - 1 : values.length;
    // difference form repeats the last ordinate at the head of the next line
    if (check && (!given.length || Math.abs(given[0] - values[values.length - 1]) > 1.5))
      throw new Error(`line ${number}: the check ordinate does not match`);
    const expected = first + start * step;
    if (Math.abs(abscissa * xFactor - expected) > 1.5 * Math.abs(step) + 1e-3 * Math.abs(expected))
      throw new Error(`line ${number}: points are missing or too many`);
    for (const v of check ? given.slice(1) : given) values.push(v);
    check = difference;
  }
  return values;
}

function readLine(line, where) {
  const plain = line.match(PLAIN) ?? [];
  if (plain.length > 1 && !line.replace(PLAIN, '').replace(/,/g, '').trim())
    return [Number(plain[0]), plain.slice(1).map(Number), false];
  const text = line.replace(/,/g, ' ');
  let abscissa = null;
  let difference = null;
  const values = [];
  const signed = (digit, rest) =>
    (digit < 0 || Object.is(digit, -0) ? -1 : 1) * Number(`${Math.abs(digit)}${rest}`);
  const plainOrSqueezed = (sign, rest) =>
    sign in SQUEEZED ? signed(SQUEEZED[sign], rest) : Number(sign + rest);
  for (let at = 0; at < text.length;) {
    if (/\s/.test(text[at])) {
      at++;
      continue;
    }
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (!match || !match[0]) throw new Error(`${where}: cannot read '${text.slice(at, at + 12)}'`);
    at = TOKEN.lastIndex;
    const [, sign, rest] = match;
    if (abscissa === null) abscissa = plainOrSqueezed(sign, rest);
    else if (sign in DUPLICATE) {
      const count = Number(`${DUPLICATE[sign]}${rest}`);
      if (!values.length || !(count >= 1 && count < 1e6))
        throw new Error(`${where}: '${match[0]}' repeats nothing, or too often`);
      for (let k = 1; k < count; k++) values.push(values[values.length - 1] + (difference ?? 0));
    } else if (sign in DIFFERENCE) {
      if (!values.length) throw new Error(`${where}: a difference before any ordinate`);
      difference = signed(DIFFERENCE[sign], rest);
      values.push(values[values.length - 1] + difference);
    } else {
      difference = null;
      values.push(plainOrSqueezed(sign, rest));
    }
  }
  if (abscissa === null || ![abscissa, ...values].every(Number.isFinite))
    throw new Error(`${where}: not a row of numbers`);
  return [abscissa, values, difference !== null];
}

/** What the heading of an axis holds, the power of its numbers, the factor to cm⁻¹; first fit counts. */
const AXES = [
  [/cm|wave ?num|wellenzahl|raman shift|kayser/, 1, 1],
  [/\bnm\b|nanomet/, -1, 1e7],
  [/[µμ]m|\bum\b|micron|micromet/, -1, 1e4],
  [/thz/, 1, 33.35640951981521],
  [/\bmev\b/, 1, 8.065543937349212],
  [/\bev\b/, 1, 8065.543937349212],
];
const HEADED =
  'head the columns in the first line, e.g. wavenumber,absorbance or wavelength (um),transmittance';
const FEW_ROWS = 16;

/** Two columns of numbers; ';' or tab with decimal commas too. Lines that are no numbers are heads. */
function readTable(text, name) {
  const lines = text.split(/\r\n|\r|\n/);
  const european = lines.some((l) => /\d,\d+\s*[;\t]/.test(l)) && !lines.some((l) => /\d\.\d/.test(l));
  const between =
    [/;/, /\t/, /,/].find((mark) => lines.some((l) => mark.test(l) && /^\s*[-+\d.]/.test(l))) ?? /\s+/;
  const cellsOf = (line) =>
    (european ? line.replace(/,/g, '.') : line)
      .trim()
      .split(between)
      .map((c) => c.trim());
  const x = [];
  const y = [];
  const heads = [];
  for (const raw of lines) {
    const cells = cellsOf(raw);
    const row = cells.slice(0, 2).map((c) => (c === '' ? NaN : Number(c)));
    if (row.length === 2 && row.every(Number.isFinite)) {
      x.push(row[0]);
      y.push(row[1]);
    } else if (raw.trim()) heads.push(raw);
  }
  const [axis = '', ordinate = ''] = heads.map(cellsOf).findLast((cells) => cells.length > 1) ?? [];
  const said = `${heads.join(' ')} ${name}`;
  return {
    title: name,
    kind: /raman/i.test(said) ? 'raman' : null,
    unit: unitOf(ordinate || heads.join(' '), y),
    x: wavenumbersOf(x, axis.toLowerCase()),
    y,
  };
}

/** The first column in cm⁻¹; a wavelength without a unit is a question. */
function wavenumbersOf(x, axis) {
  for (const [pattern, power, factor] of AXES)
    if (pattern.test(axis)) {
      if (power < 0 && x.some((v) => v <= 0)) throw new Error('a wavelength of zero or less');
      return x.map((v) => factor * v ** power);
    }
  const [low, high] = [
    x.reduce((a, b) => Math.min(a, b), Infinity),
    x.reduce((a, b) => Math.max(a, b), -Infinity),
  ];
  const many = x.length >= FEW_ROWS;
  if (/wave ?length|lambda|λ/.test(axis) || (many && low >= 1 && high <= 60))
    throw new Error(
      `the first column, ${low} to ${high}, looks like wavelengths, and nothing says in which unit: ${HEADED}`,
    );
  if (many && low > 0 && high > 14000)
    throw new Error(
      `the first column, ${low} to ${high}, goes beyond any vibration; wavelengths in nm? Then ${HEADED}`,
    );
  return x;
}

/** What the second column is; bands that point downwards without a word are a question. */
function unitOf(heading, y) {
  const lower = heading.toLowerCase();
  if (/transmi|%\s*t\b|^t\s*[[(]?%/.test(lower))
    return /%|percent/.test(lower) ? '% TRANSMITTANCE' : 'TRANSMITTANCE';
  if (/absorptance/.test(lower)) return /%/.test(lower) ? '% ABSORPTANCE' : 'ABSORPTANCE';
  if (/reflect/.test(lower)) return 'REFLECTANCE';
  if (/absor|extin/.test(lower) || y.length < FEW_ROWS) return '';
  const sorted = [...y].sort((a, b) => a - b);
  const [low, middle, high] = [0, 0.5, 0.98].map((q) => sorted[Math.round(q * (y.length - 1))]);
  const top = sorted[y.length - 1];
  if (low >= -0.05 * top && high > 0 && high - middle < 0.25 * (high - low) && middle > 0.6 * high)
    throw new Error(`the bands point downwards, as in transmittance, and nothing says so: ${HEADED}`);
  return '';
}
