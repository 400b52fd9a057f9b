"""Access control by tokens: their keys, their verification, and the command that makes them.

A token is a signed JSON Web Token (RFC 7519). What it allows is read by `protocol/claims.py`; whether a request may do
what it asks for is decided in `server/http/access.py`.

    key_file.py   the server's own key, for tokens that `onward grant` and applications make
    key_set.py    the public keys of an identity provider (JWKS), fetched in the background
    tokens.py     a token becomes a grant; verified ones are remembered
    owners.py     who owns an upload, remembered, so that the decision costs no look at the record
    minting.py    makes tokens: `mint` for applications, and the command `onward grant`
"""
