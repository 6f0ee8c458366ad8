"""Checks of a prepared folder.

1. ``checks`` declares every check: its name, severity, explanation and remedy.
2. ``folder_survey`` lists what is there, whatever state it is in.
3. ``image_checks`` reads every pair once, checks what one image can show and keeps figures.
4. ``folder_checks`` compares the figures of all images.
5. ``verification`` holds the findings and draws the images that deserve a look; ``repair`` writes a
   copy.
"""
