// The digest of the image of a branch: what you would change.
import { status } from "@grpc/grpc-js";

/** Which ApplicationSets this backend serves. It counts only inside what the hub's configuration grants. */
export const CLAIM = ["fb-*"];

/**
 * Which keys identify a set: the set with equal values is the same one in the next answer, so that a new digest is a change
 * and not a loss.
 */
export const UNIQUE_BY = ["branch"];

const DIGESTS = { main: "sha256:4a5e1e", feature: "sha256:9b7c0d" };

/** A failure with a gRPC status; its message goes to the ApplicationSet's status. */
class Failure extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/**
 * Turn one GetParamsRequest into a GetParamsResponse with the complete list of parameter sets, or throw. An error changes
 * nothing; a list that is too short makes Argo CD delete Applications.
 */
export async function answer(question) {
  const { branch } = JSON.parse(question.input_parameters_json.toString());
  if (typeof branch !== "string" || !Object.hasOwn(DIGESTS, branch)) {
    throw new Failure(status.INVALID_ARGUMENT, "$.branch: there is no image of this branch");
  }
  return { parameters_json: Buffer.from(JSON.stringify([{ branch, digest: DIGESTS[branch] }])) };
}
