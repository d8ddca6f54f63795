"""The study of soft prompts: what a slot can hold, measured beside each other."""
