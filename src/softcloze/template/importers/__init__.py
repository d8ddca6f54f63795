"""Importers: parse templates of other libraries into nodes. Nothing in them is ever evaluated."""
