"""The light of the slide, the optical density of the stain, and recolouring."""
