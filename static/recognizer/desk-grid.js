// The grid of tiles: what is shown, where the reviewer is, what is chosen.
const MOST_DECIDED = 60; // decided ones that stay in sight, for a look back; older ones make room

export class Grid {
  #current = null;

  constructor(element) {
    this.element = element;
    this.tiles = [];
    this.known = new Set(); // recognitions that are or were here: a page that is asked for late may name them again
    element.addEventListener("focusin", (event) => this.#follow(event.target.closest(".desk-tile")));
  }

  // Returns how many were new.
  append(told, Tile) {
    const fresh = told
      .map((one) => ({ ...one, members: one.members.filter((member) => !this.known.has(member.id)) }))
      .filter((one) => one.members.some((member) => member.id === one.id));
    for (const one of fresh) {
      for (const member of one.members) this.known.add(member.id);
      this.#insert(new Tile(one), this.tiles.length);
    }
    if (!this.#current) this.#current = this.tiles[0] ?? null;
    if (this.#current) this.#current.element.tabIndex = 0;
    return fresh.length;
  }

  get current() {
    return this.#current;
  }

  get chosen() {
    return this.tiles.filter((tile) => tile.isChosen);
  }

  get open() {
    return this.tiles.filter((tile) => !tile.isDecided);
  }

  go(tile) {
    if (!tile) return;
    if (this.#current && this.#current !== tile) this.#current.element.tabIndex = -1;
    this.#current = tile;
    tile.focus();
  }

  // The next one to judge; the first one after the last.
  goOn() {
    const here = this.tiles.indexOf(this.#current);
    const open = [...this.tiles.slice(here + 1), ...this.tiles.slice(0, here)].find((tile) => !tile.isDecided);
    this.go(open ?? this.#current);
    this.#tidy();
  }

  move(columns, rows) {
    const here = this.tiles.indexOf(this.#current);
    const there = here + columns + rows * this.#columns();
    if (there >= 0 && there < this.tiles.length) this.go(this.tiles[there]);
    return this.#current;
  }

  moveTo(position) {
    this.go(this.tiles.at(position));
  }

  // Bring back a tile that made room.
  restore(tile) {
    if (!this.tiles.includes(tile)) this.#insert(tile, 0);
    this.go(tile);
  }

  split(tile) {
    const parts = tile.split();
    const position = this.tiles.indexOf(tile);
    this.#remove(tile);
    parts.forEach((part, index) => this.#insert(part, position + index));
    this.go(parts[0]);
  }

  find(element) {
    return this.tiles.find((tile) => tile.element === element);
  }

  choose(tiles, isChosen) {
    for (const tile of tiles) tile.choose(isChosen);
  }

  #insert(tile, position) {
    this.element.insertBefore(tile.element, this.tiles[position]?.element ?? null);
    this.tiles.splice(position, 0, tile);
  }

  #remove(tile) {
    tile.element.remove();
    this.tiles.splice(this.tiles.indexOf(tile), 1);
    if (this.#current === tile) this.#current = null;
  }

  #tidy() {
    const decided = this.tiles.filter((tile) => tile.isDecided && tile !== this.#current);
    for (const tile of decided.slice(0, Math.max(0, decided.length - MOST_DECIDED))) this.#remove(tile);
    this.#current?.element.scrollIntoView({ block: "nearest" });
  }

  #follow(element) {
    const tile = element && this.find(element);
    if (!tile || tile === this.#current) return;
    if (this.#current) this.#current.element.tabIndex = -1;
    this.#current = tile;
    tile.element.tabIndex = 0;
  }

  #columns() {
    return getComputedStyle(this.element).gridTemplateColumns.split(" ").length;
  }
}
