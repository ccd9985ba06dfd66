// The review desk: keys, fingers and buttons become verdicts; the grid shows them at once, the outbox brings them home.
import { Door, Outbox } from "./desk-door.js";
import { Grid } from "./desk-grid.js";
import { Many } from "./desk-many.js";
import { Names } from "./desk-names.js";
import { Progress } from "./desk-progress.js";
import { Tile, refusalWords, verdictWords } from "./desk-tile.js";

const FEW_LEFT = 16; // tiles still to judge, at which the next ones are asked for
const NOT_SAVED = "Not saved. Try again.";

class Desk {
  #history = [];
  #isLoading = false;
  #hasMore = true;

  constructor(element) {
    this.element = element;
    this.isAboutClaims = element.dataset.queue === "claims";
    this.door = new Door(element);
    this.outbox = new Outbox(this.door, { onTrouble: (error) => this.trouble(error.message) });
    this.grid = new Grid(document.getElementById("desk-grid"));
    this.names = new Names(this.door, element);
    this.many = new Many(this.door);
    this.progress = new Progress();
  }

  async start() {
    await Promise.all([this.load(), this.names.load()]).catch((error) => this.trouble(error.message));
    this.grid.moveTo(0);
  }

  async load() {
    if (this.#isLoading || !this.#hasMore) return;
    this.#isLoading = true;
    try {
      const question = new URLSearchParams(this.element.dataset.question);
      question.set("offset", this.grid.open.length);
      const { mark } = this.outbox;
      const told = await this.door.get("tiles", question);
      this.#hasMore = this.grid.append(told.tiles, Tile) > 0;
      if (mark === this.outbox.mark) this.progress.tell(told);
      document.getElementById("desk-empty").hidden = this.grid.tiles.length > 0;
    } finally {
      this.#isLoading = false;
    }
  }

  // What a key or a button stands for.

  confirm() {
    if (this.isAboutClaims) return this.#settleClaims("approve");
    return this.#judge("confirmed");
  }

  reject() {
    if (this.isAboutClaims) return this.#settleClaims("refuse");
    return this.#judge("rejected");
  }

  async correct(text = "") {
    const targets = this.#targets();
    if (!targets.length) return;
    const label = await this.names.ask(text);
    if (label) await this.#judge("corrected", label, targets);
    else this.grid.go(this.grid.current);
  }

  // The answer's second to fifth name.
  correctTo(place) {
    const label = this.grid.current?.told.scores[place - 1];
    if (label) this.#judge("corrected", { key: label.label, name: label.name }, [this.grid.current]);
  }

  async matching() {
    const verdict = await this.many.askVerdict();
    if (!verdict) return;
    const label = verdict === "corrected" ? await this.names.ask() : null;
    if (verdict === "corrected" && !label) return;
    await this.#judgeMany({ question: this.element.dataset.question }, verdict, label);
  }

  undo() {
    const entry = this.#history.pop();
    if (!entry) return this.progress.say("There is nothing to take back.");
    for (const part of entry.parts) this.#reopen(part);
    this.outbox.add(entry.parts.flatMap((part) => part.items.map((item) => this.#undoStep(part, item))));
    const shown = entry.parts.find((part) => part.tile);
    if (shown) this.grid.restore(shown.tile);
    this.progress.say("Taken back.");
  }

  open() {
    const tile = this.grid.current;
    if (tile && tile.members.length > 1 && !tile.isDecided) this.grid.split(tile);
  }

  // The picture in full, on the recognition's page in a tab of its own.
  look(tile = this.grid.current) {
    if (tile) window.open(tile.told.page, "_blank", "noopener");
  }

  all() {
    this.grid.choose(this.grid.open, true);
    this.progress.say(`${this.grid.chosen.length} chosen.`);
  }

  none() {
    this.grid.choose(this.grid.chosen, false);
  }

  help() {
    document.getElementById("desk-help").showModal();
  }

  toggle(tile = this.grid.current) {
    tile?.choose(!tile.isChosen);
  }

  move(columns, rows, isChoosing) {
    if (isChoosing) this.grid.current?.choose(true);
    const there = this.grid.move(columns, rows);
    if (isChoosing) there?.choose(true);
  }

  trouble(words) {
    const place = document.getElementById("desk-trouble");
    place.textContent = words;
    place.hidden = !words;
  }

  // How it is done.

  #targets() {
    const { chosen, current, open } = this.grid;
    if (chosen.length) return chosen;
    // Keys that come faster than tiles must not judge the last one twice. With others open, coming back is on purpose.
    const isOutrun = current?.isDecided && !open.length && this.#hasMore;
    if (isOutrun) this.progress.say("The next ones are on their way.");
    return current && !isOutrun ? [current] : [];
  }

  async #judge(verdict, label = null, targets = this.#targets()) {
    if (!targets.length) return;
    if (targets.length > 1) {
      const ids = targets.flatMap((tile) => tile.members.map((member) => member.id));
      return this.#judgeMany({ ids }, verdict, label);
    }
    const [tile] = targets;
    const step = { do: "judge", verdict, ...(label && { label: label.key }) };
    const isNone = verdict === "confirmed" && tile.told.known === false;
    this.#do([{ tile, members: tile.members }], step, isNone ? "rejected" : verdict, label);
  }

  async #judgeMany(chosen, verdict, label) {
    try {
      const items = await this.many.agree(chosen, verdict, label);
      if (items.length) this.#do(this.#byTile(items), { do: "judge", verdict, ...(label && { label: label.key }) }, verdict, label, { bulk: true });
      else this.progress.say("Nothing was changed.");
    } catch (error) {
      this.trouble(error.message);
    }
    this.grid.go(this.grid.current);
  }

  // The recognitions by the tile they are in; those that are not on the page together.
  #byTile(items) {
    const parts = new Map();
    for (const item of items) {
      const tile = this.grid.tiles.find((one) => one.members.some((member) => member.id === item.id)) ?? null;
      const member = tile?.members.find((one) => one.id === item.id) ?? item;
      member.seen = item.seen;
      if (!parts.has(tile)) parts.set(tile, { tile, members: [] });
      parts.get(tile).members.push(member);
    }
    return [...parts.values()];
  }

  async #settleClaims(how) {
    for (const tile of this.#targets()) {
      const claim = tile.told.claims.find((one) => one.id === tile.told.claim);
      if (!claim) continue;
      if (how === "approve" && !claim.correct && !claim.label) {
        // In words that name no class: a person must say which one is meant.
        this.grid.go(tile);
        await this.correct(claim.says);
        continue;
      }
      const refused = claim.correct ? "rejected" : "confirmed";
      const approved = claim.correct ? "confirmed" : "corrected";
      const parts = [{ tile, members: tile.members }];
      this.#do(parts, { do: how, claim: claim.id }, how === "approve" ? approved : refused, { name: claim.says }, { isRefusal: how === "refuse" });
    }
  }

  #do(groups, step, verdict, label, { bulk = false, isRefusal = false } = {}) {
    this.trouble("");
    const words = isRefusal ? refusalWords(verdict) : verdictWords(verdict, label?.name);
    const entry = { parts: groups.map((group) => this.#part(group, verdict, words)) };
    this.#history.push(entry);
    const steps = entry.parts.flatMap((part) => part.items.map((item) => this.#step(part, item, step)));
    this.outbox.add(steps, { bulk });
    this.progress.say(`${words}.`);
    this.none();
    this.grid.goOn();
    if (this.grid.open.length < FEW_LEFT) this.load().catch((error) => this.trouble(error.message));
  }

  #part({ tile, members }, verdict, words) {
    const before = tile && { verdict: tile.verdict, words: tile.words };
    const wasOpen = !tile?.isSettled;
    tile?.decide(verdict, words);
    if (wasOpen) this.progress.count(members.length);
    return { tile, before, wasOpen, items: members.map((member) => ({ member, review: null })) };
  }

  #step(part, item, step) {
    const { member } = item;
    return {
      id: member.id,
      make: () => ({ ...step, id: member.id, seen: member.seen }),
      done: (result) => {
        if (result) member.seen = result.seen;
        if (result?.done) item.review = result.seen;
        else this.#refused(part, item, result);
      },
    };
  }

  // Back to judge, alone with the others of its group that were refused.
  #refused(part, item, result) {
    const { tile } = part;
    const isTheirs = result?.review && result.review.verdict !== "withdrawn";
    if (part.wasOpen && !isTheirs) this.progress.count(-1);
    if (!tile) return this.trouble(result?.detail ?? NOT_SAVED);
    part.refused = [...(part.refused ?? []), item.member];
    tile.members = part.refused;
    if (result?.review) tile.overtake(result.review);
    else tile.reopen(result?.detail ?? NOT_SAVED);
    this.progress.say(result?.detail ?? NOT_SAVED);
  }

  #reopen({ tile, before, wasOpen, items }) {
    if (wasOpen) this.progress.count(-items.length);
    if (!tile) return;
    if (before.verdict) tile.decide(before.verdict, before.words);
    else tile.reopen();
  }

  #undoStep({ tile }, item) {
    const { member } = item;
    return {
      id: member.id,
      make: () => item.review && { do: "undo", id: member.id, seen: member.seen, review: item.review },
      done: (result) => {
        if (!result) return;
        member.seen = result.seen;
        if (result.done) return;
        if (result.review) tile?.overtake(result.review);
        this.trouble(result.detail);
      },
    };
  }
}

const desk = document.getElementById("desk");
if (desk) {
  const { listen } = await import("./desk-keys.js");
  const started = new Desk(desk);
  listen(started, desk);
  await started.start();
}
