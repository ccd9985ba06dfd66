// Keys, mouse and fingers.
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const PLACES = ["2", "3", "4", "5"]; // of an answer's names

export function listen(desk, element) {
  document.addEventListener("keydown", (event) => key(desk, event));
  desk.grid.element.addEventListener("click", (event) => click(desk, event));
  desk.grid.element.addEventListener("dblclick", (event) => {
    const tile = desk.grid.find(event.target.closest(".desk-tile"));
    if (tile) desk.look(tile);
  });
  for (const button of element.querySelectorAll("[data-do]")) {
    button.addEventListener("click", () => desk[button.dataset.do]());
  }
  window.addEventListener("beforeunload", (event) => {
    if (!desk.outbox.isIdle) event.preventDefault();
  });
}

function key(desk, event) {
  const isElsewhere = event.target.closest("input, select, textarea, button, a, summary, dialog");
  if (isElsewhere || event.isComposing || event.altKey || document.querySelector("dialog[open]")) return;
  if (act(desk, event)) event.preventDefault();
}

// Returns whether the key means something here.
function act(desk, event) {
  const name = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) return name === "a" && did(desk.all());
  if (MOVES[event.key]) return did(desk.move(...MOVES[event.key], event.shiftKey));
  const action = actions(desk)[name] ?? (PLACES.includes(name) && (() => desk.correctTo(Number(name))));
  if (action) return did(action());
  return event.key.length === 1 && /\p{L}/u.test(event.key) && did(desk.correct(event.key));
}

const did = () => true;

const actions = (desk) => ({
  enter: () => desk.confirm(),
  " ": () => desk.toggle(),
  x: () => desk.reject(),
  u: () => desk.undo(),
  "+": () => desk.open(),
  ".": () => desk.look(),
  "?": () => desk.help(),
  "/": () => desk.correct(),
  escape: () => desk.none(),
  home: () => desk.grid.moveTo(0),
  end: () => desk.grid.moveTo(-1),
  ...(desk.isAboutClaims && { a: () => desk.confirm() }),
});

function click(desk, event) {
  const tile = desk.grid.find(event.target.closest(".desk-tile"));
  if (!tile) return;
  desk.grid.go(tile);
  desk.toggle(tile);
}
