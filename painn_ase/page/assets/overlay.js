// Measured spectra laid over: dropped, opened or brought along; tuned to compare.

const INVITATION = [...$('drop-text').childNodes].map((node) => node.cloneNode(true));

function layOver(found) {
  if (!panels.some((p) => p.name === found.kind))
    throw new Error(`there is no ${found.kind} spectrum here to compare it with`);
  state.experiments[found.kind] = found;
  state.strength = 0;
  $('strength').value = 0;
  $('strength-out').textContent = '1.00';
  const title = Object.assign(document.createElement('strong'), { textContent: found.title });
  $('drop-text').replaceChildren(
    title,
    ` over the ${found.kind === 'raman' ? 'Raman' : 'infrared'} spectrum`,
  );
  state.note = found.notes.join('; ');
  for (const id of ['fit', 'forget', 'strength']) $(id).disabled = false;
  draw();
}

const LARGEST = 64e6; // bytes; larger files are no spectra

/** Read a file; where it does not say what it is of, it is of the panel it was dropped on. */
async function take(file, panel) {
  try {
    if (file.size > LARGEST) throw new Error('it is larger than 64 MB');
    const found = readExperiment(await file.text(), file.name);
    layOver({ ...found, kind: found.kind ?? panel ?? panels[0]?.name });
  } catch (error) {
    state.note = '';
    $('drop-note').textContent = `${file.name} cannot be used: ${error.message}.`;
  }
}

/** Mean similarity of shape of the measured curves and ours, were our frequencies times `factor`. */
function alike(factor) {
  const values = Object.entries(state.experiments).map(([name, given]) => {
    const { main } = panels.find((p) => p.name === name);
    return similarity(
      main.x.map((v) => back(v) * factor + state.shift),
      main.y,
      given.x,
      given.y,
      ...state.range,
    );
  });
  return values.reduce((a, b) => a + b, 0) / values.length;
}

function sayFit() {
  if (!Object.keys(state.experiments).length || !state.note) return;
  const value = alike(state.factor);
  $('drop-note').textContent =
    `${state.note}. Scaled to the computed area in the range shown; similarity of shape ${Number.isFinite(value) ? value.toFixed(3) : '–'} (1 is equal).`;
}

function tune() {
  for (const id of ['factor', 'shift', 'strength']) state[id] = Number($(id).value);
  $('factor-out').textContent = state.factor.toFixed(3);
  $('shift-out').textContent = minus(String(state.shift));
  $('strength-out').textContent = (10 ** state.strength).toFixed(2);
  draw();
}

function listenToOverlay() {
  for (const id of ['factor', 'shift', 'strength']) {
    $(id).addEventListener('input', tune);
    $(id).addEventListener('dblclick', (event) => {
      event.target.value = id === 'factor' ? 1 : 0;
      tune();
    });
  }
  $('fit').addEventListener('click', () => {
    const tried = Array.from({ length: 151 }, (_, k) => 0.9 + 0.001 * k);
    const values = tried.map(alike);
    const best = values.reduce((b, v, k) => (v > values[b] || !Number.isFinite(values[b]) ? k : b), 0);
    if (Number.isFinite(values[best])) $('factor').value = tried[best].toFixed(3);
    tune();
  });
  $('forget').addEventListener('click', () => {
    state.experiments = {};
    state.note = '';
    for (const id of ['fit', 'forget', 'strength']) $(id).disabled = true;
    $('drop-text').replaceChildren(...INVITATION.map((node) => node.cloneNode(true)));
    $('drop-note').textContent = '';
    draw();
  });
  $('file').addEventListener('change', (event) => {
    if (event.target.files[0]) take(event.target.files[0]);
    event.target.value = '';
  });
  addEventListener('dragover', (event) => {
    event.preventDefault();
    $('dropping').hidden = false;
  });
  addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) $('dropping').hidden = true;
  });
  addEventListener('drop', (event) => {
    event.preventDefault();
    $('dropping').hidden = true;
    const box = $('chart').getBoundingClientRect();
    const inside = event.clientY > box.top && event.clientY < box.bottom;
    const panel = inside ? panelAt(event.clientY - box.top)?.name : undefined;
    for (const file of event.dataTransfer.files) take(file, panel);
  });
}

/** Spectra that came with the page, on the command line's `--experiment`. */
function layOverGiven() {
  for (const given of record.experiments) {
    const notes = [
      `${given.x.length} points, ${given.x[0].toFixed(0)}–${given.x[given.x.length - 1].toFixed(0)} cm⁻¹`,
    ];
    if (panels.some((p) => p.name === given.kind)) layOver({ ...given, notes });
  }
}
