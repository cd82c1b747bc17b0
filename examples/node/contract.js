// The contract, loaded from the .proto files.
import { fileURLToPath } from "node:url";

import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const folder = process.env.PROTO ?? fileURLToPath(new URL("../../proto", import.meta.url));

export const contract = grpc.loadPackageDefinition(
  // Names as in the contract, and 64-bit ids as text, because a JavaScript number would lose digits.
  loader.loadSync("appset_hub/v1/registry.proto", { includeDirs: [folder], keepCase: true, longs: String, oneofs: true }),
).appset_hub.v1;
