"""From a picture to what a trained network says of it, and how good that is."""
