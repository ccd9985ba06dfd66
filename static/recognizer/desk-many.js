// A verdict on many at once: first what it would change, in numbers, then the steps.
const NUMBER = new Intl.NumberFormat(document.documentElement.lang);

export class Many {
  constructor(door) {
    this.door = door;
    this.dialog = document.getElementById("desk-preview");
    this.choice = document.getElementById("desk-matching");
  }

  // Which verdict for all that match; "" for none.
  askVerdict() {
    this.choice.returnValue = "";
    this.choice.showModal();
    return new Promise((resolve) => {
      const answer = () => resolve(this.choice.returnValue === "cancel" ? "" : this.choice.returnValue);
      this.choice.addEventListener("close", answer, { once: true });
    });
  }

  // The recognitions {id, seen} that the reviewer agreed to change; none when they did not.
  async agree(chosen, verdict, label) {
    const told = await this.door.post("preview", { ...chosen, verdict, label: label?.key ?? "" });
    if (!told.items.length) return [];
    this.#show(told);
    this.dialog.returnValue = "";
    this.dialog.showModal();
    return new Promise((resolve) => {
      const answer = () => resolve(this.dialog.returnValue === "yes" ? told.items : []);
      this.dialog.addEventListener("close", answer, { once: true });
    });
  }

  #show({ items, changes, num_reviewed: numReviewed, has_more: hasMore }) {
    const number = NUMBER.format(items.length);
    const before = NUMBER.format(items.length - numReviewed);
    const more = hasMore ? ` They are the first ${number} of more.` : "";
    this.dialog.querySelector(".desk-preview-words").textContent =
      `${number} recognition${items.length === 1 ? "" : "s"}, ${before} not reviewed before.${more}`;
    this.dialog.querySelector(".desk-changes").replaceChildren(...changes.map(line));
  }
}

function line({ from, to, number }) {
  const item = document.createElement("li");
  item.textContent = from === to ? `${NUMBER.format(number)} × ${from}, as it is` : `${NUMBER.format(number)} × ${from} → ${to}`;
  return item;
}
