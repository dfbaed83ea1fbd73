// Fixes the theme before the first paint, so that a page in the other theme never flashes. Kept apart from the
// modules, which run later, and from index.html, whose content security policy allows no inline script.
(function () {
  try {
    var theme = localStorage.getItem('ringfence.theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch (_) {
    // Storage may be refused; the system's theme is a good answer.
  }
})();
