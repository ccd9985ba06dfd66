// How much is left, and what was done, in words for eyes and ears.
const NUMBER = new Intl.NumberFormat(document.documentElement.lang);

export class Progress {
  #left = 0;
  #total = 0;
  #max = Infinity;

  constructor() {
    this.bar = document.getElementById("desk-progress");
    this.words = document.getElementById("desk-left");
    this.said = document.getElementById("desk-said");
  }

  tell({ left, total, max_counted: max }) {
    this.#left = left;
    this.#total = Math.max(this.#total, total);
    this.#max = max;
    this.#draw();
  }

  // So many fewer are left; below zero: came back.
  count(number) {
    this.#left = Math.max(0, this.#left - number);
    this.#draw();
  }

  say(words) {
    this.said.textContent = `${words} ${this.words.textContent}.`;
  }

  #draw() {
    const more = this.#total >= this.#max ? "+" : "";
    this.words.textContent = `${NUMBER.format(this.#left)} of ${NUMBER.format(this.#total)}${more} left`;
    this.bar.value = this.#total ? 1 - this.#left / this.#total : 1;
  }
}
