"""Work in processes of its own: what takes long, or may never end, without stopping the loop."""
