"""Time and memory of the engine, beside PEFT, beside plain transformers, and as the work grows."""
