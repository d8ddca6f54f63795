"""What the engine costs in time and memory, beside PEFT, beside plain transformers, and as the work grows."""
