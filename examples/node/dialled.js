// Answers a hub that dials.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";

import grpc from "@grpc/grpc-js";

import { answer } from "./answer.js";
import { contract } from "./contract.js";
import { self } from "./hub.js";
import { stayRegistered } from "./registered.js";

/**
 * Listen until `leaving` is aborted, then finish what is in flight. With an address it registers with the hub; without
 * one, `address:` in the hub's configuration says where it is.
 */
export async function serve(options, leaving) {
  const server = new grpc.Server();
  server.addService(contract.BackendService.service, {
    GetParams: (call, reply) => answer(call.request).then((response) => reply(null, response), reply),
  });
  const port = await promisify(server.bindAsync).call(server, options.listen, credentials(options));
  console.log(`listening on port ${port}`);
  // It ends deregistered: the hub dials no more, and nothing is refused.
  if (options.address) await stayRegistered(options, self(options), leaving);
  else if (!leaving.aborted) await once(leaving, "abort");
  await promisify(server.tryShutdown).call(server);
}

/** TLS with this backend's certificate, or plain text without one. */
function credentials({ certFile, keyFile }) {
  if (!certFile) return grpc.ServerCredentials.createInsecure();
  return grpc.ServerCredentials.createSsl(null, [{ cert_chain: readFileSync(certFile), private_key: readFileSync(keyFile) }]);
}
