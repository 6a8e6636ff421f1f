"""How much memory the engine's statements may take together when nobody says otherwise."""

DEFAULT_MEMORY_MB = 3000
