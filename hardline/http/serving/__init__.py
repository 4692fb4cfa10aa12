"""An HTTP server (aiohttp's) that is handed tunnel streams."""
