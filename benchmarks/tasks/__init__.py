"""Many classification tasks, many methods: balanced accuracy from a few rows of each class."""
