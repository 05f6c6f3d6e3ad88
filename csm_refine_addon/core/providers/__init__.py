"""The services' API: raw JSON, connections, downloads, and which key goes where."""
