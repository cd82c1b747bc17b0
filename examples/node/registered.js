// Keeps the hub told where to dial this backend.
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";

import { authorization, openHub, warnOfIgnored } from "./hub.js";

const RETRY_AFTER_MS = 500;
const CALL_LIMIT_MS = 10_000;

/** Stay registered until `leaving` is aborted, then give the lease back. */
export async function stayRegistered(options, backend, leaving) {
  let ignored = "[]";
  while (!leaving.aborted) {
    const pause = await register(options, backend).then(
      (response) => {
        const now = JSON.stringify(response.ignored_application_sets ?? []);
        if (now !== ignored) warnOfIgnored(response.ignored_application_sets);
        ignored = now;
        return renewAfterMs(response.ttl);
      },
      (error) => {
        console.log(`not registered: ${error.message}`);
        return RETRY_AFTER_MS;
      },
    );
    await setTimeout(pause, null, { signal: leaving }).catch(() => {});
  }
  await callHub(options, "Deregister", { name: backend.name, instance: backend.instance }).catch((error) => {
    console.log(`not deregistered, the lease ends by itself: ${error.message}`);
  });
}

/** Register once, for the length of the lease that is returned. */
async function register(options, backend) {
  // Everything is said each time, for the hub may have been restarted in between.
  return await callHub(options, "Register", { backend, address: options.address });
}

/** After how many milliseconds to register again. */
function renewAfterMs(ttl) {
  // A field that is 0 is not there.
  const { seconds = 0, nanos = 0 } = ttl;
  // Two attempts may fail before the lease ends.
  return (Number(seconds) * 1000 + nanos / 1e6) / 3;
}

/** Make one call on a connection of its own, so that a new token or CA needs no restart. */
async function callHub(options, method, request) {
  const client = openHub(options);
  try {
    const call = promisify(client[method]).bind(client);
    return await call(request, authorization(options), { deadline: Date.now() + CALL_LIMIT_MS });
  } finally {
    client.close();
  }
}
