"""A test's place in the S3 server that all tests share."""

import secrets

from deploy.local.s3 import S3

from adtally.lake.address import S3Access


def access(server: S3) -> S3Access:
    return S3Access(server.endpoint, "us-east-1", server.access_key, server.secret_key)


def fresh_url(server: S3) -> str:
    """Give a prefix that nobody has used."""
    return f"s3://{server.bucket}/{secrets.token_hex(8)}"
