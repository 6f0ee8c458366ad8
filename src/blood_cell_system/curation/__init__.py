"""Prepared folders as a whole: combining, finding what is there twice, splitting."""
