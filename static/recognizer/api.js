// The HTTP API as this page uses it. Every reply is {status, retryAfter, body}; no reply at all is Lost.
import { words } from "./words.js";

const FROM_A_PROXY = new Set([502, 503, 504]); // its own page: there is nobody behind it

export class Lost extends Error {
  constructor() {
    super(words.lost);
  }
}

// The key belongs to the visitor's cookie; without cookies there is nobody to keep it for.
export const hasKey = () => navigator.cookieEnabled;

export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// fetch cannot tell how much it has sent, XMLHttpRequest can.
export function upload({ file, key, options }, { onProgress, onSent }) {
  const body = new FormData();
  body.append("image", file, file.name || "pasted.png");
  body.append("model", options.model);
  body.append("train", options.train);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/api/predict/");
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("X-CSRFToken", options.token);
    if (hasKey()) request.setRequestHeader("Idempotency-Key", key);
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded / event.total));
    request.upload.addEventListener("load", onSent);
    request.addEventListener("load", () => {
      try {
        resolve(replyOf(request.status, request.getResponseHeader("Retry-After"), request.responseText));
      } catch (error) {
        reject(error);
      }
    });
    for (const kind of ["error", "abort", "timeout"]) request.addEventListener(kind, () => reject(new Lost()));
    request.send(body);
  });
}

export const get = (url) => ask(url, {});
export const post = (url, token) => ask(url, { method: "POST", headers: { "X-CSRFToken": token } });

async function ask(url, { method = "GET", headers = {} }) {
  let response, text;
  try {
    response = await fetch(url, { method, headers: { Accept: "application/json", ...headers }, cache: "no-store" });
    text = await response.text();
  } catch {
    throw new Lost();
  }
  return replyOf(response.status, response.headers.get("Retry-After"), text);
}

function replyOf(status, retryAfter, text) {
  try {
    return { status, retryAfter, body: JSON.parse(text) };
  } catch {
    if (FROM_A_PROXY.has(status)) throw new Lost();
    return { status, retryAfter, body: {} };
  }
}
