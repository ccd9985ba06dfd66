// One file through the API: upload, wait, answer. A item remembers how far it came, so that a retry goes on from there.
import { get, post, hasKey, Lost, sleep, upload } from "./api.js";
import { insist } from "./reach.js";
import { words } from "./words.js";

const FULL_TRIES = 8; // then the person decides
const LONGEST_WAIT_SECONDS = 30;
const FIRST_POLL_MS = 400;
const LONGEST_POLL_MS = 5000;
const UNDECODABLE = "urn:recognizer:problem:undecodable";

export async function recognise(item, card, giveUpTurn) {
  try {
    const reply = await firstReply(item, card);
    item.url = reply.body.url ?? item.url;
    giveUpTurn(); // what follows is only waiting
    const answer = reply.status === 202 ? await poll(item.url, card) : reply.body;
    item.hasFailed = answer.status === "failed";
    card.finish(answer);
  } catch (error) {
    if (error.id) item.url = card.link(error.id).api;
    item.hasFailed = Boolean(error.id);
    card.fail(error.message, { canRetry: error.canRetry ?? true });
    if (!(error instanceof Refused || error instanceof Lost)) throw error;
  }
}

// A refusal in the service's own words.
export class Refused extends Error {
  constructor({ status, body }) {
    super(body.detail ?? words.broken);
    this.id = body.id;
    // The same file would be refused again; a busy service would not.
    this.canRetry = status >= 500 || status === 429 || status === 409 || (Boolean(body.id) && body.type !== UNDECODABLE);
  }
}

async function firstReply(item, card) {
  if (item.hasFailed) return retry(item, card);
  if (item.url) return { status: 202, body: { url: item.url } };
  if (item.file.size > Number(words.maxBytes)) throw new Refused({ status: 413, body: { detail: words.tooLarge } });
  return expect(await untilTaken(item, card));
}

async function retry(item, card) {
  const reply = await insist(() => post(`${item.url}retry/`, item.options.token), pausesOf(card));
  // Not failed (any more): an earlier retry has arrived, only its reply was lost.
  return reply.status === 409 ? { status: 202, body: { url: item.url } } : expect(reply);
}

async function untilTaken(item, card) {
  for (let tries = 1; ; tries += 1) {
    // Sent twice under one key it is stored once; without a key nobody could tell.
    const reply = await (hasKey() ? insist(() => send(item, card), pausesOf(card)) : send(item, card));
    const isBusy = reply.status === 503 || reply.status === 429;
    if (!isBusy || tries === FULL_TRIES) return reply;
    const seconds = Math.min(Number(reply.retryAfter) || tries, LONGEST_WAIT_SECONDS);
    card.show("queued", `${reasonOf(reply)} ${again(seconds)}`);
    await sleep(seconds * 1000);
  }
}

function send(item, card) {
  card.show("uploading");
  return upload(item, { onProgress: (part) => card.progress(part), onSent: () => card.show("recognising") });
}

const reasonOf = ({ status, body }) => (status === 429 ? words.throttled : (body.detail ?? words.full));
const again = (seconds) => words.again.replace("{seconds}", seconds);
const pausesOf = (card) => ({ onPause: (seconds) => card.show("queued", `${words.unreached} ${again(seconds)}`) });

function expect(reply) {
  if (reply.status === 200 || reply.status === 202) return reply;
  throw new Refused(reply);
}

async function poll(url, card) {
  for (let pause = FIRST_POLL_MS; ; pause = Math.min(pause * 1.5, LONGEST_POLL_MS)) {
    await sleep(pause);
    const { body } = expect(await insist(() => get(url), pausesOf(card)));
    if (body.status !== "pending" && body.status !== "running") return body;
    card.show(body.status === "running" ? "recognising" : "queued");
  }
}

// A UUID. crypto.randomUUID is missing on plain http, where a phone in the same network meets this page.
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
