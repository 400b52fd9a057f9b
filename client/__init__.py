"""The client: uploads files and streams to any server of tus 1.0.0, and watches uploads of this one.

What applications use is imported from `onward`: `upload`, `upload_stream`, `watch`, `Options` and the errors.
"""
