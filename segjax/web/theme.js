// Turns the page dark or light; until then it is as the system is.
document.getElementById('theme').addEventListener('click', () => {
  const root = document.documentElement;
  const system = matchMedia('(prefers-color-scheme: dark)').matches;
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : system;
  root.dataset.theme = dark ? 'light' : 'dark';
});
