// How the hub is called: over TLS if there is a CA to believe, and with this backend's token.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";

import grpc from "@grpc/grpc-js";

import { CLAIM } from "./answer.js";
import { contract } from "./contract.js";

/** A client of the hub's RegistryService. */
export function openHub({ hub, caFile }) {
  const trust = caFile ? grpc.credentials.createSsl(readFileSync(caFile)) : grpc.credentials.createInsecure();
  // A dead connection is noticed after half a minute, and a hub that was away is tried again soon.
  return new contract.RegistryService(hub, trust, {
    "grpc.keepalive_time_ms": 20_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.max_reconnect_backoff_ms": 1_000,
    // The environment's proxies are for other traffic: they would see the token and the answers.
    "grpc.enable_http_proxy": 0,
  });
}

/** What proves who calls. The file is read each time, so that a new token needs no restart. */
export function authorization({ tokenFile }) {
  const metadata = new grpc.Metadata();
  if (tokenFile) metadata.set("authorization", `Bearer ${readFileSync(tokenFile, "utf8").trim()}`);
  return metadata;
}

/** Who this process is: the backend's name, an instance that no other process has, and its claim. */
export function self({ name }) {
  return { name, instance: randomUUID(), application_sets: CLAIM };
}

/** Say which claimed patterns never count at the hub. An empty list is a field that is not there. */
export function warnOfIgnored(patterns = []) {
  if (patterns.length === 0) return;
  const claim = patterns.map((pattern) => `"${pattern}"`).join(", ");
  console.log(`the hub ignores the claim ${claim}: add it to application_sets of this backend in the hub's configuration`);
}
