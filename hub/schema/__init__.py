"""JSON Schemas of inputs, checked where they can be stopped."""
