// Answers a hub that dials: `address:` in the hub's configuration says where.
import grpc from "@grpc/grpc-js";

import { answer } from "./answer.js";
import { contract } from "./contract.js";

/** Listen on `host:port` until `leaving` is aborted, then finish what is in flight. */
export function serve(address, leaving) {
  const server = new grpc.Server();
  server.addService(contract.BackendService.service, {
    GetParams: (call, reply) => answer(call.request).then((response) => reply(null, response), reply),
  });
  return new Promise((resolve, reject) => {
    server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error, port) => {
      if (error) return reject(error);
      console.log(`listening on port ${port}`);
      leaving.addEventListener("abort", () => server.tryShutdown(resolve), { once: true });
    });
  });
}
