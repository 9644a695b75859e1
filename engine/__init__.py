"""The wallet engine: a money-moving HTTP service whose every defence can be switched off."""
