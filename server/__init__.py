"""The server: it connects the protocol with the storage, and serves both over HTTP.

What applications that embed it use is imported from `onward`: `create_app`, `create_runner`, `Config` and `Act`.
"""
