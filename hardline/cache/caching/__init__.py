"""Between a visitor and the local service: asked, kept, passed on."""
