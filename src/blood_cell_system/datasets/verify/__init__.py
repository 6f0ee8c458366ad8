"""Checks of a prepared folder: one module a family of checks.

1. ``folder_survey`` lists what is there, whatever state it is in.
2. ``image_facts`` reads every pair once, checks what one image can show and keeps figures.
3. ``duplicate_checks``, ``split_checks`` and ``size_checks`` compare the figures of all images.
4. ``report`` holds the findings; ``overlay_sheet`` shows the images that deserve a look.
"""
