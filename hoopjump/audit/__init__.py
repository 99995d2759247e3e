"""What happened: one event schema and its sinks."""
