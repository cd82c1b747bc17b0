"""The edge to what lasts: one store behind one port."""
