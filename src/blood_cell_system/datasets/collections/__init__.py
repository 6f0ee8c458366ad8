"""Published collections of single cells with diagnoses: one module a collection."""
