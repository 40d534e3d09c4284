"""Training of the generators: recipes in, weights out."""
