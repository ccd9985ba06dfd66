// Ask again by itself when the service cannot be reached: it may just be starting anew.
import { Lost, sleep } from "./api.js";

const PAUSES_SECONDS = [1, 2, 4, 8, 10, 15, 20]; // a minute in all

// Once one question was given up, the others need not wait as long as it did, until a reply comes or a person asks.
let isGivenUp = false;

export function hopeAgain() {
  isGivenUp = false;
}

// The reply of `ask`, which must be safe to repeat. Throws Lost after about a minute.
export async function insist(ask, { onPause }) {
  for (let tries = 0; ; tries += 1) {
    try {
      const reply = await ask();
      isGivenUp = false;
      return reply;
    } catch (error) {
      if (!(error instanceof Lost)) throw error;
      isGivenUp ||= tries === PAUSES_SECONDS.length;
      if (isGivenUp) throw error;
    }
    onPause(PAUSES_SECONDS[tries]);
    await sleep(PAUSES_SECONDS[tries] * 1000);
  }
}
