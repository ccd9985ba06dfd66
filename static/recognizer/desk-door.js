// The desk's way to the server. Steps wait in line and travel together: one request at a time, whatever the speed of the keys.
const MOST_STEPS = 200;

export class Trouble extends Error {}

export class Door {
  constructor(desk) {
    this.addresses = desk.dataset;
    this.token = desk.querySelector("[name=csrfmiddlewaretoken]").value;
  }

  get(name, question = "") {
    return this.#ask(`${this.addresses[name]}?${question}`, {});
  }

  post(name, body) {
    const headers = { "Content-Type": "application/json", "X-CSRFToken": this.token };
    return this.#ask(this.addresses[name], { method: "POST", headers, body: JSON.stringify(body) });
  }

  async #ask(address, options) {
    let response;
    try {
      response = await fetch(address, { ...options, headers: { Accept: "application/json", ...options.headers } });
    } catch {
      throw new Trouble("The service cannot be reached. What was not saved is back; try again.");
    }
    if (response.redirected) throw new Trouble("You are signed out. Sign in again in another tab, then go on here.");
    const body = await response.json().catch(() => ({}));
    // 409 with results: others were faster, and each result says so.
    if (!response.ok && !body.results) throw new Trouble(body.detail ?? `The service answered ${response.status}.`);
    return body;
  }
}

export class Outbox {
  #waiting = [];
  #isSending = false;
  #numAdded = 0;

  constructor(door, { onTrouble }) {
    this.door = door;
    this.onTrouble = onTrouble;
  }

  // Each step is {make, done}: `make` builds what is sent, only when its turn comes, since it names what was seen last;
  // `done` hears the result, or null when it could not be sent.
  add(steps, { bulk = false } = {}) {
    for (const step of steps) this.#waiting.push({ ...step, bulk });
    this.#numAdded += steps.length;
    this.#send();
  }

  // Changes whenever a count that the server makes meanwhile may hold half of what is on its way.
  get mark() {
    return this.isIdle ? this.#numAdded : NaN; // unlike itself
  }

  get isIdle() {
    return !this.#isSending && this.#waiting.length === 0;
  }

  async #send() {
    if (this.#isSending) return;
    this.#isSending = true;
    while (this.#waiting.length) await this.#sendSome(this.#take());
    this.#isSending = false;
  }

  // Alike ones only: `bulk` is said once for all. And one picture at most once: its second step names the outcome of the first.
  #take() {
    const { bulk } = this.#waiting[0];
    const met = new Set();
    let number = 0;
    for (const step of this.#waiting) {
      if (step.bulk !== bulk || met.has(step.id) || number === MOST_STEPS) break;
      met.add(step.id);
      number += 1;
    }
    return this.#waiting.splice(0, number);
  }

  async #sendSome(steps) {
    const made = steps.map((step) => step.make());
    const sent = made.filter(Boolean);
    let results = [];
    try {
      if (sent.length) results = (await this.door.post("steps", { steps: sent, bulk: steps[0].bulk })).results;
    } catch (error) {
      this.onTrouble(error);
    }
    for (const [position, step] of steps.entries()) step.done(made[position] ? (results.shift() ?? null) : null);
  }
}
