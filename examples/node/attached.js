// Stays attached to the hub: one stream is registration, questions and answers.
import { setTimeout } from "node:timers/promises";

import grpc from "@grpc/grpc-js";

import { answer } from "./answer.js";
import { authorization, openHub, self, warnOfIgnored } from "./hub.js";

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

  /** End this side of the stream once what is in flight is answered. */
  const settle = () => finishing && inFlight.size === 0 && stream.end();
  const finish = () => {
    finishing = true;
    settle();
  };
  const leave = () => {
    stream.write({ leaving: {} });
    finish();
  };

  stream.on("data", (message) => {
    if (message.kind === "welcome") {
      console.log(`attached to hub ${message.welcome.hub_instance}`);
      warnOfIgnored(message.welcome.ignored_application_sets);
    }
    if (message.kind === "drain") finish();
    for (const question of message.questions?.questions ?? []) {
      inFlight.add(question.id);
      reply(question).then((one) => {
        stream.write({ answers: { answers: [one] } });
        inFlight.delete(question.id);
        settle();
      });
    }
    // Cancels: these answers take no time, so there is nothing to stop. Kinds that are not known are ignored.
  });
  stream.write({ hello: { backend } });
  leaving.addEventListener("abort", leave, { once: true });
  try {
    return await new Promise((resolve) => {
      stream.on("error", resolve);
      stream.on("end", () => resolve(new Error("the hub ended the stream")));
    });
  } finally {
    leaving.removeEventListener("abort", leave);
  }
}

/** Answer exactly once, whatever happens. */
async function reply(question) {
  try {
    return { question_id: question.id, response: await answer(question.request) };
  } catch (error) {
    // Any other error is the backend's own: its text may hold secrets, and stays here.
    if (error.code === undefined) console.error(error);
    const failure = error.code === undefined ? { code: grpc.status.UNKNOWN } : { code: error.code, message: error.message };
    return { question_id: question.id, failure };
  }
}
