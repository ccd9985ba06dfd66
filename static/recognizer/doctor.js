// Findings of a check-up by keyboard: arrows move, F fixes, D says that it is right. Without it the buttons are forms.
// The admin loads scripts before the page is there: so the document listens.
const tiles = () => [...document.querySelectorAll("[data-finding]")];

const columns = () => {
  const all = tiles();
  const below = all.findIndex((tile) => tile.offsetTop > all[0].offsetTop);
  return below < 0 ? all.length : below;
};

const focus = (tile) => {
  if (!tile) return;
  for (const other of tiles()) other.tabIndex = other === tile ? 0 : -1;
  tile.focus();
};

const steps = {
  ArrowLeft: () => -1,
  ArrowRight: () => 1,
  ArrowUp: () => -columns(),
  ArrowDown: () => columns(),
};

// What a key is about: the finding that has the focus; from the bare page, the one that had it last.
const current = () => document.querySelector('[data-finding][tabindex="0"]');

const onKey = (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const tile = event.target.closest("[data-finding]");
  if (!tile && event.target === document.body && steps[event.key] && current()) {
    event.preventDefault();
    return focus(current());
  }
  if (!tile) return;
  if (steps[event.key]) {
    event.preventDefault();
    focus(tiles()[tiles().indexOf(tile) + steps[event.key]()]);
  } else if (!event.repeat && "fFdD".includes(event.key)) {
    tile.querySelector("fF".includes(event.key) ? "[data-fix]" : "[data-dismiss]")?.click();
  }
};

const complain = (tile, words) => {
  const place = tile.querySelector("[data-problem]");
  place.textContent = words;
  place.hidden = false;
};

const drop = (tile, words) => {
  const at = tiles().indexOf(tile);
  const hadFocus = tile.contains(document.activeElement);
  document.querySelector("[data-said]").textContent = `${tile.getAttribute("aria-label")}: ${words}.`;
  const number = tile.querySelector("[data-decide]").action.match(/(\d+)\/\w+\/$/)[1];
  document.querySelector(`[name="finding"][value="${number}"]`)?.remove();
  tile.remove();
  const left = tiles();
  if (!left.length) location.reload();
  else if (hadFocus) focus(left[Math.min(at, left.length - 1)]);
};

const send = async (form) => {
  const tile = form.closest("[data-finding]");
  const options = { method: "POST", body: new FormData(form), headers: { Accept: "application/json" } };
  try {
    const response = await fetch(form.action, options);
    if (response.ok) return drop(tile, form.dataset.decide);
    const { problem } = response.status === 409 ? await response.json() : {};
    complain(tile, problem ?? "That was refused. Load the page again.");
  } catch {
    complain(tile, "The service does not answer. Try it again.");
  }
  delete tile.dataset.sent;
};

const onSubmit = (event) => {
  const tile = event.target.closest("[data-finding]");
  if (!tile) return;
  event.preventDefault();
  if (tile.dataset.sent) return;
  tile.dataset.sent = "yes";
  send(event.target);
};

const start = () => {
  if (document.activeElement === document.body) current()?.focus({ preventScroll: true });
};

document.addEventListener("DOMContentLoaded", start);
document.addEventListener("keydown", onKey);
document.addEventListener("submit", onSubmit);
