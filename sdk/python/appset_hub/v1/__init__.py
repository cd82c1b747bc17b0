"""The messages and stubs of the contract, generated from `proto/appset_hub/v1`."""
