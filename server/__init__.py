"""The server: introduces the protocol to the storage."""
