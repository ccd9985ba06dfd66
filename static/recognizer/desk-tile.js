// One tile: near-duplicates with the same answer, of which the first is shown.
const percent = new Intl.NumberFormat(document.documentElement.lang, { style: "percent", maximumFractionDigits: 0 });
const NONE = "none of our classes";
const WORDS = { confirmed: "Confirmed", corrected: "Corrected to", rejected: "Not one of ours", withdrawn: "Taken back" };

export class Tile {
  constructor(told) {
    this.told = told;
    this.members = told.members; // {id, seen}
    this.verdict = null; // what this reviewer decided here
    this.words = "";
    this.isTheirs = false; // somebody else's verdict counts
    this.element = document.getElementById("desk-tile").content.firstElementChild.cloneNode(true);
    this.element.id = `tile-${told.id}`;
    this.#draw();
  }

  get id() {
    return this.told.id;
  }

  get isDecided() {
    return this.verdict !== null;
  }

  // Judged by anybody: it is not among those that are left.
  get isSettled() {
    return this.isDecided || this.isTheirs;
  }

  get isChosen() {
    return this.element.getAttribute("aria-selected") === "true";
  }

  choose(isChosen) {
    this.element.setAttribute("aria-selected", isChosen && !this.isDecided);
  }

  // Show what was decided, before the server has heard of it.
  decide(verdict, words) {
    this.verdict = verdict;
    this.choose(false);
    this.#state(words, `is-${verdict}`);
  }

  // As it was: undone, or refused with a reason.
  reopen(reason = "") {
    this.verdict = null;
    this.#state(reason, reason ? "is-refused" : "");
  }

  // Somebody else decided meanwhile: nothing of theirs is overwritten, and one more key would overrule it knowingly.
  overtake({ verdict, name, reviewer }) {
    this.reopen(`${reviewer ?? "Somebody"}, meanwhile: ${verdictWords(verdict, name)}`);
    this.element.classList.add("is-overtaken");
    this.isTheirs = verdict !== "withdrawn";
  }

  focus() {
    this.element.tabIndex = 0;
    this.element.focus({ preventScroll: true });
    this.element.scrollIntoView({ block: "nearest" });
  }

  // The members as tiles of their own, each with the answer that they share.
  split() {
    return this.members.map((member) => {
      const picture = (address) => address.replace(this.id, member.id);
      const { thumbnail, image, page } = this.told;
      const own = member.id === this.id ? {} : { claims: [], num_claims: 0, claim: null, review: null };
      return new Tile({
        ...this.told,
        ...own,
        id: member.id,
        members: [member],
        thumbnail: picture(thumbnail),
        image: picture(image),
        page: picture(page),
      });
    });
  }

  #draw() {
    const find = (selector) => this.element.querySelector(selector);
    const { told } = this;
    const image = find("img");
    image.src = told.thumbnail;
    image.addEventListener("error", () => this.element.classList.add("has-no-picture"));
    find(".desk-name").textContent = told.known === false ? `${NONE} (${told.name})` : told.name;
    find("rect").setAttribute("width", (told.score * 100).toFixed(1));
    find(".desk-score").textContent = percent.format(told.score);
    find(".desk-others").textContent = told.scores.slice(1, 3).map((one, index) => `${index + 2} ${one.name}`).join(" · ");
    find(".desk-badges").replaceChildren(...this.#badges());
    if (told.review) this.#state(`${told.review.reviewer ?? "Somebody"}: ${verdictWords(told.review.verdict, told.review.name)}`, "");
  }

  #badges() {
    const badges = [];
    if (this.members.length > 1) badges.push(chip(`${this.members.length} alike`, "rz-good"));
    for (const claim of this.told.claims) badges.push(chip(claim.correct ? "user: right" : `user: ${claim.says}`, "rz-wait"));
    const more = (this.told.num_claims ?? 0) - this.told.claims.length;
    if (more > 0) badges.push(chip(`+${more}`, "rz-wait"));
    return badges;
  }

  #state(words, kind) {
    this.words = words;
    const { classList } = this.element;
    classList.remove("is-confirmed", "is-corrected", "is-rejected", "is-refused", "is-overtaken");
    if (kind) classList.add(kind);
    this.element.querySelector(".desk-state").textContent = words;
  }
}

export const verdictWords = (verdict, name) => (verdict === "corrected" ? `${WORDS.corrected} ${name}` : WORDS[verdict]);

// A refused claim confirms the answer that it calls wrong, and rejects the one that it calls right.
export const refusalWords = (verdict) => `Claim refused: ${verdict === "confirmed" ? "the answer is right" : "not one of ours"}`;

function chip(text, tone) {
  const element = document.createElement("span");
  element.className = `rz-chip ${tone}`;
  element.textContent = text;
  return element;
}
