// Whether both ends of a stream are alive.
const LOST_AFTER = 5; // missing heartbeats
const TICKS = 2; // of a heartbeat's interval, so that two messages are never further apart than the interval
const LARGE_BYTES = 1024 * 1024;
const SLOWEST_BYTES_MS = 256;
const MOST_SILENCE_MS = 60_000;

/**
 * The timer of one stream: `beat` is called when nothing was written for a while, `lose` when nothing was heard for too
 * long. It counts ticks instead of looking at the clock: after a pause of this whole process, the hub's heartbeats have
 * arrived but are not read yet, and one late tick is one tick.
 */
export class Pulse {
  wrote = false;
  heard = false;
  lost = false;
  #left = LOST_AFTER * TICKS;

  constructor(everyMs, beat, lose) {
    this.tickMs = everyMs / TICKS;
    this.timer = setInterval(() => this.#tick(beat, lose), this.tickMs);
  }

  stop() {
    clearInterval(this.timer);
  }

  /** Let the hub be silent for this long: it said that it will be. */
  excuse(silentMs) {
    this.heard = false;
    this.#left = LOST_AFTER * TICKS + Math.floor(Math.min(silentMs, MOST_SILENCE_MS) / this.tickMs);
  }

  #tick(beat, lose) {
    if (this.heard) {
      this.heard = false;
      this.#left = LOST_AFTER * TICKS;
    }
    this.#left -= 1;
    if (this.#left < 0) {
      this.lost = true;
      this.stop();
      lose();
      return;
    }
    if (!this.wrote) beat();
    this.wrote = false;
  }
}

/** A Duration in milliseconds; a field that is not there is 0. */
export function milliseconds(duration) {
  const { seconds = 0, nanos = 0 } = duration ?? {};
  return Number(seconds) * 1000 + nanos / 1e6;
}

/** How long a message may be on its way, if that is worth saying before it is sent; else 0. */
export function silenceMs(bytes) {
  return bytes < LARGE_BYTES ? 0 : Math.min(bytes / SLOWEST_BYTES_MS, MOST_SILENCE_MS);
}
