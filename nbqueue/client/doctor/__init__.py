"""``nbqueue doctor``: what of a cluster works, what does not, and what mends it."""
