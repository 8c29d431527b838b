"""The words on the wire and in study files."""
