"""What the hub tells: metrics and logs."""
