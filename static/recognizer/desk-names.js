// Which class it is: typed in either language, or made new.
const MOST_SHOWN = 10;

export class Names {
  #labels = [];
  #options = [];
  #active = 0;

  constructor(door, desk) {
    this.door = door;
    this.model = desk.dataset.model;
    this.mayAdd = desk.dataset.mayAdd === "yes";
    this.dialog = document.getElementById("desk-naming");
    this.input = document.getElementById("desk-name");
    this.list = document.getElementById("desk-names");
    this.adding = document.getElementById("desk-new");
    this.input.addEventListener("input", () => this.#show());
    this.input.addEventListener("keydown", (event) => this.#key(event));
  }

  async load() {
    this.#labels = (await this.door.get("labels", new URLSearchParams({ model: this.model }))).labels;
  }

  // The chosen label {key, name}, or null.
  async ask(text = "") {
    this.input.value = text;
    this.taken = null;
    this.dialog.showModal();
    this.input.setSelectionRange(text.length, text.length);
    this.#show();
    await new Promise((resolve) => this.dialog.addEventListener("close", resolve, { once: true }));
    if (!this.taken) return null;
    return this.taken.label ?? this.#make(this.input.value.trim());
  }

  #show() {
    const words = this.input.value.trim().toLocaleLowerCase();
    const found = match(this.#labels, words).slice(0, MOST_SHOWN).map((label) => ({ label, text: inBoth(label) }));
    const isTaken = this.#labels.some((label) => namesOf(label).includes(words));
    if (words && this.mayAdd && !isTaken) found.push({ text: `New class “${this.input.value.trim()}”…` });
    this.#options = found;
    this.list.replaceChildren(...found.map((option, position) => this.#draw(option, position)));
    this.#activate(0);
  }

  #draw({ text }, position) {
    const item = document.createElement("li");
    item.role = "option";
    item.id = `desk-name-${position}`;
    item.textContent = text;
    item.addEventListener("click", () => this.#take(position));
    return item;
  }

  #activate(position) {
    this.#active = Math.max(0, Math.min(position, this.#options.length - 1));
    for (const [index, item] of [...this.list.children].entries()) item.setAttribute("aria-selected", index === this.#active);
    const active = this.list.children[this.#active];
    if (active) this.input.setAttribute("aria-activedescendant", active.id);
    else this.input.removeAttribute("aria-activedescendant");
    active?.scrollIntoView({ block: "nearest" });
  }

  #key(event) {
    if (event.isComposing) return; // Enter there ends a Chinese word
    const steps = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (steps) this.#activate(this.#active + steps);
    else if (event.key === "Enter") this.#take(this.#active);
    else return;
    event.preventDefault();
  }

  #take(position) {
    this.taken = this.#options[position] ?? null;
    if (this.taken) this.dialog.close();
  }

  #make(typed) {
    const form = this.adding.querySelector("form");
    const [warning, english, chinese] = [form.querySelector(".rz-warning"), form.english, form.chinese];
    const isChinese = /\p{Script=Han}/u.test(typed);
    english.value = isChinese ? "" : typed;
    chinese.value = isChinese ? typed : "";
    warning.textContent = "";
    this.adding.showModal();
    return new Promise((resolve) => {
      form.onsubmit = async (event) => {
        event.preventDefault();
        if (event.submitter?.value === "cancel") return this.adding.close();
        try {
          const label = await this.door.post("newLabel", { model: this.model, english: english.value, chinese: chinese.value });
          this.#labels.push(label);
          resolve(label);
          this.adding.close();
        } catch (error) {
          warning.textContent = error.message;
        }
      };
      this.adding.onclose = () => resolve(null);
    });
  }
}

const namesOf = (label) => [label.key, label.english, label.chinese, label.name].map((name) => name.toLocaleLowerCase());

// Those that begin with the words, then those that hold them.
function match(labels, words) {
  const begins = labels.filter((label) => namesOf(label).some((name) => name.startsWith(words)));
  const holds = labels.filter((label) => !begins.includes(label) && namesOf(label).some((name) => name.includes(words)));
  return [...begins, ...holds];
}

const inBoth = ({ english, chinese, key }) => [...new Set([english, chinese].filter(Boolean))].join(" · ") || key;
