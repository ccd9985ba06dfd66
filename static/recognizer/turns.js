// At most so many items at a time; the others wait in the order they came.

export class Turns {
  #free;
  #waiting = [];
  #running = 0;

  constructor(places) {
    this.#free = places;
  }

  get isBusy() {
    return this.#running > 0 || this.#waiting.length > 0;
  }

  // `start` gets a function that lets the next item start before this one has ended. Calling it twice is harmless.
  take(start) {
    this.#waiting.push(start);
    this.#next();
  }

  #next() {
    if (this.#free === 0 || this.#waiting.length === 0) return;
    this.#free -= 1;
    this.#running += 1;
    const start = this.#waiting.shift();
    let held = true;
    const giveUpTurn = () => {
      if (!held) return;
      held = false;
      this.#free += 1;
      this.#next();
    };
    start(giveUpTurn).finally(() => {
      this.#running -= 1;
      giveUpTurn();
    });
  }
}
