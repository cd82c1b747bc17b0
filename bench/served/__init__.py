"""The programs that the benchmark starts: backends, and servers that need no configuration of their own."""
