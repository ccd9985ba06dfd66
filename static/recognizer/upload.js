// The upload page: every chosen file becomes a card, and the cards take turns.
import { Card } from "./card.js";
import { hopeAgain } from "./reach.js";
import { recognise, newKey } from "./recognise.js";
import { Turns } from "./turns.js";
import { listen } from "./sources.js";

const IN_FLIGHT = 3;

const form = document.getElementById("upload");
if (form) start(form);

function start(form) {
  const turns = new Turns(IN_FLIGHT);
  const cards = document.getElementById("cards");
  const tryAll = document.getElementById("try-all");
  const failed = new Map(); // each card that may be tried again, with its item

  listen(form, (files) => {
    hopeAgain();
    const added = files.map((file) => {
      const item = { file, key: newKey(), options: optionsOf(form) };
      const card = new Card(file, () => tryAgain(card, item));
      run(card, item);
      return card.element;
    });
    cards.prepend(...added);
    document.getElementById("results").hidden = false;
    added[0].scrollIntoView({ block: "nearest" });
  });

  tryAll.addEventListener("click", () => [...failed].forEach(([card, item]) => tryAgain(card, item)));

  function run(card, item) {
    card.show("waiting");
    turns.take((giveUpTurn) => recognise(item, card, giveUpTurn).finally(() => remember(card, item)));
  }

  function remember(card, item) {
    if (card.canRetry) failed.set(card, item);
    else failed.delete(card);
    tryAll.hidden = failed.size < 2;
  }

  function tryAgain(card, item) {
    hopeAgain();
    run(card, item);
    remember(card, item);
  }

  addEventListener("beforeunload", (event) => turns.isBusy && event.preventDefault());
}

// Taken when the file is given: a retry must repeat the same request, whatever the form says by then.
function optionsOf(form) {
  const values = new FormData(form);
  return {
    model: values.get("model"),
    train: values.has("train") ? "true" : "false",
    token: values.get("csrfmiddlewaretoken"),
  };
}
