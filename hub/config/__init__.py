"""From ``hub.yaml``, the environment and flags to settings."""
