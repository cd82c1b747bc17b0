// A backend for AppSet Hub: attached with --hub, dialled with --listen.
import { parseArgs } from "node:util";

import { attachForEver } from "./attached.js";
import { serve } from "./dialled.js";

const { values } = parseArgs({
  options: {
    // The hub to attach to or to register with, the backend's name there, the token that the hub expects, and whom to
    // believe that it is the hub; that turns TLS on.
    hub: { type: "string", default: "localhost:4356" },
    name: { type: "string", default: "images" },
    "token-file": { type: "string" },
    "ca-file": { type: "string" },
    // Be dialled here instead, register this address with the hub, and show this certificate to whoever dials.
    listen: { type: "string" },
    address: { type: "string" },
    "cert-file": { type: "string" },
    "key-file": { type: "string" },
  },
});
const { "token-file": tokenFile, "ca-file": caFile, "cert-file": certFile, "key-file": keyFile, ...rest } = values;
const options = { ...rest, tokenFile, caFile, certFile, keyFile };

const leaving = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => leaving.abort());

await (options.listen ? serve : attachForEver)(options, leaving.signal);
