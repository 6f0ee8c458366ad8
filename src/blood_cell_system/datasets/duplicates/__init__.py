"""Images that show the same field of a smear, whatever was done to one of them.

Two descriptions of an image, a few kilobytes each, are compared with those of all the others:

- ``field_features`` knows nearly equal images, also turned, scaled, or in other light;
- ``field_alignment`` knows the same field also when it was cut or recoloured, or when the stage was
  moved a little; it then lays one of the two on top of the other to make sure.

``field_print`` takes both from an image and ``groups`` puts images together. Nothing here knows
of folders, so that reading, verifying, combining and splitting them all agree on what is the same.
"""
