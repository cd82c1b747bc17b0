// Stays attached to the hub: one stream is registration, questions and answers.
import { setTimeout } from "node:timers/promises";

import grpc from "@grpc/grpc-js";

import { answer } from "./answer.js";
import { authorization, MAX_INPUT_BYTES, openHub, self, warnOfIgnored } from "./hub.js";
import { milliseconds, Pulse, silenceMs } from "./pulse.js";

const RETRY_AFTER_MS = 500;

/** Stay attached until `leaving` is aborted, and come back whenever the stream ends. */
export async function attachForEver(options, leaving) {
  const client = openHub(options);
  const backend = self(options);
  while (!leaving.aborted) {
    const end = await attach(client, backend, options, leaving).catch((error) => error);
    if (leaving.aborted) break;
    console.log(`not attached: ${end.message}`);
    await setTimeout(RETRY_AFTER_MS, null, { signal: leaving }).catch(() => {});
  }
  client.close();
}

/** Serve one stream; returns why it ended. */
async function attach(client, backend, options, leaving) {
  const stream = client.Attach(authorization(options));
  const inFlight = new Set();
  let finishing = false;
  let limit = 0;
  let pulse;

  /** Say that this backend is alive, and for how long nothing may follow. */
  const beat = (silentMs) => {
    if (stream.writable) write({ heartbeat: { silent_for: { seconds: Math.ceil(silentMs / 1000) } } });
  };
  const write = (message) => {
    if (pulse) pulse.wrote = true;
    stream.write(message);
  };

  /** End this side of the stream once what is in flight is answered. */
  const settle = () => finishing && inFlight.size === 0 && stream.end();
  const finish = () => {
    finishing = true;
    settle();
  };
  const leave = () => {
    write({ leaving: {} });
    finish();
  };

  stream.on("data", (message) => {
    if (pulse) pulse.heard = true;
    if (message.kind === "heartbeat") pulse?.excuse(milliseconds(message.heartbeat.silent_for));
    if (message.kind === "welcome") {
      limit = Number(message.welcome.max_answer_bytes);
      const everyMs = milliseconds(message.welcome.heartbeat);
      // An older hub knows no heartbeats.
      if (everyMs > 0) pulse = new Pulse(everyMs, () => beat(0), () => stream.cancel());
      console.log(`attached to hub ${message.welcome.hub_instance}`);
      warnOfIgnored(message.welcome.ignored_application_sets);
    }
    if (message.kind === "drain") finish();
    for (const question of message.questions?.questions ?? []) {
      inFlight.add(question.id);
      reply(question, limit).then((one) => {
        const silentMs = silenceMs(one.response?.parameters_json.length ?? 0);
        if (pulse && silentMs > 0) beat(silentMs);
        write({ answers: { answers: [one] } });
        inFlight.delete(question.id);
        settle();
      });
    }
    // Cancels: these answers take no time, so there is nothing to stop. Kinds that are not known are ignored.
  });
  write({ hello: { backend, heartbeats: true, max_input_bytes: MAX_INPUT_BYTES } });
  leaving.addEventListener("abort", leave, { once: true });
  try {
    return await new Promise((resolve) => {
      const silence = new Error("nothing was heard from the hub for too long, not even a heartbeat");
      stream.on("error", (error) => resolve(pulse?.lost ? silence : error));
      stream.on("end", () => resolve(new Error("the hub ended the stream")));
    });
  } finally {
    pulse?.stop();
    leaving.removeEventListener("abort", leave);
  }
}

/** Answer exactly once, whatever happens. A larger answer than the hub accepts must not be sent. */
async function reply(question, limit) {
  try {
    const response = await answer(question.request);
    const size = response.parameters_json.length;
    if (limit > 0 && size > limit) {
      const message = `the answer has ${size} bytes of JSON, and the hub accepts ${limit} (limits.max_answer_bytes)`;
      return { question_id: question.id, failure: { code: grpc.status.RESOURCE_EXHAUSTED, message } };
    }
    return { question_id: question.id, response };
  } catch (error) {
    // Any other error is the backend's own: its text may hold secrets, and stays here.
    if (error.code === undefined) console.error(error);
    const failure = error.code === undefined ? { code: grpc.status.UNKNOWN } : { code: error.code, message: error.message };
    return { question_id: question.id, failure };
  }
}
