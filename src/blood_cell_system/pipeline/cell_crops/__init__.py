"""Single cells out of smears: cutting, choosing, and the folder that they are written to."""
