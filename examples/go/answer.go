// A backend for AppSet Hub in Go: the digest of the image of a branch.
package main

import (
	"encoding/json"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example/backend/stubs"
)

//go:generate buf generate

// claim says which ApplicationSets this backend serves. It counts only inside what the hub's configuration grants.
var claim = []string{"fb-*"}

// uniqueBy says which keys identify a set: the set with equal values is the same one in the next answer, so that a new
// digest is a change and not a loss.
var uniqueBy = []string{"branch"}

var digests = map[string]string{"main": "sha256:4a5e1e", "feature": "sha256:9b7c0d"}

// answer turns one question into the complete list of parameter sets, or an error. An error changes nothing; a list that
// is too short makes Argo CD delete Applications.
func answer(question *stubs.GetParamsRequest) (*stubs.GetParamsResponse, error) {
	var input struct {
		Branch string `json:"branch"`
	}
	if err := json.Unmarshal(question.GetInputParametersJson(), &input); err != nil {
		return nil, status.Error(codes.InvalidArgument, "$.branch: must be a text")
	}
	digest, there := digests[input.Branch]
	if !there {
		return nil, status.Error(codes.InvalidArgument, "$.branch: there is no image of this branch")
	}
	sets, err := json.Marshal([]map[string]string{{"branch": input.Branch, "digest": digest}})
	if err != nil {
		return nil, fmt.Errorf("write the answer: %w", err)
	}
	return &stubs.GetParamsResponse{ParametersJson: sets}, nil
}
