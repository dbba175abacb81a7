// The mode chosen: its card with the moving molecule, and the tables of modes.

const viewer = has.modes
  ? createMolecule($('molecule'), {
      onAtom: sayAtom,
      stillness: matchMedia('(prefers-reduced-motion: reduce)').matches,
    })
  : null;
const atomName = (a) => `${active().molecule.symbols[a]}${a + 1}`;
const rowsOf = (index) => all(`.modes[data-result="${index}"] tbody tr`);

/** Show mode `k` of the active result moving. */
function choose(k, { scroll = true } = {}) {
  const { modes, molecule, displacements, formula } = active();
  state.chosen = k;
  const shares = kineticShares(displacements[k]);
  viewer.show(cartesian(displacements[k], molecule.masses), shares);
  $('mode-title').textContent = `Mode ${k + 1} · ${frequencyText(modes.frequency[k])}`;
  $('mode-character').textContent = characterText(modes.character[k]);
  const order = shares.map((_, a) => a).sort((a, b) => shares[b] - shares[a]);
  $('shares').replaceChildren(
    ...order
      .filter((a) => shares[a] >= 0.0005)
      .slice(0, 24)
      .map((a) => shareItem(a, shares[a])),
  );
  const of = (list, digits) => (list ? list[k].toFixed(digits) : '–');
  $('facts').replaceChildren(
    fact('infrared', of(modes.infrared, 1), 'km/mol'),
    fact('Raman', of(modes.raman, 1), 'Å⁴/amu'),
    fact('depol.', of(modes.depolarisation, 2), 'ratio'),
    fact('red. mass', of(modes.reduced_mass, 2), 'amu'),
  );
  const leading = order.slice(0, 3).map((a) => `${atomName(a)} ${(100 * shares[a]).toFixed(0)} %`);
  const told = `Mode ${k + 1} at ${frequencyText(modes.frequency[k])}: ${[characterText(modes.character[k]), leading.join(', ')].filter(Boolean).join('; ')} of the kinetic energy`;
  $('molecule').setAttribute('aria-label', `Ball-and-stick model of ${formula || active().name}. ${told}`);
  $('said').textContent = told;
  for (const row of rowsOf(state.active)) {
    const is = Number(row.dataset.mode) === k;
    row.classList.toggle('chosen', is);
    row.querySelector('.pick').setAttribute('aria-pressed', is);
    if (is && scroll) keepInView(row);
  }
  draw();
}

function stepMode(by) {
  const n = frequencies().length;
  if (n) choose(state.chosen === null ? 0 : (state.chosen + by + n) % n);
}

function shareItem(a, share) {
  const item = document.createElement('li');
  item.dataset.atom = a;
  const bar = document.createElement('i');
  bar.style.setProperty('--share', `${100 * share}%`);
  const text = (tag, said) => Object.assign(document.createElement(tag), { textContent: said });
  item.append(
    text('b', atomName(a)),
    bar,
    text('span', `${(100 * share).toFixed(share < 0.0095 ? 1 : 0)} %`),
  );
  item.addEventListener('pointerenter', () => {
    viewer.highlight(a);
    sayAtom(a);
  });
  item.addEventListener('pointerleave', () => {
    viewer.highlight(-1);
    sayAtom(-1);
  });
  return item;
}

function fact(name, value, unit) {
  const row = document.createElement('div');
  const text = (tag, said) => Object.assign(document.createElement(tag), { textContent: said });
  const cell = text('dd', `${value} `);
  cell.append(text('small', unit));
  row.append(text('dt', name), cell);
  return row;
}

/** Scroll the table, not the page. */
function keepInView(row) {
  const frame = row.closest('.scroll');
  const [top, bottom] = [row.offsetTop - 34, row.offsetTop + row.offsetHeight];
  if (top < frame.scrollTop) frame.scrollTop = top;
  else if (bottom > frame.scrollTop + frame.clientHeight) frame.scrollTop = bottom - frame.clientHeight;
}

function sayAtom(a) {
  $('atom-note').textContent = a < 0 ? '' : `${atomName(a)}, ${active().molecule.masses[a].toFixed(2)} amu`;
  for (const item of $('shares').children) item.classList.toggle('lit', Number(item.dataset.atom) === a);
}

/** Make a result the one whose modes, tables and checks are shown; its brightest mode first. */
function activate(index) {
  state.active = index;
  state.chosen = null;
  for (const part of all('[data-result]')) part.hidden = several && Number(part.dataset.result) !== index;
  document.body.classList.toggle('no-modes', !active().modes);
  if (active().modes?.frequency.length) {
    const { infrared, raman, frequency } = active().modes;
    const brightest = infrared ?? raman ?? frequency;
    viewer.load(active().molecule);
    choose(brightest.indexOf(Math.max(...brightest)));
  } else draw();
  drawRuns();
}

function drawRuns() {
  const { run, conditions } = active();
  if (!run?.time_ps) return;
  const palette = PALETTES[state.theme];
  for (const root of all(`.trust[data-result="${state.active}"] svg.run`)) {
    const curve =
      root.dataset.run === 'temperature'
        ? { y: run.temperature_K, target: conditions.target_temperature_K ?? undefined }
        : { y: run.energy_mean, spread: run.energy_spread };
    drawTimeCurve(root, palette, { time: run.time_ps, ...curve });
  }
}

function listenToModes() {
  if (!viewer) return;
  const sayPlay = () => {
    $('play').textContent = viewer.state.playing ? 'Pause' : 'Play';
  };
  $('previous').addEventListener('click', () => stepMode(-1));
  $('next').addEventListener('click', () => stepMode(1));
  $('play').addEventListener('click', () => {
    viewer.set({ playing: !viewer.state.playing });
    sayPlay();
  });
  $('amplitude').addEventListener('input', (event) => viewer.set({ amplitude: Number(event.target.value) }));
  $('speed').addEventListener('input', (event) => viewer.set({ speed: Number(event.target.value) }));
  $('arrows').addEventListener('change', (event) => viewer.set({ arrows: event.target.checked }));
  $('numbers').addEventListener('change', (event) => viewer.set({ labels: event.target.checked }));
  $('turn-back').addEventListener('click', () => viewer.reset());
  sayPlay();
  for (const result of results) if (result.modes) listenToTable(result);
}

/** Clicks, arrow keys and sorting of one table of modes. */
function listenToTable({ index, modes }) {
  const table = document.querySelector(`.modes[data-result="${index}"] table`);
  const rows = rowsOf(index);
  for (const row of rows) {
    const k = Number(row.dataset.mode);
    row.addEventListener('click', () => choose(k, { scroll: false }));
    row.addEventListener('keydown', (event) => {
      if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
      event.preventDefault();
      const next = event.key === 'ArrowDown' ? row.nextElementSibling : row.previousElementSibling;
      if (!next) return;
      next.querySelector('.pick').focus();
      choose(Number(next.dataset.mode));
    });
    for (const [name, kind] of [
      ['infrared', '.ir'],
      ['raman', '.ra'],
    ])
      if (modes[name])
        row
          .querySelector(kind)
          .style.setProperty('--share', `${(100 * modes[name][k]) / (Math.max(...modes[name]) || 1)}%`);
  }
  const value = (row, key) => {
    const k = Number(row.dataset.mode);
    if (key === 'number') return k;
    if (key === 'anharmonic') return modes.anharmonic.frequency[k];
    return key === 'character' ? (modes.character[k][0]?.[0] ?? '') : (modes[key]?.[k] ?? 0);
  };
  for (const head of table.querySelectorAll('th'))
    head.querySelector('button').addEventListener('click', () => {
      const falling = head.getAttribute('aria-sort') === 'ascending';
      for (const other of table.querySelectorAll('th')) other.removeAttribute('aria-sort');
      head.setAttribute('aria-sort', falling ? 'descending' : 'ascending');
      const { key } = head.dataset;
      const sign = falling ? -1 : 1;
      rows.sort(
        (a, b) => sign * (value(a, key) < value(b, key) ? -1 : value(a, key) > value(b, key) ? 1 : 0),
      );
      table.tBodies[0].append(...rows);
    });
}
