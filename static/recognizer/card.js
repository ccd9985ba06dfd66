// The card of one file: preview, state in words, answer.
import { words, language } from "./words.js";

const percent = new Intl.NumberFormat(language, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const STATES = ["waiting", "uploading", "queued", "recognising", "done", "failed"];

export class Card {
  #parts;
  #preview;

  constructor(file, onRetry) {
    this.element = document.getElementById("card").content.firstElementChild.cloneNode(true);
    const find = (selector) => this.element.querySelector(selector);
    this.#parts = {
      picture: find("img"),
      placeholder: find("svg"),
      state: find(".state"),
      progress: find("progress"),
      bars: find(".bars"),
      time: find(".card-time"),
      link: find("a"),
      retry: find("button"),
    };
    find(".card-name").textContent = file.name;
    this.#parts.retry.addEventListener("click", onRetry);
    this.#showPreview(file);
  }

  show(state, text = words[state]) {
    this.element.classList.remove(...STATES.map((name) => `is-${name}`));
    this.element.classList.add(`is-${state}`);
    this.#parts.state.textContent = text;
    this.#parts.progress.hidden = state !== "uploading";
    this.#parts.retry.hidden = true;
  }

  progress(part) {
    this.#parts.progress.value = part * 100;
  }

  // The answer of the API: succeeded, failed or erased meanwhile.
  finish(answer) {
    this.link(answer.id);
    if (answer.status !== "succeeded") return this.#failAs(answer.error);
    this.#showThumbnail(answer.image);
    this.show("done", answer.known === false ? words.unknown : answer.top.name);
    this.#parts.bars.classList.toggle("is-unknown", answer.known === false);
    this.#parts.bars.replaceChildren(...answer.scores.map(drawBar));
    this.#parts.bars.hidden = false;
    this.#parts.time.textContent = words.time.replace("{milliseconds}", Math.round(answer.timing_ms.total));
    this.#parts.time.hidden = false;
  }

  fail(reason, { canRetry }) {
    this.show("failed", reason);
    this.#parts.retry.hidden = !canRetry;
  }

  get canRetry() {
    return !this.#parts.retry.hidden;
  }

  // The same file would be as unreadable again.
  #failAs(error) {
    this.fail(error?.detail ?? words.broken, { canRetry: error?.code !== "undecodable" });
  }

  // Point to the page of the stored recognition; returns its addresses.
  link(id) {
    const page = this.#parts.link.getAttribute("href").replace(/[0-9a-f-]{36}/, id);
    this.#parts.link.setAttribute("href", page);
    this.#parts.link.hidden = false;
    return { page, api: `/api${page}` };
  }

  #showPreview(file) {
    const { picture, placeholder } = this.#parts;
    this.#preview = URL.createObjectURL(file);
    picture.addEventListener("load", () => {
      picture.hidden = false;
      placeholder.setAttribute("hidden", "");
    });
    picture.src = this.#preview;
  }

  // The server shows what this browser cannot (HEIC). Elsewhere the preview stays: it is sharper.
  #showThumbnail(image) {
    if (this.#parts.picture.hidden && image) this.#parts.picture.src = image.thumbnail_url;
    else URL.revokeObjectURL(this.#preview); // drawn already
  }
}

function drawBar({ name, score }) {
  const bar = document.getElementById("bar").content.firstElementChild.cloneNode(true);
  bar.querySelector(".bar-name").textContent = name;
  bar.querySelector(".bar-score").textContent = percent.format(score);
  bar.querySelector("rect").setAttribute("width", (score * 100).toFixed(2));
  return bar;
}
