// Results of the record as the page works with them: curves opened, modes unpacked.

const GEOMETRIES = { unpolarised: 'unpolarised', vv: 'VV', vh: 'VH', iso: 'isotropic', aniso: 'anisotropic' };
const HINTS = { unpolarised: 'VV + VH', vv: 'parallel polarisers', vh: 'crossed polarisers' };
const UNITS = {
  'km/mol/cm^-1': { words: ['IR absorption', 'km mol⁻¹ cm'], area: 'km/mol' },
  'cm^2': { words: ['IR cross section', 'cm²'], area: 'cm' },
  'cm^-1': { words: ['n(ν̃) α(ν̃)', 'cm⁻¹'], area: 'cm⁻²' },
  '1e-40 m^2/sr/cm^-1': { words: ['Raman cross section', '10⁻⁴⁰ m² sr⁻¹ cm'], area: '10⁻⁴⁰ m²/sr' },
  'angstrom^4/amu/cm^-1': { words: ['Raman activity', 'Å⁴ amu⁻¹ cm'], area: 'Å⁴/amu' },
};
/** Height of a line of unit area and unit full width. */
const PEAK_OF_UNIT_LINE = { gaussian: 2 * Math.sqrt(Math.log(2) / Math.PI), lorentzian: 2 / Math.PI };

/** A curve of the record: {x, y, error, samples, unit, fwhm, peak}; error and samples may be null. */
function openCurve(given) {
  const samples = given.deviations ? unpack(given.deviations) : null;
  const root = samples ? Math.sqrt(samples.length) : 0;
  for (const row of samples ?? [])
    for (let k = 0; k < row.length; k++) row[k] = given.intensity[k] + root * given.error[k] * row[k];
  return {
    x: given.wavenumber,
    y: given.intensity,
    error: given.error,
    samples,
    fwhm: given.fwhm,
    edge: given.edge,
    unit: UNITS[given.unit] ?? { words: [given.quantity, given.unit], area: `${given.unit}·cm⁻¹` },
    peak: PEAK_OF_UNIT_LINE[given.line_shape] ?? PEAK_OF_UNIT_LINE.gaussian,
  };
}

/** The sum of two curves on one grid: its error from the samples, else the upper bound. */
function sumOf(a, b) {
  const sum = (p, q) => Float64Array.from(p, (v, k) => v + q[k]);
  const samples = a.samples && b.samples ? a.samples.map((row, r) => sum(row, b.samples[r])) : null;
  let error = a.error && b.error ? sum(a.error, b.error) : null;
  if (samples) error = a.x.map((_, k) => standardError(samples.map((row) => row[k])));
  return { ...a, y: sum(a.y, b.y), error, samples };
}

/** A result of the record with its curves by name and its modes' displacements. */
function openResult(given, index) {
  const curves = {};
  for (const [name, curve] of Object.entries(given.curves)) curves[name] = openCurve(curve);
  const lines = { ...(given.modes?.lines ?? {}) };
  const levels = { ...(given.modes?.anharmonic?.lines ?? {}) };
  if (curves.vv && curves.vh) {
    curves.unpolarised = sumOf(curves.vv, curves.vh);
    for (const areas of [lines, levels]) {
      if (areas.vv && areas.vh) areas.unpolarised = areas.vv.map((v, k) => v + areas.vh[k]);
    }
  }
  const displacements = given.modes
    ? unpack(given.modes.displacement).map((flat) =>
        given.molecule.symbols.map((_, a) => [0, 1, 2].map((d) => flat[3 * a + d])),
      )
    : [];
  return {
    ...given,
    index,
    curves,
    lines,
    levels,
    displacements,
    geometries: Object.keys(GEOMETRIES).filter((g) => g in curves),
  };
}

/** Share of the kinetic energy of each atom in a mode (mass-weighted, orthonormal). */
const kineticShares = (mode) => mode.map((d) => d[0] ** 2 + d[1] ** 2 + d[2] ** 2);

/** Cartesian displacement of a mode, the longest arrow 1 Å. */
function cartesian(mode, masses) {
  const moved = mode.map((d, a) => d.map((v) => v / Math.sqrt(masses[a])));
  const longest = Math.max(1e-12, ...moved.map((d) => Math.hypot(...d)));
  return moved.map((d) => d.map((v) => v / longest));
}

const frequencyText = (f) => (f < 0 ? `${(-f).toFixed(1)}i cm⁻¹` : `${f.toFixed(1)} cm⁻¹`);
const characterText = (found) =>
  found.map(([name, share]) => `${name} ${(100 * share).toFixed(0)} %`).join(', ');
