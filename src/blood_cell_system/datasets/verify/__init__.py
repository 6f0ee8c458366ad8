"""Checks of a prepared folder: one module a family of checks.

1. ``folder_survey`` lists what is there, whatever state it is in.
2. ``picture_facts`` reads every pair once, checks what one picture can show and keeps figures.
3. ``duplicate_checks``, ``split_checks`` and ``size_checks`` compare the figures of all pictures.
4. ``report`` holds the findings; ``overlay_sheet`` shows the pictures that deserve a look.
"""
