"""Plans: what a training does, checked and priced before anyone is asked to take part."""
