// The controls that belong to no part, and the beginning.

function setTheme(theme) {
  state.theme = theme;
  document.documentElement.dataset.theme = theme;
  $('theme-name').textContent = theme === 'dark' ? 'Light' : 'Dark';
  viewer?.set({ palette: PALETTES[theme] });
  drawRuns();
  draw();
}

function prepareControls() {
  $('spectra').hidden = !has.infrared && !has.raman; // modes alone, of a model without a dipole
  for (const part of all('[data-panel]')) part.hidden = !has[part.dataset.panel];
  for (const part of all('[data-needs]')) part.hidden = !has[part.dataset.needs];
  const choice = document.querySelector('[data-choice="component"]');
  for (const name of geometries) {
    const button = Object.assign(document.createElement('button'), {
      textContent: GEOMETRIES[name],
      title: HINTS[name] ?? '',
    });
    button.dataset.value = name;
    button.setAttribute('aria-pressed', name === state.component);
    choice.append(button);
  }
  if (has.laser) {
    const own = Number(state.laser.toPrecision(6));
    const lasers = [...new Set([own, 488, 532, 633, 785, 1064])].sort((a, b) => a - b);
    for (const nm of lasers)
      $('laser').append(new Option(`${Number(nm.toPrecision(4))} nm`, nm, false, nm === own));
  }
}

function listenToControls() {
  for (const group of all('[data-choice]'))
    group.addEventListener('click', (event) => {
      const button = event.target.closest('button');
      if (!button) return;
      state[group.dataset.choice] = button.dataset.value;
      for (const each of group.children) each.setAttribute('aria-pressed', each === button);
      draw();
    });
  for (const box of all('[data-flag]'))
    box.addEventListener('change', () => {
      state[box.dataset.flag] = box.checked;
      draw();
    });
  $('whole').addEventListener('click', () => setRange(...full));
  $('laser').addEventListener('change', () => {
    state.laser = Number($('laser').value);
    draw();
  });
  $('active')?.addEventListener('change', () => activate(Number($('active').value)));
  $('theme').addEventListener('click', () => setTheme(state.theme === 'dark' ? 'light' : 'dark'));
  $('print').addEventListener('click', () => print());
  let before = null;
  addEventListener('beforeprint', () => {
    before = state.theme;
    setTheme('light');
  });
  addEventListener('afterprint', () => {
    if (before) setTheme(before);
  });
  addEventListener('keydown', (event) => {
    if (event.target.closest?.('input, select, textarea') || event.ctrlKey || event.metaKey || event.altKey)
      return;
    if (event.key === '[') stepMode(-1);
    else if (event.key === ']') stepMode(1);
  });
}

prepareControls();
listenToChart();
listenToModes();
listenToOverlay();
listenToDownloads();
listenToControls();
activate(0);
setTheme(matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
layOverGiven();
new ResizeObserver(() => draw()).observe($('chart'));
new ResizeObserver(() => drawRuns()).observe(document.querySelector('main'));
