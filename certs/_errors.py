"""What this package raises for whatever is wrong with a certificate, a key, or the folder they are in."""


class CertificateError(ValueError):
    """The message is one whole line for a person: what is wrong, with which file, what to do about it."""
