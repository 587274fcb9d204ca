// Charts tell the values at a step, by pointer or by arrow keys.
for (const chart of document.querySelectorAll('[data-chart]')) {
  const {names, lines, frame} = JSON.parse(chart.dataset.chart);
  const [left, right, first, last] = frame;
  const cursor = chart.querySelector('.cursor');
  const output = chart.querySelector('output');
  const resting = output.textContent;
  const steps = [...new Set(lines.flat().map(([step]) => step))];
  steps.sort((a, b) => a - b);
  let place = -1;
  const round = value => Number(value.toPrecision(4));
  const show = index => {
    place = Math.min(Math.max(index, 0), steps.length - 1);
    const step = steps[place];
    const x = left + (step - first) / (last - first) * (right - left);
    cursor.setAttribute('x1', x);
    cursor.setAttribute('x2', x);
    cursor.setAttribute('visibility', 'visible');
    // A run that wrote nothing at this step tells its last value before it.
    const told = lines.map((line, i) => {
      const before = line.filter(([at]) => at <= step).pop();
      return before && `${names[i]} ${round(before[1])}`;
    });
    output.textContent =
        `step ${step.toLocaleString('en')}: ${told.filter(Boolean).join(', ')}`;
  };
  const rest = () => {
    place = -1;
    cursor.setAttribute('visibility', 'hidden');
    output.textContent = resting;
  };
  chart.querySelector('svg').addEventListener('pointermove', event => {
    const box = event.currentTarget.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * 360;
    const step = first + (x - left) / (right - left) * (last - first);
    const far = steps.map(other => Math.abs(other - step));
    show(far.indexOf(Math.min(...far)));
  });
  chart.addEventListener('pointerleave', rest);
  chart.addEventListener('blur', rest);
  chart.addEventListener('keydown', event => {
    const move = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!move) return;
    event.preventDefault();
    show(place < 0 && move < 0 ? steps.length - 1 : place + move);
  });
}

// Tables sort by a column; what has no value stays at the end.
for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstChild.addEventListener('click', () => {
    const first = column ? 'descending' : 'ascending';
    const second = column ? 'ascending' : 'descending';
    const order = head.getAttribute('aria-sort') === first ? second : first;
    heads.forEach(other => other.removeAttribute('aria-sort'));
    head.setAttribute('aria-sort', order);
    const sign = order === 'ascending' ? 1 : -1;
    const value = row => {
      const cell = row.cells[column];
      const holder = cell.dataset.value !== undefined ? cell :
          cell.querySelector('[data-value]');
      return holder ? holder.dataset.value : cell.textContent;
    };
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (!x || !y) return x ? -1 : y ? 1 : 0;
      const number = x - y;
      return sign * (isNaN(number) ? x.localeCompare(y) : number);
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
  }));
}

// One order of images at a time; without a script all are shown.
const cards = new Map([...document.querySelectorAll('.example')].map(
    card => [card.dataset.key, card]));
const orders = [...document.querySelectorAll('[data-order]')];
const choose = button => {
  orders.forEach(other => other.setAttribute('aria-pressed', other === button));
  const keys = JSON.parse(button.dataset.order);
  for (const [key, card] of cards) card.hidden = !keys.includes(key);
  document.querySelector('.examples').append(
      ...keys.map(key => cards.get(key)));
};
for (const button of orders) button.addEventListener('click', () => choose(button));
if (orders.length) choose(orders[0]);

// A picture opens in full; Escape closes it.
const dialog = document.getElementById('zoom');
for (const button of document.querySelectorAll('.zoom')) {
  button.addEventListener('click', () => {
    const picture = button.querySelector('img');
    dialog.querySelector('img').src = picture.src;
    dialog.querySelector('img').alt = picture.alt;
    dialog.querySelector('p').textContent = picture.alt;
    dialog.showModal();
  });
}
