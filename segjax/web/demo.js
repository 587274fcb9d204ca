const get = id => document.getElementById(id);
const [form, drop, input, status, stage] =
    ['form', 'drop', 'image', 'status', 'stage'].map(get);
let shown = null;  // What the server tells of the image on the page.
let latest = 0;    // Number of the newest request for a prediction.

const element = (name, text, kind = '') => {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = kind;
  return made;
};
const swatch = color => {
  const made = element('i', '', 'swatch');
  made.style.background = `rgb(${color})`;
  return made;
};
const say = (text, wrong = false) => {
  status.textContent = text;
  status.classList.toggle('down', wrong);
};

// Predicts the chosen image, with the other files that the model asks for.
const predict = async file => {
  const missing = [...document.querySelectorAll('[data-field]')].filter(
      field => !field.files.length);
  if (missing.length) {
    return say(`Choose a file for ${missing[0].name}, too.`, true);
  }
  const limit = Number(input.dataset.megabytes);
  if (file.size > limit * 2 ** 20) {
    return say(`${file.name} has more than ${limit} MB.`, true);
  }
  const data = new FormData(form);
  data.set('image', file);
  const mine = ++latest;
  say(`Predicting ${file.name}; the first image of a size takes longer.`);
  drop.setAttribute('aria-busy', 'true');
  try {
    const answer = await fetch('/predict', {method: 'POST', body: data});
    const result = await answer.json();
    if (mine !== latest) return;
    if (!answer.ok) return say(result.error, true);
    show(result);
    say(`Predicted ${result.name} in ${result.seconds} s.`);
  } catch {
    say('The program does not answer: is it still running?', true);
  } finally {
    if (mine === latest) drop.removeAttribute('aria-busy');
  }
};

const show = result => {
  shown = result;
  place = null;
  get('cross').hidden = true;
  get('name').textContent = result.name;
  get('size').textContent = `${result.width} x ${result.height} pixels`;
  get('photo').src = result.image;
  get('photo').alt = `Image ${result.name}`;
  get('painted').src = result.painted;
  const names = result.found.map(({name}) => name).join(', ') || 'nothing';
  get('painted').alt = `Its prediction: ${names}`;
  get('found').replaceChildren(...result.found.map(({name, color, amount}) => {
    const item = element('li', '');
    item.append(swatch(color), name, element('small', ` ${amount}`));
    return item;
  }));
  if (!result.found.length) {
    get('found').replaceChildren(element('li', 'nothing'));
  }
  get('files').replaceChildren(...result.files.map(name => {
    const item = element('li', '');
    const link = element('a', name);
    link.href = `/files/${result.number}/${encodeURIComponent(name)}`;
    link.download = name;
    item.append(link);
    return item;
  }));
  get('result').hidden = false;
};

// Tells what is at a pixel. One request at a time, the newest place next.
let place = null, asking = false;
const look = async (y, x) => {
  place = [Math.min(Math.max(y, 0), shown.height - 1),
           Math.min(Math.max(x, 0), shown.width - 1)];
  const cross = get('cross');
  cross.hidden = false;
  cross.style.top = `${(place[0] + .5) / shown.height * 100}%`;
  cross.style.left = `${(place[1] + .5) / shown.width * 100}%`;
  if (asking) return;
  asking = true;
  try {
    for (let told = null; place && told !== place;) {
      told = place;
      await tell(...told);
    }
  } catch {
    say('The program does not answer: is it still running?', true);
  } finally {
    asking = false;
  }
};
const tell = async (y, x) => {
  const answer = await fetch(`/pixel/${shown.number}?y=${y}&x=${x}`);
  const classes = await answer.json();
  if (!answer.ok) return say(classes.error, true);
  const list = element('ul', '', 'found');
  for (const {name, color, value} of classes) {
    const item = element('li', '');
    item.append(swatch(color), name);
    if (value !== null) {
      item.append(element('small', ` ${value.toFixed(4)}`));
      const bar = document.createElement('meter');
      bar.value = value;
      bar.setAttribute('aria-hidden', 'true');
      item.append(bar);
    }
    list.append(item);
  }
  if (!classes.length) list.append(element('li', 'nothing'));
  get('at').replaceChildren(element('p', `row ${y}, column ${x}`), list);
};

const point = event => {
  const box = stage.getBoundingClientRect();
  look(Math.floor((event.clientY - box.top) / box.height * shown.height),
       Math.floor((event.clientX - box.left) / box.width * shown.width));
};
stage.addEventListener('pointermove', point);
stage.addEventListener('pointerdown', point);
stage.addEventListener('keydown', event => {
  const move = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1],
                ArrowRight: [0, 1]}[event.key];
  if (!move) return;
  event.preventDefault();
  const by = event.shiftKey ? 10 : 1;
  const middle = [Math.floor(shown.height / 2), Math.floor(shown.width / 2)];
  const [y, x] = place || middle;
  look(y + by * move[0], x + by * move[1]);
});

const opacity = get('opacity');
const fade = () => get('painted').style.opacity = opacity.value / 100;
opacity.addEventListener('input', fade);
fade();

input.addEventListener('change', () => {
  if (input.files.length) predict(input.files[0]);
});
for (const field of document.querySelectorAll('[data-field]')) {
  field.addEventListener('change', () => {
    if (input.files.length) predict(input.files[0]);
  });
}
form.addEventListener('submit', event => event.preventDefault());
// A file that misses the field would take the place of the page.
addEventListener('dragover', event => event.preventDefault());
addEventListener('drop', event => {
  event.preventDefault();
  if (event.dataTransfer.files.length) predict(event.dataTransfer.files[0]);
});
drop.addEventListener('dragenter', () => drop.classList.add('over'));
for (const name of ['dragleave', 'drop']) {
  drop.addEventListener(name, () => drop.classList.remove('over'));
}
