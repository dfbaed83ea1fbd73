// What is open over the page.

class Ui {
  creating = $state(false);
  palette = $state(false);
}

export const ui = new Ui();
