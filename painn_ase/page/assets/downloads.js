// What can be taken away: pictures, tables, a moving mode, the record.

function save(name, content, type) {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  Object.assign(document.createElement('a'), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** The figure as shown, for paper: light, of fixed width, with its fonts named in it. */
function figure() {
  const root = svg('svg', { xmlns: 'http://www.w3.org/2000/svg' });
  const shown = state.theme;
  state.theme = 'light';
  const light = ['infrared', 'raman'].map(panelOf).filter(Boolean);
  state.theme = shown;
  drawSpectra(root, {
    panels: light,
    range: state.range,
    width: 1000,
    panelHeight: 250,
    palette: PALETTES.light,
    options: chartOptions('paper'),
    chosen: state.chosen,
  });
  return root;
}

const svgText = (root) =>
  `<?xml version="1.0" encoding="UTF-8"?>\n${new XMLSerializer().serializeToString(root)}`;

function asPng(root, scale) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => {
      const canvas = Object.assign(document.createElement('canvas'), {
        width: scale * image.width,
        height: scale * image.height,
      });
      canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob(resolve, 'image/png');
    };
    image.onerror = reject;
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgText(root))}`;
  });
}

const quoted = (text) => `"${String(text).replace(/"/g, '""')}"`;

function spectraCsv() {
  const curves = panels.flatMap((p) =>
    p.curves.map((c) => [
      `${p.name === 'raman' ? `raman_${c.name}` : p.name}${several ? ` ${c.result.name}` : ''}`,
      c,
    ]),
  );
  const lines = [
    `# ${record.made_by}; frequencies times ${state.factor} plus ${state.shift} cm^-1${has.laser ? `; laser ${state.laser} nm` : ''}`,
    ...curves.map(
      ([name, c]) =>
        `# ${name}: ${c.result.formula || c.result.name}, ${c.unit.words.join(' / ')}${c.result.conditions.temperature_K ? `, ${c.result.conditions.temperature_K.toFixed(1)} K` : ''}`,
    ),
    curves
      .flatMap(([name]) =>
        ['wavenumber', 'intensity', 'standard_error'].map((column) => quoted(`${name}_${column}`)),
      )
      .join(','),
  ];
  const longest = Math.max(...curves.map(([, c]) => c.x.length));
  for (let k = 0; k < longest; k++)
    lines.push(
      curves
        .flatMap(([, c]) =>
          k < c.x.length
            ? [c.x[k].toFixed(3), c.y[k].toPrecision(6), c.error ? c.error[k].toPrecision(3) : '']
            : ['', '', ''],
        )
        .join(','),
    );
  return `${lines.join('\n')}\n`;
}

function modesCsv() {
  const { modes } = active();
  const head =
    'mode,wavenumber_invcm,infrared_km_per_mol,raman_A4_per_amu,depolarisation,reduced_mass_amu,character';
  const lines = modes.frequency.map((f, k) =>
    [
      k + 1,
      f,
      ...['infrared', 'raman', 'depolarisation', 'reduced_mass'].map((name) => modes[name]?.[k] ?? ''),
      quoted(characterText(modes.character[k])),
    ].join(','),
  );
  return `${[head, ...lines].join('\n')}\n`;
}

function modeXyz() {
  const { molecule, modes } = active();
  const { displacement, amplitude } = viewer.state;
  const lines = [];
  for (let frame = 0; frame < 24; frame++) {
    const swing = amplitude * Math.sin((2 * Math.PI * frame) / 24);
    lines.push(
      molecule.symbols.length,
      `mode ${state.chosen + 1}, ${frequencyText(modes.frequency[state.chosen])}`,
    );
    molecule.symbols.forEach((symbol, a) =>
      lines.push(
        [symbol, ...molecule.positions[a].map((v, d) => (v + swing * displacement[a][d]).toFixed(6))].join(
          ' ',
        ),
      ),
    );
  }
  return `${lines.join('\n')}\n`;
}

async function download(what) {
  const stem = (active().formula || active().name).replace(/[^\w.-]+/g, '_');
  const made = {
    'spectra-svg': () => [`${stem}_spectra.svg`, svgText(figure()), 'image/svg+xml'],
    'spectra-png': async () => [`${stem}_spectra.png`, await asPng(figure(), 3)],
    'spectra-csv': () => [`${stem}_spectra.csv`, spectraCsv(), 'text/csv'],
    'modes-csv': () => [`${stem}_modes.csv`, modesCsv(), 'text/csv'],
    'molecule-svg': () => [`${stem}_molecule.svg`, svgText(viewer.asSvg(800, 640)), 'image/svg+xml'],
    'molecule-png': async () => [`${stem}_molecule.png`, await asPng(viewer.asSvg(800, 640), 3)],
    'mode-xyz': () => [`${stem}_mode_${state.chosen + 1}.xyz`, modeXyz(), 'chemical/x-xyz'],
    'record-json': () => [`${stem}.json`, $('record').textContent, 'application/json'],
  }[what];
  save(...(await made()));
}

function listenToDownloads() {
  document.querySelector('#download div').addEventListener('click', (event) => {
    const what = event.target.dataset.get;
    if (!what) return;
    download(what);
    $('download').open = false;
  });
  addEventListener('click', (event) => {
    if (!event.target.closest('#download')) $('download').open = false;
  });
  for (const button of all('[data-copy]'))
    button.addEventListener('click', async () => {
      const section = button.closest('.methods');
      const cited = [...section.querySelectorAll('.citations li')].map((item) => item.textContent).join('\n');
      const methods = section.querySelector('.methods-text')?.textContent ?? '';
      const text =
        button.dataset.copy === 'bibtex'
          ? section.querySelector('.bibtex').textContent
          : `${methods}\n\n${cited}`.trim();
      const said = (await copy(text)) ? 'Copied' : 'Select and copy';
      const before = button.textContent;
      button.textContent = said;
      setTimeout(() => (button.textContent = before), 1500);
    });
}

/** To the clipboard; files opened from disk may not have the modern way, so the old one comes after. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = Object.assign(document.createElement('textarea'), { value: text });
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}
