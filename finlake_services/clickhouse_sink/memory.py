"""How much memory the sink takes when nobody says otherwise."""

DEFAULT_MEMORY_MB = 384
