// Areas between two wavenumbers, with errors from the samples.

/** Area of a shown curve, its standard error or null, and whether that is only an upper bound. */
function areaOf(curve, low, high) {
  const value = integrate(curve.x, curve.y, low, high);
  const each = sampleAreas(curve, curve.result.curves[curve.name], low, high);
  if (each) return [value, standardError(each), false];
  return [value, curve.error ? integrate(curve.x, curve.error, low, high) : null, Boolean(curve.error)];
}
function sampleAreas({ x, gain }, { samples }, low, high) {
  return (
    samples?.map((row) =>
      integrate(
        x,
        row.map((v, k) => v * gain[k]),
        low,
        high,
      ),
    ) ?? null
  );
}

function areaText(panel, curve, low, high) {
  const [area, error, bound] = areaOf(curve, low, high);
  const power = area >= 1e5 ? Math.floor(Math.log10(area)) : 0;
  const most = bound ? ' at most' : '';
  const text = withError(area / 10 ** power, error ? error / 10 ** power : 0) + most;
  const lines = (sticksOf(curve) ?? []).filter(([v]) => v >= low && v <= high);
  const perHeight = curve.fwhm ? (curve.fwhm * state.factor) / curve.peak : 1;
  const harmonic =
    lines.length && !curve.result.conditions.harmonic
      ? ` (harmonic ${minus(((lines.reduce((sum, [, h]) => sum + h, 0) * perHeight) / 10 ** power).toPrecision(3))}, ${lines.length} ${lines.length > 1 ? 'modes' : 'mode'})`
      : '';
  return `${power ? `(${text})` : text} ${withPower(panel.unit.area, power)}${harmonic}`;
}

/** Depolarisation of a range with the jackknife's error where there are samples. */
function ratioText(curve, low, high) {
  const { vv, vh } = curve.result.curves;
  if (!vv || !vh) return '';
  const area = (of) =>
    integrate(
      curve.x,
      Float64Array.from(of.y, (v, k) => v * curve.gain[k]),
      low,
      high,
    );
  const [above, below] = [vh, vv].map((of) => sampleAreas(curve, of, low, high));
  return withError(area(vh) / area(vv), above && below ? jackknifeRatio(above, below)[1] : 0);
}

function showAreas(low, high) {
  state.region = [low, high];
  const rows = [];
  for (const panel of panels)
    for (const curve of panel.curves) {
      const who = `${panel.name === 'infrared' ? 'infrared' : 'Raman'}${several ? `, ${curve.result.name}` : ''}`;
      rows.push([who, areaText(panel, curve, low, high)]);
      const ratio = panel.name === 'raman' ? ratioText(curve, low, high) : '';
      if (ratio) rows.push([`depolarisation${several ? `, ${curve.result.name}` : ''}`, ratio]);
    }
  const element = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
  const list = document.createElement('dl');
  for (const [who, text] of rows) {
    const row = document.createElement('div');
    row.append(element('dt', who), element('dd', text));
    list.append(row);
  }
  $('integral').replaceChildren(element('strong', `${low.toFixed(0)}–${high.toFixed(0)} cm⁻¹`), list);
  $('integral').hidden = false;
  drawCursor();
}
