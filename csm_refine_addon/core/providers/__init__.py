"""Clients of the refine services: API schema, HTTP transport, downloads, rate limits, credentials."""
