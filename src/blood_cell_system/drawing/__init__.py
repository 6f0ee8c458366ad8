"""Pictures for people: outlines over smears, and sheets of many pictures."""
