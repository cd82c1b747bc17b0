"""The bundled backends, written on the public SDK as any author would."""
