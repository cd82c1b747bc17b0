// A backend for AppSet Hub: attached with --hub, dialled with --listen.
import { parseArgs } from "node:util";

import { attachForEver } from "./attached.js";
import { serve } from "./dialled.js";

const { values: options } = parseArgs({
  options: {
    hub: { type: "string", default: "localhost:4356" },
    name: { type: "string", default: "images" },
    "token-file": { type: "string" },
    listen: { type: "string" },
  },
});

const leaving = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => leaving.abort());

if (options.listen) await serve(options.listen, leaving.signal);
else await attachForEver({ hub: options.hub, name: options.name, tokenFile: options["token-file"] }, leaving.signal);
