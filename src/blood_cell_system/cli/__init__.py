"""Commands: one file a group, no logic but arguments in and words out."""
