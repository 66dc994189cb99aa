"""The one ASGI app: health first, later the channel, the API and its pages."""
