"""The server: it connects the protocol with the storage, and serves both over HTTP.

Applications that embed it import `create_app`, `create_runner`, `Config`, `Act` and `Grant` from `onward`.
"""
