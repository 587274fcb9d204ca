"""How convolutions, norms and conditions are lowered on each platform."""
